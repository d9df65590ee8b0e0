"""infer as its main puts it together, on a real Triton of the test's own, with hands that look by themselves."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
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
from shared.store import Book, Run
from shared.store.moves import move
from shared.study import RunEvent, RunState
from shared.uids import derived_uid
from shared.worker import Hands
from tests.images import noise, write
from tests.served import gating, run_of

LEASE = timedelta(seconds=60)


def until(true: Callable[[], object], seconds: float = 60) -> None:
    """Waits for it."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)


class Infer:
    """One service infer on the packages that lie in `folder / "models"`. `asked` counts attempts by package."""

    def __init__(self, book: Book, folder: Path, environment: Path, hands: int = 1, timeout_s: float = 0.7) -> None:
        self.book, self.store, self.folder, self.asked = book, folder / "store", folder, Counter[str]()
        packages = Installed(folder / "models")
        self.server = TritonServer(folder / "models", folder / "triton.log", environment=environment).start()
        self.models = open_models(self.server.url, folder / "models")
        guard = Guard(failures=2, first_pause_seconds=0.5, longest_pause_seconds=2)
        self._reader = Reader(book, Core(data_dir=folder), packages, self.models, timeout_s, guard=guard)
        stage = Stage(
            "infer", Run, (RunState.READY,), self._work, only=TritonDoor(self.models).only, most_attempts=20,
            within=Rooms(READERS, LEASE, packages).within, first_delay=timedelta(seconds=0.1), lease=LEASE,
        )  # fmt: skip
        self.hands, self.deaths = Hands(book, stage, hands), 0
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

    def start_triton_again(self) -> None:
        """Where it has died, as `isocenter up` does; `deaths` counts."""
        if not self.server.running:
            self.deaths += 1
            self.server.start()

    def add(self, package: str, count: int) -> list[str]:
        """So many studies of one radiograph each, for the package to read; their Study Instance UIDs."""
        return [self.add_image(package, noise(seed=n)) for n in range(count)]

    def add_image(self, package: str, pixels: NDArray[Any]) -> str:
        """A study of one radiograph with these stored values; its Study Instance UID."""
        study = derived_uid("test", package, str(time.monotonic()))
        facts = {"StudyInstanceUID": study, "SeriesInstanceUID": f"{study}.1", "Modality": "DX"}
        uid = gating(self.book, self.store, [write(self.folder, study, pixels, **facts)], [(package, "reader")])
        with self.book.write() as session:
            run = session.merge(run_of(self.book, package, uid))
            run.version = "0.1.0"
            move(session, run, RunEvent.PASSED)
        return uid

    def states(self, package: str) -> Counter[str]:
        """How many of its runs are in each state."""
        with self.book.read() as session:
            return Counter(session.exec(select(Run.state).where(Run.package == package)))

    def close(self) -> None:
        """Ends all of it."""
        self._stop.set()
        self._thread.join(10)
        self.hands.finish(30)
        self.models.close()
        self.server.stop()
