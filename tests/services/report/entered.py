"""A run with its study and its files, where collect, gate and infer would have put them."""

from pathlib import Path
from shutil import copy

from services.report.facts import RunFacts
from shared.findings import dump_findings
from shared.settings import Core
from shared.store import Book, GateResult, Instance, Run, Study
from shared.store.moves import enter as enter_row
from shared.store.moves import move
from shared.study import Failure, RunEvent, RunState, StudyState


def enter(
    book: Book, home: Core, facts: RunFacts, paths: list[Path], event: RunEvent = RunEvent.READ, run_id: str = "run-1"
) -> str:
    """Puts a study with one run there, which `event` has just moved; returns the study's UID."""
    uid, series = facts.study.study_instance_uid, facts.run.series[0]
    folder = Path(uid) / series
    (home.store_dir / folder).mkdir(parents=True)
    with book.write() as session:
        session.add(Study(study_instance_uid=uid, state=StudyState.RUNNING))
        session.flush()
        for path in paths:
            copy(path, home.store_dir / folder / path.name)
            session.add(instance_of(uid, series, folder / path.name))
        run = Run(
            id=run_id, study_instance_uid=uid, revision=1, package="motion_ssim", version="1.2.0", kind="reader",
            series=[series], verdict="pass", priority=2, findings=dump_findings(facts.findings),
            state=RunState.WAITING if event is RunEvent.HELD else RunState.READY,
            failure=Failure.AWAY if event is RunEvent.GAVE_UP else "",
        )  # fmt: skip
        enter_row(session, run)
        session.add(GateResult(study_instance_uid=uid, revision=1, name="geometry", verdict="pass"))
        session.flush()
        move(session, run, event, "the patient moved" if event is RunEvent.HELD else "slice 3 is blurred")
    return uid


def instance_of(uid: str, series: str, path: Path) -> Instance:
    """An image of the series, whose number is among those that results begin at."""
    return Instance(
        study_instance_uid=uid, series_instance_uid=series, sop_instance_uid=path.stem, sop_class_uid="1.2",
        transfer_syntax_uid="1.2", path=str(path), size=1, digest="", header={"series_number": 9005},
    )  # fmt: skip
