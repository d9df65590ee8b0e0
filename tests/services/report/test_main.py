"""The stage as a whole: from a run in the book and files in the store to files, deliveries and the study's ending."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from shutil import copy

import pydicom
import pytest
from sqlmodel import Session, select

from services.report.facts import RunFacts
from services.report.identity import control_id
from services.report.main import OUTCOMES, Reporter
from services.report.settings import Settings
from shared.packages.installed import Installed
from shared.settings import Core, Destination
from shared.stage import Stage, run_next
from shared.store import Book, Delivery, Journal, Outbox, Run, Study
from shared.store.actions import release
from shared.store.moves import enter as enter_row
from shared.store.moves import move, settle
from shared.study import DeliveryEvent, DeliveryState, RunEvent, RunState, StudyState
from tests.services.report.entered import enter, instance_of

DESTINATIONS = [
    Destination(name="pacs", kind="dicom", host="h", port=104, ae_title="PACS"),
    Destination(name="ris", kind="mllp", host="h", port=2575, receiving_application="RIS"),
]
Add = Callable[[str], None]


@pytest.fixture
def home(tmp_path: Path) -> Core:
    return Core(data_dir=tmp_path / "home")


@pytest.fixture
def reporter(book: Book, home: Core, tmp_path: Path) -> Reporter:
    return Reporter(book, home, Settings(), DESTINATIONS, Installed(tmp_path / "no packages here"))


@pytest.fixture
def stage(reporter: Reporter) -> Stage:
    return Stage("report", Run, tuple(OUTCOMES), reporter.work)


@pytest.fixture
def enter_run(book: Book, home: Core, mr_facts: RunFacts, mr_paths: list[Path]) -> Callable[..., str]:
    """Puts a study with one run, read or held, and its files where collect, gate and infer would have."""

    return partial(enter, book, home, mr_facts, mr_paths)


def deliveries(book: Book) -> list[Delivery]:
    with book.read() as session:
        return list(session.exec(select(Delivery).order_by(Delivery.kind)).all())


def the_run(book: Book) -> Run:
    with book.read() as session:
        return session.exec(select(Run)).one()


def test_a_read_run_becomes_files_and_deliveries(
    book: Book, stage: Stage, home: Core, enter_run: Callable[..., str]
) -> None:
    uid = enter_run()
    assert run_next(book, stage)
    run, sent = the_run(book), deliveries(book)
    assert (run.state, run.reason) == (RunState.SENDING, "slice 3 is blurred")
    assert [(d.kind, d.destination, d.priority) for d in sent] == [
        ("ORU", "ris", 2),
        ("SC", "pacs", 2),
        ("SR", "pacs", 2),
    ]
    for delivery in sent:
        path = home.data_dir / delivery.path
        assert path.parent == home.results_dir / uid / run.id
        if delivery.kind == "ORU":
            assert delivery.identifier.encode() in path.read_bytes()
        else:
            ds = pydicom.dcmread(path)
            assert ds.SOPInstanceUID == delivery.identifier
            assert ds.SeriesNumber > 10000  # 9005 is taken by the study itself
    assert not list(home.results_dir.rglob(".*"))
    with book.read() as session:
        rung = session.exec(select(Outbox).where(Outbox.stage == "send")).all()
        assert {bell.row_id for bell in rung} == {d.id for d in sent}


def test_a_held_run_sends_its_reason_and_ends_held(book: Book, stage: Stage, enter_run: Callable[..., str]) -> None:
    enter_run(RunEvent.HELD)
    assert run_next(book, stage)
    (message,) = deliveries(book)
    assert message.kind == "ORU"
    assert (the_run(book).state, the_run(book).reason) == (RunState.HELD, "the patient moved")


def test_a_replay_writes_the_same_objects_and_sends_them_again(
    book: Book, stage: Stage, home: Core, enter_run: Callable[..., str]
) -> None:
    enter_run()
    run_next(book, stage)
    first = {d.id: (home.data_dir / d.path).read_bytes() for d in deliveries(book)}
    with book.write() as session:
        for delivery in session.exec(select(Delivery).where(Delivery.kind != "ORU")).all():
            move(session, delivery, DeliveryEvent.ACCEPTED)
        _again(session)
        run = session.exec(select(Run)).one()
        run.read_at = datetime(2030, 1, 1, tzinfo=UTC)
        session.add(_journal(run, "read", run.read_at))
        session.add(_journal(run, "read", datetime(2001, 1, 1, tzinfo=UTC)))  # an earlier run of the package's
    run_next(book, stage)
    assert {d.id: (home.data_dir / d.path).read_bytes() for d in deliveries(book)} == first
    assert {d.state for d in deliveries(book)} == {DeliveryState.WAITING}


def test_results_that_came_back_move_no_series_number(
    book: Book, stage: Stage, home: Core, enter_run: Callable[..., str]
) -> None:
    uid = enter_run()
    run_next(book, stage)
    numbers = series_numbers(home)
    with book.write() as session:
        for number in numbers.values():
            returned = instance_of(uid, f"1.9.{number}", Path(f"1.9.{number}.dcm"))
            returned.header = {"series_number": number, "manufacturer": "Isocenter"}
            session.add(returned)
        _again(session)
    run_next(book, stage)
    assert series_numbers(home) == numbers


def test_the_library_lists_only_images_of_the_runs_series(
    book: Book, stage: Stage, home: Core, enter_run: Callable[..., str], dx_paths: list[Path]
) -> None:
    uid = enter_run()
    copy(dx_paths[0], home.store_dir / uid / dx_paths[0].name)
    with book.write() as session:
        session.add(instance_of(uid, "1.9", Path(uid) / dx_paths[0].name))
    run_next(book, stage)
    (report,) = home.results_dir.rglob("SR_1.dcm")
    assert dx_paths[0].stem not in str(pydicom.dcmread(report))


def series_numbers(home: Core) -> dict[str, int]:
    """By Series Instance UID."""
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in home.results_dir.rglob("*.dcm")]
    return {str(ds.SeriesInstanceUID): int(ds.SeriesNumber) for ds in headers}


def _journal(run: Run, state: str, at: datetime) -> Journal:
    subject = f"run {run.package} {run.version}"
    return Journal(study_instance_uid=run.study_instance_uid, subject=subject, event=state, state=state, at=at)


def _again(session: Session) -> None:
    run = session.exec(select(Run)).one()
    run.state = RunState.READ
    session.add(run)


@pytest.mark.parametrize(
    ("outcome", "state", "status"),
    [
        ("read", DeliveryState.DELIVERED, "C"),
        ("read", DeliveryState.DEAD, "F"),
        ("held", DeliveryState.DELIVERED, "F"),
    ],
)
def test_only_a_result_that_arrived_is_corrected(
    book: Book, stage: Stage, home: Core, enter_run: Callable[..., str], outcome: str, state: str, status: str
) -> None:
    uid = enter_run()
    with book.write() as session:
        run = session.exec(select(Run)).one()
        run.supersedes = "run-0b"
        session.add(run)
        for earlier, older in (("run-0a", ""), ("run-0b", "run-0a")):
            values = run.model_dump() | {"id": earlier, "supersedes": older, "state": RunState.SUPERSEDED}
            session.add(Run(**values))
        session.flush()
        session.add(
            Delivery(
                id="d", run_id="run-0a", study_instance_uid=uid, destination="ris", kind="ORU", path="p", state=state,
                identifier=control_id("run-0a", "ris", outcome),
            )
        )  # fmt: skip
    run_next(book, stage)
    (message,) = home.results_dir.rglob("run-1/*.hl7")
    rows = [line.split("|") for line in message.read_bytes().decode().split("\r") if line.startswith("OBX")]
    assert {row[11] for row in rows} == {status}


def test_who_released_a_held_study_stands_in_its_results(
    book: Book, stage: Stage, home: Core, enter_run: Callable[..., str]
) -> None:
    uid = enter_run(RunEvent.HELD)
    run_next(book, stage)
    with book.write() as session:
        move(session, session.exec(select(Delivery)).one(), DeliveryEvent.ACCEPTED)
        run = session.exec(select(Run)).one()
        run.verdict = "hold"
        settle(session, uid)
        release(session, uid, "Dr. Who", "seen at the scanner")
        session.add(run)
        move(session, run, RunEvent.READ, run.reason)
    run_next(book, stage)
    first = {path: path.read_bytes() for path in home.results_dir.rglob("*_*.*")}
    released = "released by Dr. Who: seen at the scanner"
    told = {path.name for path, content in first.items() if released.encode() in content}
    assert told == {"SR_1.dcm", "ORU_read_ris.hl7"}
    with book.write() as session:
        run = session.exec(select(Run)).one()
        run.state = RunState.READY
        session.add(run)
        move(session, run, RunEvent.READ, "on the gates' earlier word")
    run_next(book, stage)
    assert {path: path.read_bytes() for path in home.results_dir.rglob("*_*.*")} == first


def test_files_that_are_away_are_waited_for(
    book: Book, stage: Stage, home: Core, enter_run: Callable[..., str]
) -> None:
    enter_run()
    away = home.data_dir / "away"
    home.store_dir.rename(away)
    run_next(book, stage)
    assert the_run(book).state == RunState.READ
    assert "12 of 12 stored images are not on the disk" in the_run(book).reason
    assert deliveries(book) == []
    away.rename(home.store_dir)
    with book.write() as session:
        run = session.exec(select(Run)).one()
        run.next_at = datetime(2020, 1, 1, tzinfo=UTC)
        session.add(run)
    run_next(book, stage)
    assert len(deliveries(book)) == 3
    assert the_run(book).reason == "slice 3 is blurred"  # not the failed attempt's


def test_what_is_missing_stands_in_the_runs_reason(
    book: Book, stage: Stage, home: Core, enter_run: Callable[..., str]
) -> None:
    enter_run()
    for path in home.store_dir.rglob("*.dcm"):
        ds = pydicom.dcmread(path)
        del ds.PixelData
        ds.save_as(path)
    run_next(book, stage)
    assert [d.kind for d in deliveries(book)] == ["ORU", "SR"]
    assert "no SC" in the_run(book).reason


def test_without_destinations_the_study_ends(
    book: Book, home: Core, tmp_path: Path, enter_run: Callable[..., str]
) -> None:
    enter_run()
    alone = Reporter(book, home, Settings(), [], Installed(tmp_path))
    run_next(book, Stage("report", Run, (RunState.READ,), alone.work))
    assert the_run(book).state == RunState.DELIVERED
    with book.read() as session:
        assert session.exec(select(Study)).one().state == StudyState.DELIVERED


def test_two_runs_have_series_numbers_of_their_own(
    book: Book, stage: Stage, home: Core, mr_facts: RunFacts, enter_run: Callable[..., str]
) -> None:
    enter_run()
    with book.write() as session:
        old = session.exec(select(Run)).one()
        other = Run(
            **{**old.model_dump(exclude={"created_at"}), "id": "run-2", "package": "other", "supersedes": "run-1"}
        )
        other.state = RunState.READ
        enter_row(session, other)
    while run_next(book, stage):
        pass
    series = series_numbers(home)
    assert len(series) == len(set(series.values())) == 4


def test_the_journal_names_no_patient(book: Book, stage: Stage, enter_run: Callable[..., str]) -> None:
    enter_run()
    run_next(book, stage)
    with book.read() as session:
        assert all("PHANTOM" not in line.reason for line in session.exec(select(Journal)).all())


def test_a_held_runs_report_is_named_by_the_one_after_its_release(
    book: Book, stage: Stage, reporter: Reporter, home: Core, enter_run: Callable[..., str]
) -> None:
    uid = enter_run(RunEvent.HELD)
    wants = [DESTINATIONS[0].model_copy(update={"objects": ["SR", "NASR"]})]
    stage = Stage(stage.name, Run, stage.states, replace(reporter, destinations=wants).work)
    assert run_next(book, stage)
    (told,) = deliveries(book)
    assert (told.kind, told.destination) == ("NASR", "pacs")
    assert pydicom.dcmread(home.data_dir / told.path).SOPInstanceUID == told.identifier
    with book.write() as session:
        move(session, session.get_one(Delivery, told.id), DeliveryEvent.ACCEPTED)
        run = session.exec(select(Run)).one()
        run.verdict = "hold"
        settle(session, uid)
        release(session, uid, "Dr. Who", "seen at the scanner")
        session.add(run)
        move(session, run, RunEvent.READ, run.reason)
    assert run_next(book, stage)
    (path,) = home.results_dir.rglob("SR_1.dcm")
    series = pydicom.dcmread(path).PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0]
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == told.identifier
