"""Triton killed, silent and back under load: nothing is taken up meanwhile, and all goes on by itself."""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlmodel import func, select

from services.infer.work import Reader
from shared.guard.rooms import READERS, Rooms
from shared.phantoms.chest_dx import chest_radiograph
from shared.phantoms.dicom import Patient, Visit, dx_image
from shared.serving import open_models
from shared.serving.triton_door import TritonDoor
from shared.serving.triton_server import TritonServer
from shared.settings import Core
from shared.stage import Save, Stage
from shared.store import Book, Run, open_book
from shared.store.moves import move
from shared.study import RunEvent, RunState
from shared.worker import Hands
from tests.served import REPOSITORY, gating, packages, run_of

pytestmark = pytest.mark.triton
HANDS, STUDIES = 2, 8


def until(true: Callable[[], object], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)


@pytest.fixture
def server(triton_environment: Path, tmp_path: Path) -> Iterator[TritonServer]:
    with TritonServer(
        REPOSITORY, tmp_path / "triton.log", environment=triton_environment, models=["chest_opacity"]
    ) as started:
        yield started


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    book = open_book(f"sqlite:///{tmp_path}/isocenter.db")
    book.migrate()
    yield book
    book.close()


class Infer:
    """infer as its main puts it together, with hands that look by themselves; `taken` are the runs it took up, and
    each taking reads the run's images."""

    def __init__(self, book: Book, store: Path, url: str) -> None:
        self.book, self.store, self.taken = book, store, Counter[str]()
        self._made = 0
        self.models = open_models(url, REPOSITORY)
        self._reader = Reader(book, Core(data_dir=store.parent), packages(), self.models, 3.0)
        rooms = Rooms(READERS, timedelta(seconds=60), packages())
        stage = Stage(
            "infer", Run, (RunState.READY,), self._work, only=TritonDoor(self.models).only, within=rooms.within
        )
        self.hands = Hands(book, stage, HANDS)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _work(self, run_id: str) -> Save:
        self.taken[run_id] += 1
        return self._reader.work(run_id)

    def _look(self) -> None:
        while not self._stop.wait(0.2):
            self.hands.look()

    def add(self, folder: Path, count: int) -> None:
        pixels = chest_radiograph(1, 0, (350, 300))
        for _ in range(count):
            self._made += 1
            visit = Visit(Patient("TEST^NOBODY", "X1"), f"A{self._made}")
            ds = dx_image(pixels.pixels, visit, spacing_mm=pixels.spacing_mm)
            ds.save_as(folder / "dx.dcm", enforce_file_format=True)
            uid = gating(self.book, self.store, [folder / "dx.dcm"], [("chest_opacity", "reader")])
            with self.book.write() as session:
                move(session, session.merge(run_of(self.book, "chest_opacity", uid)), RunEvent.PASSED)

    def read(self) -> int:
        with self.book.read() as session:
            return session.scalar(select(func.count()).select_from(Run).where(Run.state == RunState.READ)) or 0

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(10)
        self.hands.finish(30)
        self.models.close()


@pytest.mark.parametrize(
    ("away", "back"),
    [
        (lambda server: os.kill(server.pid, signal.SIGKILL), lambda server, _: server.start()),
        (lambda server: os.kill(server.pid, signal.SIGSTOP), lambda _, pid: os.kill(pid, signal.SIGCONT)),
    ],
    ids=["killed", "silent"],
)
def test_triton_goes_and_comes_back(
    away: Callable[[TritonServer], None], back: Callable[[TritonServer, int], object], server: TritonServer,
    book: Book, tmp_path: Path,
) -> None:  # fmt: skip
    infer = Infer(book, tmp_path / "store", server.url)
    try:
        infer.add(tmp_path, STUDIES)
        until(lambda: infer.read() >= 2)
        pid = server.pid
        away(server)
        infer.add(tmp_path, STUDIES)
        time.sleep(12)  # the time-out of what was in hand, and of the question whether Triton is there
        taken, read = infer.taken.total(), infer.read()
        assert read < 2 * STUDIES
        time.sleep(6)
        assert infer.taken.total() == taken, "nothing is taken up"
        back(server, pid)
        until(lambda: infer.read() == 2 * STUDIES)
    finally:
        infer.stop()
    again = [run_id for run_id, count in infer.taken.items() if count > 1]
    assert len(again) <= HANDS, "only what was in hand was tried again"
    assert max(infer.taken.values()) <= 2
