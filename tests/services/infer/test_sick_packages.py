"""A package that is ill beside one that is well, on a real Triton: the other goes on, and nothing is lost."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlmodel import select

from services.infer.work import Reader
from shared.guard.rooms import READERS, Rooms
from shared.guard.settings import Guard
from shared.packages.installed import Installed
from shared.serving import open_models
from shared.serving.triton_door import TritonDoor
from shared.serving.triton_server import TritonServer
from shared.settings import Core
from shared.stage import Save, Stage
from shared.store import Book, Circuit, Run, open_book
from shared.store.moves import move
from shared.study import RunEvent, RunState
from shared.uids import derived_uid
from shared.worker import Hands
from tests import sick
from tests.images import write
from tests.served import gating, run_of

pytestmark = pytest.mark.triton
TIME_OUT = 0.7


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    book = open_book(f"sqlite:///{tmp_path}/isocenter.db")
    book.migrate()
    yield book
    book.close()


class Infer:
    """infer as its main puts it together, with hands that look by themselves; `asked` counts attempts by package."""

    def __init__(self, book: Book, folder: Path, environment: Path, hands: int = 1) -> None:
        self.book, self.store, self.folder, self.asked = book, folder / "store", folder, Counter[str]()
        self.ill, _ = sick.write_packages(folder / "models", ["ill", "well"])
        packages = Installed(folder / "models")
        self.server = TritonServer(folder / "models", folder / "triton.log", environment=environment).start()
        self.models = open_models(self.server.url, folder / "models")
        guard = Guard(failures=2, first_pause_seconds=0.5, longest_pause_seconds=2)
        self._reader = Reader(book, Core(data_dir=folder), packages, self.models, TIME_OUT, guard=guard)
        stage = Stage(
            "infer", Run, (RunState.READY,), self._work, only=TritonDoor(self.models).only, most_attempts=20,
            within=Rooms(READERS, timedelta(seconds=60), packages).within, first_delay=timedelta(seconds=0.1),
        )  # fmt: skip
        self.hands = Hands(book, stage, hands)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _work(self, run_id: str) -> Save:
        with self.book.read() as session:
            self.asked[session.get_one(Run, run_id).package] += 1
        return self._reader.work(run_id)

    def _look(self) -> None:
        while not self._stop.wait(0.1):
            self.hands.look()

    def add(self, package: str, count: int) -> None:
        for n in range(count):
            study = derived_uid("test", package, str(n), str(time.monotonic()))
            facts = {"StudyInstanceUID": study, "SeriesInstanceUID": f"{study}.1", "Modality": "DX"}
            uid = gating(self.book, self.store, [write(self.folder, study, **facts)], [(package, "reader")])
            with self.book.write() as session:
                run = session.merge(run_of(self.book, package, uid))
                run.version = "0.1.0"
                move(session, run, RunEvent.PASSED)

    def states(self, package: str) -> Counter[str]:
        with self.book.read() as session:
            return Counter(session.exec(select(Run.state).where(Run.package == package)))

    def close(self) -> None:
        self._stop.set()
        self._thread.join(10)
        self.hands.finish(30)
        self.models.close()
        self.server.stop()


@pytest.fixture
def infer(book: Book, tmp_path: Path, triton_environment: Path) -> Iterator[Infer]:
    infer = Infer(book, tmp_path, triton_environment)
    yield infer
    infer.close()


def until(true: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)


def test_one_that_hangs_is_left_alone_and_goes_on_when_it_answers(infer: Infer, book: Book) -> None:
    sick.make(infer.ill, sick.HANGS)
    infer.add("ill", 6)
    infer.add("well", 6)
    until(lambda: infer.states("well")["read"] == 6)
    with book.read() as session:
        circuit = session.get_one(Circuit, ("ill", "0.1.0"))
    assert circuit.failures >= 2
    assert "DEADLINE_EXCEEDED" in circuit.reason
    assert infer.asked["ill"] < 6, "not each of its runs has burned a time-out"
    assert infer.states("ill") == {"ready": 6}
    sick.make(infer.ill, sick.WELL)
    until(lambda: infer.states("ill")["read"] == 6)
