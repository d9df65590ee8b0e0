"""Gates one study: reads it from the book, asks every gate, and writes what they say and whose turn it is."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlmodel import Session, col, delete, select

from services.gate import handlers, header_consistency
from services.gate.handlers import MARKING_GATES, Decision, decide_gate_run, decide_reader
from services.gate.judgement import Judgement, capped
from services.gate.scoring import failed, judge_readings
from services.gate.settings import Settings
from shared import metrics
from shared.findings import Finding, dump_findings
from shared.guard.circuits import Circuits
from shared.guard.settings import Guard
from shared.imaging.features import OrderValues
from shared.imaging.frames import Frame, UndecodablePixels, load_frames
from shared.inference import Unreadable, read_images
from shared.order_values import order_values
from shared.packages.folder import Package
from shared.packages.installed import Installed
from shared.packages.named_series import lacking
from shared.serving import ModelRefused, Models
from shared.settings import GateThresholds
from shared.stage import GiveUp, Retry, Save
from shared.store import Book, GateResult, Instance, Order, Run, Study
from shared.store.moves import Row, move, settle, state_of
from shared.study import RunEvent, RunState, StudyEvent
from shared.versions.loading import LOADING

log = logging.getLogger(__name__)


@dataclass
class Gates:
    """What gating needs: the book, the stored images, the packages and who serves them."""

    book: Book
    store_dir: Path
    packages: Installed
    models: Models
    timeout_s: float
    settings: Settings
    thresholds: Mapping[str, GateThresholds]
    awaits: Callable[[Package], bool] = lambda _: False  # whether a version is about to be loaded
    guard: Guard = field(default_factory=Guard)

    def __post_init__(self) -> None:
        self._circuits = Circuits(self.book, self.models, self.guard)

    def work(self, study_instance_uid: str) -> Save:
        """Asks every gate about every series that a run reads.

        Raises:
            Retry: a model does not answer now.
            GiveUp: the study is not in the book.
        """
        outcome = self._read_book(study_instance_uid)
        for package in (self.packages.get((run.package, run.version)) for run in outcome.runs if run.kind == "gate"):
            if package and self.awaits(package):
                raise Retry(f"version {package.version} of {package.name} is being loaded", LOADING, counts=False)
        loaded = {uid: self._load(outcome, uid) for uid in outcome.series}
        self._ask_study_gates(outcome, loaded)
        for uid, frames in loaded.items():
            self._ask_plain_gates(outcome, uid, frames)
            self._ask_packages(outcome, uid, frames)
        return outcome.save

    def _read_book(self, study_instance_uid: str) -> "Outcome":
        with self.book.read() as session:
            study = session.get(Study, study_instance_uid)
            if study is None:
                raise GiveUp("the study is not in the book")
            runs = _runs(session, study)
            wanted = list(dict.fromkeys(uid for run in runs for uid in run.series))
            instances = session.exec(select(Instance).where(Instance.study_instance_uid == study_instance_uid)).all()
            order = session.get(Order, study.order_id) if study.order_id is not None else None
        paths = {uid: [self.store_dir / i.path for i in instances if i.series_instance_uid == uid] for uid in wanted}
        readers = [run for run in runs if run.kind != "gate"]
        return Outcome(
            study.revision, list(runs), paths, {run.id: self._required(run) for run in readers},
            {run.id: self._lacking(run) for run in readers}, [i.header for i in instances],
            order.requested_procedure if order else "", order_values(order),
        )  # fmt: skip

    def _required(self, run: Run) -> list[str]:
        """The gates that a reader's package requires; infer refuses a version that is no longer installed."""
        package = self.packages.get((run.package, run.version))
        return list(package.manifest.gates.required) if package else list(handlers.USUAL_GATES)

    def _lacking(self, run: Run) -> str:
        """Which series of the study a reader's package can't do without and has not, in words."""
        package = self.packages.get((run.package, run.version))
        return lacking(package.manifest, run.inputs) if package else ""

    def _load(self, outcome: "Outcome", uid: str) -> list[Frame] | str:
        """The series' frames, or why they can't be read."""
        try:
            return load_frames(outcome.series[uid])
        except UndecodablePixels as error:
            return str(error)

    def _ask_study_gates(self, outcome: "Outcome", loaded: Mapping[str, list[Frame] | str]) -> None:
        read = {uid: frames for uid, frames in loaded.items() if not isinstance(frames, str)}
        with _timed(header_consistency.NAME):
            judgement = header_consistency.judge_header_consistency(outcome.headers, read)
        outcome.heard("", capped(judgement, self.thresholds.get(judgement.name)))

    def _ask_plain_gates(self, outcome: "Outcome", uid: str, frames: list[Frame] | str) -> None:
        series = handlers.Series([] if isinstance(frames, str) else frames, outcome.requested_procedure)
        for gate in handlers.PLAIN_GATES:
            if gate in handlers.STUDY_GATES:
                continue
            with _timed(gate):
                if isinstance(frames, str):
                    judgement = handlers.unreadable(gate, frames, self.thresholds)
                else:
                    judgement = handlers.judge_plainly(gate, series, self.settings, self.thresholds)
            outcome.heard(uid, judgement)

    def _ask_packages(self, outcome: "Outcome", uid: str, frames: list[Frame] | str) -> None:
        for run in outcome.runs:
            if run.kind == "gate" and uid in run.series:
                with _timed(run.package):
                    judgement, findings = self._ask_package(run, uid, frames, outcome.order)
                outcome.heard(uid, judgement)
                outcome.findings.setdefault(run.id, []).extend(findings)

    def _ask_package(
        self, run: Run, uid: str, frames: list[Frame] | str, order: OrderValues
    ) -> tuple[Judgement, list[Finding]]:
        package, own = self.packages.get((run.package, run.version)), self.thresholds.get(run.package)
        if package is None:
            words = f"the gate could not judge: {self.packages.missing(run.package, run.version)}"
            return Judgement(run.package, "hold", words, version=run.version), []
        try:
            if isinstance(frames, str):
                raise Unreadable(frames)
            # a series may hold views side by side, of which a reader with this selector reads some
            taken = [frame for frame in frames if package.manifest.selector.takes_image(frame.header)]
            timeout_s = package.manifest.resources.timeout_seconds or self.timeout_s
            with self._circuits.asking(package):
                readings = list(read_images(package, taken, self.models, timeout_s, order))
            judgement, finding = judge_readings(package, uid, readings, own)
        except (Unreadable, UndecodablePixels, ModelRefused) as error:
            log.warning("gate failed gate=%s series_instance_uid=%s cause=%s", run.package, uid, type(error).__name__)
            return failed(package, str(error), own), []
        return judgement, [finding]


