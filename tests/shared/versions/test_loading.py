"""Versions on a real Triton, loaded, canaried, rolled back and unloaded while requests go on: none is lost."""

import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from shared.packages.installed import Installed
from shared.serving.models import ModelUnavailable
from shared.serving.triton_grpc import TritonModels
from shared.serving.triton_server import TritonServer
from shared.store import Book
from shared.versions.choice import packages_for, roll_back, use
from shared.versions.loading import AGAIN_SECONDS, VersionLoader
from tests.books import new_book
from tests.versioned import NAME, add_version

pytestmark = pytest.mark.triton
ROW = np.ones((3, 4), np.float32)


class Served:
    """A Triton with its loader, driven by hand."""

    def __init__(self, repository: Path, models: TritonModels, book: Book) -> None:
        self.repository, self.models, self.book, self.now = repository, models, book, 0.0
        self.installed = Installed(repository, clock=lambda: self.now)
        self.loader = VersionLoader(models, book, self.installed, gates=False, clock=lambda: self.now)

    def look(self, seconds: float = 10.0) -> set[int]:
        for _ in range(2):  # what is new is taken at the second look
            self.now += seconds
            self.loader.look()
        return self.models.served()[NAME]

    def use(self, version: str, **more: object) -> None:
        with self.book.write() as session:
            use(session, self.installed, NAME, version, **more)  # type: ignore[arg-type]

    def answer(self, version: str) -> float:
        number = str(self.installed[NAME, version].number)
        (answer,) = np.unique(self.models.infer(NAME, {"row": ROW}, version=number)["sum"])
        return float(answer) / 4


@pytest.fixture
def served(tmp_path: Path, triton_environment: Path) -> Iterator[Served]:
    repository = tmp_path / "models"
    add_version(repository, 1)
    with (
        new_book("sqlite", tmp_path) as book,
        TritonServer(repository, tmp_path / "triton.log", environment=triton_environment) as server,
        TritonModels(server.url) as models,
    ):
        yield Served(repository, models, book)


class Traffic:
    """Studies that come one after the other, each decided and read at once, in several threads."""

    def __init__(self, served: Served, threads: int = 4) -> None:
        self.served, self.answers, self.stopping = served, Counter[tuple[str, str]](), threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(n,)) for n in range(threads)]

    def _run(self, thread: int) -> None:
        count = 0
        while not self.stopping.is_set():
            count += 1
            with self.served.book.read() as session:
                ((package, _, _),) = packages_for(session, self.served.installed, f"1.{thread}.{count}")
            if self.served.loader.awaits(package):
                self.answers[package.version, "waited"] += 1
                self.stopping.wait(0.01)
                continue
            try:
                said = self.served.answer(package.version)
                self.answers[package.version, "right" if f"{said:.1f}.0" == package.version else f"{said}"] += 1
            except ModelUnavailable as error:
                self.answers[package.version, str(error)] += 1

    def __enter__(self) -> "Traffic":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def pass_by(self, version: str, count: int = 50) -> None:
        """Until so many more of this version have been answered."""
        until = self.answers[version, "right"] + count
        while self.answers[version, "right"] < until:
            assert not self.stopping.wait(0.01)
            assert {said for _, said in self.answers} <= {"right", "waited"}, self.answers


def test_no_request_is_lost_while_versions_come_and_go(served: Served) -> None:
    assert served.look() == {1}
    with Traffic(served) as traffic:
        traffic.pass_by("1.0.0")
        served.use("1.0.0")
        add_version(served.repository, 2)
        assert served.look() == {1}, "installed is not chosen"
        served.use("1.0.0", canary="2.0.0", share=0.3)
        assert served.look() == {1, 2}
        traffic.pass_by("2.0.0")
        served.use("2.0.0")
        traffic.pass_by("2.0.0")
        add_version(served.repository, 3)
        served.look()
        served.use("3.0.0")
        assert served.look() == {2, 3}, "the one before stays, for a rollback"
        traffic.pass_by("3.0.0")
        with served.book.write() as session:
            roll_back(session, served.installed, NAME)
        traffic.pass_by("2.0.0")
        assert served.look() == {1, 2}
        shutil.rmtree(served.repository / NAME / "3")
        assert served.look() == {1, 2}
    assert {version for version, said in traffic.answers if said == "right"} == {"1.0.0", "2.0.0", "3.0.0"}


def test_a_version_that_can_not_be_loaded_disturbs_no_other_and_is_not_awaited(served: Served) -> None:
    served.use("1.0.0")
    add_version(served.repository, 2, b"no network")
    served.look()
    served.use("1.0.0", canary="2.0.0", share=0.5)
    assert served.look() == {1}
    broken = served.installed[NAME, "2.0.0"]
    assert not served.loader.awaits(broken), "asked, it says why not"
    with pytest.raises(ModelUnavailable):
        served.answer("2.0.0")
    assert served.answer("1.0.0") == 1.0
    (served.repository / NAME / "2" / "model.onnx").write_bytes(
        (served.repository / NAME / "1" / "model.onnx").read_bytes()
    )
    assert served.look(AGAIN_SECONDS) == {1, 2}


def test_weights_that_are_replaced_are_loaded_anew(served: Served) -> None:
    assert served.look() == {1}
    add_version(served.repository, 5)
    (served.repository / NAME / "5" / "model.onnx").replace(served.repository / NAME / "1" / "model.onnx")
    shutil.rmtree(served.repository / NAME / "5")
    assert served.look() == {1}
    assert served.answer("1.0.0") == 5.0
