"""A shadow reads what a run has read: compared, never sent, in nobody's way, and its failure is its own."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import select

from services.infer.settings import Settings
from services.infer.shadow import MOST_ATTEMPTS, shadow_stage
from services.infer.work import Reader
from shared.packages.installed import Installed
from shared.serving import Models, open_models
from shared.settings import Core
from shared.stage import Stage, run_next, waiting
from shared.store import Book, Delivery, Outbox, Run, ShadowRun, Study
from shared.store.circuits import QUARANTINED, Circuit
from shared.store.moves import move
from shared.study import RunEvent, RunState, StudyState
from shared.versions.choice import use
from tests.images import noise, write
from tests.served import REPOSITORY, gating

NAME = "chest_opacity"


@pytest.fixture
def installed(tmp_path: Path) -> Installed:
    """The shipped version, and 9.0.0 beside it: the same weights, for which everything is an opacity."""
    folder = tmp_path / "models" / NAME
    shutil.copytree(REPOSITORY / NAME, folder, ignore=shutil.ignore_patterns("*.csv", "*.png"))
    shutil.copytree(folder / "1", folder / "2")
    text = (folder / "package.toml").read_text()
    (folder / "1" / "package.toml").write_text(text)
    version = Installed(REPOSITORY).of(NAME)[-1].version
    (folder / "2" / "package.toml").write_text(
        text.replace(f'version = "{version}"', 'version = "9.0.0"').replace("threshold = 0.", "threshold = 0.0000", 1)
    )
    return Installed(tmp_path / "models")


@pytest.fixture
def models(tmp_path: Path) -> Iterator[Models]:
    served = open_models("", tmp_path / "models", in_process=True)
    yield served
    served.close()


@pytest.fixture
def reader(tmp_path: Path, book: Book, installed: Installed, models: Models) -> Reader:
    with book.write() as session:
        use(session, installed, NAME, installed.of(NAME)[0].version, shadow="9.0.0", who="anna")
    return Reader(book, Core(data_dir=tmp_path), installed, models, 20.0)


def read(reader: Reader, version: str = "") -> Run:
    """A run in that version, read."""
    book = reader.book
    path = write(reader.core.data_dir, "dx", noise(64, 64))
    gating(book, reader.core.store_dir, [path], [(NAME, "reader")])
    with book.write() as session:
        run = session.exec(select(Run)).one()
        run.version = version or reader.packages.of(NAME)[0].version
        move(session, run, RunEvent.PASSED)
    assert run_next(book, Stage("infer", Run, (RunState.READY,), reader.work))
    with book.read() as session:
        return session.exec(select(Run)).one()


def shadow_of(book: Book) -> ShadowRun:
    with book.read() as session:
        return session.exec(select(ShadowRun)).one()


def test_it_is_read_when_no_run_waits_and_compared_and_nothing_else(reader: Reader) -> None:
    book, stage = reader.book, shadow_stage(reader, list, Settings())
    run = read(reader)
    assert (run.state, shadow_of(book).state) == (RunState.READ, "waiting")
    with book.write() as session:
        told = len(session.exec(select(Outbox)).all())
        session.get_one(Run, run.id).state = RunState.READY
    assert not waiting(book, stage)
    assert not run_next(book, stage), "another run could be read"
    with book.write() as session:
        session.get_one(Run, run.id).state = RunState.READ
    assert run_next(book, stage)
    shadow = shadow_of(book)
    assert (shadow.state, shadow.differs, shadow.reason) == ("read", True, "says otherwise than the run")
    assert shadow.findings[0]["probability"] == run.findings[0]["probability"]
    assert shadow.findings[0]["version"] == "9.0.0"
    with book.read() as session:
        assert session.get_one(Run, run.id).findings == run.findings
        assert not session.exec(select(Delivery)).all()
        assert len(session.exec(select(Outbox)).all()) == told, "nobody outside is told"


def test_a_run_that_nothing_is_tried_of_holds_no_shadow_up(reader: Reader) -> None:
    run, stage = read(reader), shadow_stage(reader, list, Settings())
    with reader.book.write() as session:
        session.get_one(Run, run.id).state = RunState.READY
        session.add(Circuit(package=run.package, version=run.version, nonsense=3, open_until=QUARANTINED))
    assert run_next(reader.book, stage)
    assert shadow_of(reader.book).state == "read"


def test_its_failure_is_its_own(reader: Reader, installed: Installed) -> None:
    run = read(reader)
    stage = shadow_stage(reader, list, Settings(first_retry_seconds=0.001))
    (installed.of(NAME)[1].weights).write_bytes(b"no network")
    reader.models.unload(NAME)
    reader.models._unloaded.clear()  # type: ignore[attr-defined]
    for _ in range(MOST_ATTEMPTS):
        assert run_next(reader.book, stage)
        with reader.book.write() as session:
            session.exec(select(ShadowRun)).one().next_at = None
    shadow = shadow_of(reader.book)
    assert shadow.state == "dead"
    assert "can't be loaded" in shadow.reason
    with reader.book.read() as session:
        assert session.get_one(Run, run.id).state == RunState.READ
        assert session.exec(select(Study)).one().state == StudyState.GATING


def test_a_canarys_run_has_none(reader: Reader) -> None:
    read(reader, "9.0.0")
    with reader.book.read() as session:
        assert not session.exec(select(ShadowRun)).all()
