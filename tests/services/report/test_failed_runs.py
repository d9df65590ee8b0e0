"""A run that failed: who is told so, once, and what becomes of run and study."""

from pathlib import Path

import pydicom
import pytest
from sqlmodel import select

from services.report.facts import RunFacts
from services.report.main import OUTCOMES, Reporter
from services.report.settings import Settings
from shared.packages.installed import Installed
from shared.settings import Core, Destination
from shared.stage import GiveUp, Save, Stage, run_next
from shared.store import Book, Delivery, Run, Study
from shared.store.actions import replay, replay_dead_parts
from shared.store.moves import Row, move, settle
from shared.study import DeliveryEvent, Failure, RunEvent, RunState
from tests.services.report.entered import enter

PACS = {"kind": "dicom", "host": "h", "port": 104, "ae_title": "PACS"}
TOLD = [
    Destination(name="pacs", objects=["SR", "NASR"], **PACS),
    Destination(name="ris", kind="mllp", host="h", port=1),
]
UNTOLD = [Destination(name="pacs", **PACS)]


@pytest.fixture
def home(tmp_path: Path) -> Core:
    return Core(data_dir=tmp_path / "home")


def report_stage(book: Book, home: Core, destinations: list[Destination]) -> Stage:
    reporter = Reporter(book, home, Settings(), destinations, Installed(home.data_dir / "no packages here"))
    return Stage("report", Run, tuple(OUTCOMES), reporter.work)


def infer_stage(error: Exception | None = None) -> Stage:
    """Reads what is READY, or fails at it."""

    def work(_run_id: str) -> Save:
        if error:
            raise error
        return read

    def read(session: object, row: Row) -> None:
        move(session, row, RunEvent.READ)  # type: ignore[arg-type]

    return Stage("infer", Run, (RunState.READY,), work)


def states(book: Book) -> tuple[str, str]:
    with book.read() as session:
        return session.exec(select(Study)).one().state, session.exec(select(Run)).one().state


def deliveries(book: Book) -> list[Delivery]:
    with book.read() as session:
        return list(session.exec(select(Delivery).order_by(Delivery.created_at)).all())


def settled(book: Book, uid: str, event: DeliveryEvent = DeliveryEvent.ACCEPTED) -> None:
    """What waits to be sent comes to its end."""
    with book.write() as session:
        for delivery in session.exec(select(Delivery).where(Delivery.state == "waiting")).all():
            move(session, delivery, event)
        settle(session, uid)


def replayed(book: Book, name: str) -> None:
    with book.write() as session:
        replay(session, name, "cli")


@pytest.fixture
def failed(book: Book, home: Core, mr_facts: RunFacts, mr_paths: list[Path]) -> str:
    """The study's UID."""
    return enter(book, home, mr_facts, mr_paths, RunEvent.GAVE_UP)


def test_who_wants_notices_is_told_and_the_study_ends_dead_after_it(book: Book, home: Core, failed: str) -> None:
    assert states(book) == ("running", "failing")
    assert run_next(book, report_stage(book, home, TOLD))
    (told,) = deliveries(book)
    assert (told.kind, told.destination, told.state) == ("NASR", "pacs", "waiting")
    assert states(book) == ("running", "dead")
    settled(book, failed)
    assert states(book) == ("dead", "dead")
    with book.read() as session:
        study = session.exec(select(Study)).one()
        assert study.reason == "run motion_ssim 1.2.0: slice 3 is blurred", "the failure's words, not the report's"


def test_a_notice_that_is_refused_leaves_the_run_dead_for_its_own_reason(book: Book, home: Core, failed: str) -> None:
    run_next(book, report_stage(book, home, TOLD))
    settled(book, failed, DeliveryEvent.GAVE_UP)
    assert states(book) == ("dead", "dead")
    replayed(book, deliveries(book)[0].id)
    assert states(book) == ("running", "dead"), "a notice that is sent after all is no result"
    settled(book, failed)
    assert states(book) == ("dead", "dead")


