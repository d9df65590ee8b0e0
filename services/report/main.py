"""Wires report: a run that was read (or held, or failed) in, its result objects and their deliveries out."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlmodel import Session

from services.report.book import Rows, enter_deliveries, read_rows, without_told
from services.report.facts import Outcome, ResultObject, RunFacts
from services.report.handlers import Report, images_to_draw, report
from services.report.identity import HELD_NUMBER, sop_instance_uid_of
from services.report.planes import images_with_places, images_with_regions, read_planes
from services.report.result_files import write_results
from services.report.result_kinds import most_flavours
from services.report.settings import Settings
from services.report.source_display import read_displays
from services.report.source_files import read_pictures, read_sources
from shared.arrays import read_array
from shared.findings import Embedding, Finding, load_findings
from shared.packages.installed import Installed
from shared.packages.manifest import Manifest, ResultsTable
from shared.result_profiles import NOTICE, PICTURE
from shared.service import start_service
from shared.settings import Core, Destination, Triton
from shared.stage import Retry, Save, Stage, check_lease
from shared.store import Book, Run
from shared.store.moves import Row, move, settle, state_of
from shared.study import RunEvent, RunState, State
from shared.worker import run_worker

OUTCOMES: dict[State, Outcome] = {RunState.READ: "read", RunState.HOLDING: "held", RunState.FAILING: "failed"}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reporter:
    """The stage's work on one run."""

    book: Book
    core: Core
    settings: Settings
    destinations: list[Destination]
    packages: Installed

    def work(self, run_id: str) -> Save:
        """Makes and writes the run's objects; the outcome is saved by what is returned."""
        with self.book.read() as session:
            rows = read_rows(session, run_id, self.settings.series_number, most_flavours(self.destinations))
        if state_of(rows.run) is RunState.FAILING and not any(NOTICE in d.objects for d in self.destinations):
            return partial(_end_untold, rows.run.reason)
        facts, undrawn = self._facts(rows)
        made = report(facts, self.destinations)
        folder = self.core.results_dir / rows.study.study_instance_uid / run_id
        check_lease()  # who has taken over may have written what is being sent by now
        write_results(folder, made.objects)
        missing = [*made.missing, *undrawn]
        log.info(
            "reported study_instance_uid=%s run=%s objects=%d missing=%d",
            rows.study.study_instance_uid, run_id, len(made.objects), len(missing),
        )  # fmt: skip
        reason = "; ".join(filter(None, [rows.run.reason, *missing, *made.remarks]))
        return partial(self._save, made, folder.relative_to(self.core.data_dir), reason)

    def _facts(self, rows: Rows) -> tuple[RunFacts, list[str]]:
        """What the objects are made from, and in words which pictures are missing."""
        outcome = OUTCOMES[state_of(rows.run)]
        findings = _to_report(load_findings(rows.run.findings)) if outcome == "read" else []
        paths = {i.sop_instance_uid: self.core.store_dir / i.path for i in rows.instances}
        self._require(paths)
        read = partial(read_array, self.core.data_dir)
        pictures, undrawn = read_pictures(images_to_draw(findings, read, self.destinations), paths)
        package = self.packages.get((rows.run.package, rows.run.version))
        manifest = package.manifest if package else None  # one that has gone is still reported, under its bare name
        facts = RunFacts(
            study=rows.study, run=rows.run, outcome=outcome,
            at=rows.first_at, findings=findings,
            title=manifest.package.title if manifest else rows.run.package, order=rows.order,
            gate_results=rows.gate_results, sources=read_sources(list(paths.values())),
            pictures=pictures, planes=read_planes(images_with_places(findings), paths),
            displays=read_displays(images_with_regions(findings), paths),
            series_number=rows.first_series_number, institution_name=self.core.institution_name,
            predecessors=rows.predecessors,
            read=read, corrects=rows.corrects, released=rows.released,
            kinds=_kinds(manifest),
        )  # fmt: skip
        return facts, undrawn

    def _save(self, made: Report, folder: Path, reason: str, session: Session, row: Row) -> None:
        assert isinstance(row, Run)
        objects: Sequence[ResultObject] = made.objects
        if state_of(row) is RunState.FAILING:
            held = {sop_instance_uid_of(row.id, NOTICE, d.flavour_of(NOTICE), HELD_NUMBER) for d in self.destinations}
            objects = without_told(session, row, objects, held)
        enter_deliveries(session, row, folder, objects, {d.name for d in self.destinations if d.is_spare(PICTURE)})
        move(session, row, RunEvent.REPORTED if state_of(row) is RunState.READ else RunEvent.REASON_REPORTED, reason)
        session.flush()
        settle(session, row.study_instance_uid)

    def _require(self, paths: dict[str, Path]) -> None:
        """A disk that is away comes back, a report without images stays as it is: so wait for the files."""
        gone = sum(not path.exists() for path in paths.values())
        if gone:
            raise Retry(f"{gone} of {len(paths)} stored images are not on the disk")


def _to_report(findings: Sequence[Finding]) -> list[Finding]:
    """All but embeddings: they stay in the results folder, for whoever searches or compares there."""
    return [finding for finding in findings if not isinstance(finding, Embedding)]


def _kinds(manifest: Manifest | None) -> frozenset[str]:
    results = manifest.results if manifest else ResultsTable()
    return frozenset([*results.dicom, *results.hl7])


def _end_untold(reason: str, session: Session, row: Row) -> None:
    """Ends a failed run that nobody wants to be told of: it needs no images for that, which may be what it lacks."""
    move(session, row, RunEvent.REASON_REPORTED, reason)
    session.flush()
    assert isinstance(row, Run)
    settle(session, row.study_instance_uid)


def main() -> None:
    """Runs until told to stop."""
    service = start_service("report")
    settings = service.config.section(Settings)
    reporter = Reporter(
        service.book, service.core, settings, service.config.destinations,
        Installed(service.config.section(Triton).model_repository, service.config.packages),
    )  # fmt: skip
    stage = Stage("report", Run, tuple(OUTCOMES), reporter.work, **settings.patience)
    run_worker(service.book, service.app, stage, service.core, settings.concurrency)