@dataclass
class Outcome:
    """What the gates said, to be written in one transaction."""

    revision: int
    runs: Sequence[Run]
    series: dict[str, list[Path]]
    required: dict[str, list[str]]  # by reader run
    lacking: dict[str, str] = field(default_factory=dict)  # by reader run
    headers: Sequence[Mapping[str, Any]] = ()  # of every image of the study, as collect wrote them down
    requested_procedure: str = ""
    order: OrderValues = field(default_factory=dict)
    words: dict[str, dict[str, Judgement]] = field(default_factory=dict)  # by series, by gate
    findings: dict[str, list[Finding]] = field(default_factory=dict)  # by gate run

    def heard(self, uid: str, judgement: Judgement) -> None:
        """Notes one gate's word on one series."""
        self.words.setdefault(uid, {})[judgement.name] = judgement

    def save(self, session: Session, row: Row) -> None:
        """Writes the results, in place of an earlier attempt's, moves every run that waits, and then the study."""
        assert isinstance(row, Study)
        session.execute(
            delete(GateResult)
            .where(col(GateResult.study_instance_uid) == row.study_instance_uid)
            .where(col(GateResult.revision) == self.revision)
        )
        for uid, judgements in self.words.items():
            told = (judgement for judgement in judgements.values() if self._is_told(judgement))
            session.add_all(_result(row, uid, judgement) for judgement in told)
        for run in _runs(session, row):
            if state_of(run) is RunState.WAITING:
                self._move(session, run)
        move(session, row, StudyEvent.GATED)
        settle(session, row.study_instance_uid)

    def _is_told(self, judgement: Judgement) -> bool:
        """Not the consent of a marking gate that nobody requires: it would only lengthen every report."""
        required = {gate for gates in self.required.values() for gate in gates}
        return judgement.verdict != "pass" or judgement.name in required or judgement.name not in MARKING_GATES

    def _move(self, session: Session, run: Run) -> None:
        if run.kind != "gate":
            required, lacks = self.required.get(run.id, handlers.USUAL_GATES), self.lacking.get(run.id, "")
            decision = decide_reader(required, run.series, self.words, lacks)
            event = RunEvent.HELD if decision.verdict == "hold" else RunEvent.PASSED
        else:
            decision = decide_gate_run(run.package, run.series, self.words)
            found = self.findings.get(run.id, [])
            run.findings = dump_findings(found)
            event = RunEvent.SCORED if found else RunEvent.HELD  # without a score only the reason can be told
        run.verdict = decision.verdict
        move(session, run, event, _told(decision))


def _told(decision: Decision) -> str:
    return decision.reason if decision.verdict != "pass" else ""


def _runs(session: Session, study: Study) -> list[Run]:
    """The revision's runs that count: those that wait, and those that late images left alone, whose results go on
    being shown beside the gates' words of this revision.
    """
    query = select(Run).where(Run.study_instance_uid == study.study_instance_uid, Run.revision == study.revision)
    given_up = (RunState.SUPERSEDED, RunState.CANCELLED, RunState.DEAD)
    return [run for run in session.exec(query.order_by(col(Run.id))).all() if state_of(run) not in given_up]


def _result(study: Study, uid: str, judgement: Judgement) -> GateResult:
    metrics.GATE_VERDICTS.labels(judgement.name, judgement.verdict).inc()
    return GateResult(
        study_instance_uid=study.study_instance_uid, revision=study.revision, name=judgement.name,
        version=judgement.version, series_instance_uid=uid, score=judgement.score, unit=judgement.unit,
        verdict=judgement.verdict, reason=judgement.reason, instances=[note.as_json() for note in judgement.instances],
    )  # fmt: skip


@contextmanager
def _timed(gate: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    metrics.GATE_SECONDS.labels(gate).observe(time.monotonic() - started)