def test_the_button_for_what_died_does_the_run_again_and_sends_no_old_notice(
    book: Book, home: Core, failed: str
) -> None:
    run_next(book, report_stage(book, home, TOLD))
    settled(book, failed, DeliveryEvent.GAVE_UP)
    with book.write() as session:
        replay_dead_parts(session, failed, "cli")
    assert states(book) == ("running", "ready")
    assert [d.state for d in deliveries(book)] == ["cancelled"]


def test_who_wants_none_is_not_told_even_without_the_images(book: Book, home: Core, failed: str) -> None:
    home.store_dir.rename(home.data_dir / "away")
    assert run_next(book, report_stage(book, home, UNTOLD))
    assert deliveries(book) == []
    assert states(book) == ("dead", "dead")


def test_it_is_told_once_and_the_report_after_all_names_the_notice(book: Book, home: Core, failed: str) -> None:
    reports = report_stage(book, home, TOLD)
    run_next(book, reports)
    settled(book, failed)
    for error in (GiveUp("no pixels", Failure.UNDECODABLE), GiveUp("again", Failure.AWAY)):
        replayed(book, "run-1")
        run_next(book, infer_stage(error))
        assert run_next(book, reports)
        assert len(deliveries(book)) == 1, "one that knows is not told again"
        assert states(book) == ("dead", "dead")
    replayed(book, "run-1")
    run_next(book, infer_stage())
    run_next(book, reports)
    settled(book, failed)
    assert states(book) == ("delivered", "delivered")
    notice, *results = deliveries(book)
    (sr,) = [d for d in results if d.kind == "SR"]
    series = pydicom.dcmread(home.data_dir / sr.path).PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0]
    assert [i.ReferencedSOPInstanceUID for i in series.ReferencedSOPSequence] == [notice.identifier]


def test_a_notice_that_never_left_is_withdrawn_and_one_of_another_cause_takes_its_place(
    book: Book, home: Core, failed: str
) -> None:
    reports = report_stage(book, home, TOLD)
    run_next(book, reports)
    replayed(book, "run-1")
    run_next(book, infer_stage(GiveUp("no pixels", Failure.UNDECODABLE)))
    run_next(book, reports)
    first, second = deliveries(book)
    assert (first.state, second.state) == ("cancelled", "waiting")
    assert (home.data_dir / first.path).read_bytes() != (home.data_dir / second.path).read_bytes()
    assert first.identifier != second.identifier


def test_a_run_that_fails_when_it_is_done_again_does_not_deny_the_results_that_are_there(
    book: Book, home: Core, mr_facts: RunFacts, mr_paths: list[Path]
) -> None:
    uid, reports = enter(book, home, mr_facts, mr_paths), report_stage(book, home, TOLD)
    run_next(book, reports)
    settled(book, uid)
    replayed(book, "run-1")
    run_next(book, infer_stage(GiveUp("no pixels")))
    run_next(book, reports)
    assert [d.kind for d in deliveries(book) if d.kind == "NASR"] == []
    assert states(book) == ("dead", "dead")


@pytest.mark.parametrize(
    ("error", "failure"),
    [(GiveUp("x", Failure.UNREADABLE), "unreadable"), (GiveUp("x"), "broke-off"), (ValueError("x"), "broke-off")],
)
def test_the_class_of_a_failure_is_kept_until_it_is_replayed(
    book: Book, home: Core, mr_facts: RunFacts, mr_paths: list[Path], error: Exception, failure: str
) -> None:
    enter(book, home, mr_facts, mr_paths)
    with book.write() as session:
        run = session.exec(select(Run)).one()
        run.state = RunState.READY
        session.add(run)
    stage = infer_stage(error)
    run_next(book, Stage(stage.name, Run, stage.states, stage.work, most_attempts=1))
    with book.read() as session:
        assert session.exec(select(Run)).one().failure == failure
    run_next(book, report_stage(book, home, UNTOLD))
    replayed(book, "run-1")
    with book.read() as session:
        assert session.exec(select(Run)).one().failure == ""
