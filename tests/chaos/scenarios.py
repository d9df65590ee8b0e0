"""Single faults at the worst moment, one for each guard: with the guard nothing is wrong, without it something must be.

Each takes the guards to switch off (tests.chaos.mutants) and returns what was counted. The random harness finds what
nobody has thought of; these find what a guard is there for, each time.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from tests.chaos.counting import Book, Count, count_all, count_events, count_instances
from tests.chaos.made_up import MadeUpStudy, make_study
from tests.chaos.plan import Kind, StudyPlan
from tests.chaos.processes import wait_until
from tests.chaos.pushing import Answers, Modality
from tests.chaos.system import System

_SOON = 60.0


class Scene:
    """A system with some of its services, and one or more studies to push."""

    def __init__(self, system: System) -> None:
        self.system, self.answers = system, Answers()
        self.book = Book(system.direct_database_url)
        self.studies: list[MadeUpStudy] = []
        self.modalities: list[Modality] = []

    def push(self, kind: Kind, late: float = 0.0) -> MadeUpStudy:
        """Starts to push a study; `late` seconds after the rest comes one more image."""
        plan = StudyPlan(len(self.studies), kind, 0.0, "pynetdicom", "", False, False, False, late)
        folder = self.system.folder / "made-up"
        folder.mkdir(exist_ok=True)
        study = make_study(plan, folder, self.system.processes.mark)
        modality = Modality(study, self.system.ports, self.answers, 0.0, self.system.processes.mark)
        modality.start()
        self.studies.append(study)
        self.modalities.append(modality)
        return study

    def states(self) -> list[str]:
        """Of the studies that the book knows."""
        return [row[0] for row in self.book.rows("select state from study")]

    def settled(self) -> bool:
        """Whether every study was taken whole and has ended."""
        return not any(m.is_alive() for m in self.modalities) and bool(self.states()) and not self.book.unsettled()

    def wait(self, true: Callable[[], bool], what: str, seconds: float = _SOON) -> None:
        wait_until(true, seconds, what)

    def count(self) -> Count:
        """Everything, as after a run of the random harness."""
        system = self.system
        return count_all(self.book, system.data, system.peers, self.studies, self.answers)


@contextmanager
def scene(off: str, *watching: str, store: Literal["embedded", "servers"] = "embedded") -> Iterator[Scene]:
    """A system, not yet started, in which the guards `off` are switched off."""
    with System(store, ",".join(filter(None, [*watching, off]))) as system:
        scene = Scene(system)
        try:
            yield scene
        finally:
            for modality in scene.modalities:
                modality.stopping.set()
            scene.book.close()


def power_cut(off: str = "") -> Count:
    """The power fails while images arrive, three times."""
    with scene(off, "ledger") as at:
        kinds: list[Kind] = ["CT", "US", "CT"]
        for kind in kinds:
            at.system.start_service("collect")
            at.wait(at.system.collect_listens, "collect listens")
            before = at.answers.successes
            at.push(kind)
            at.push("CT")
            at.wait(lambda before=before: at.answers.successes >= before + 5, "images arrive")  # type: ignore[misc]
            at.system.power_cut()
        at.system.start_service("collect")
        at.wait(lambda: not any(m.is_alive() for m in at.modalities), "every image was taken")
        deadline = time.monotonic() + _SOON
        while True:
            found = Count(acknowledged=len(at.answers.stored))
            count_instances(at.book, at.system.data / "store", at.answers, found)
            if time.monotonic() > deadline or not any("on the disk, not in the book" in what for what in found.lost):
                return found
            time.sleep(0.5)  # rows follow their files, on a busy machine by some seconds


def stale_commit(off: str = "") -> Count:
    """A worker hangs between its work and its commit; a late image makes the work stale; then the worker goes on."""
    with scene(off, "brake") as at:
        at.system.start()
        (at.system.brakes / "gate").touch()
        at.push("MR", late=5.0)
        at.wait(lambda: not (at.system.brakes / "gate").exists(), "gate hangs")
        at.wait(lambda: not any(m.is_alive() for m in at.modalities), "the late image was taken")
        at.wait(
            lambda: at.book.rows("select 1 from study where state = 'gating' and revision = 2") != [], "decided anew"
        )
        at.system.processes.signal(at.system.processes.named("services.gate"), signal.SIGCONT)
        at.wait(at.settled, "all is settled")
        return at.count()


def lost_bell(off: str = "") -> Count:
    """The broker loses its messages when a study is complete, before anyone has heard them."""
    with scene(off) as at:
        at.system.start_service("collect")
        at.wait(at.system.collect_listens, "collect listens")
        at.push("CT")
        at.wait(lambda: "waiting" in at.states() and at.book.rows("select 1 from outbox") == [], "the bell is rung")
        for path in (at.system.data / "broker" / "messages").glob("*.msg"):
            path.unlink()
        at.system.start_service("decide")
        _until_settled(at, 15)
        found = Count()
        found.stuck += at.book.unsettled()
        return found


def broker_away(off: str = "") -> Count:
    """The broker is away while a study becomes complete; who listens to the events must hear of it all the same."""
    with scene(off, store="servers") as at:
        for name in ("collect", "decide"):
            at.system.start_service(name)
        at.wait(at.system.collect_listens, "collect listens")
        at.system.proxies["broker"].refuse()
        at.push("CT")
        at.wait(lambda: "waiting" in at.states(), "the study is complete")
        at.system.proxies["broker"].resume()
        _until_settled(at, 30)
        time.sleep(3)
        found = Count()
        found.stuck += at.book.unsettled()
        assert at.system.listener
        count_events(at.book, at.system.listener.heard(), found)
        return found


def replay(off: str = "") -> Count:
    """A person replays a study whose results are at the PACS."""
    with scene(off) as at:
        at.system.start()
        study = at.push("DX")
        at.wait(at.settled, "all is settled")
        isocenter = Path(sys.executable).with_name("isocenter")
        command = [isocenter, "replay", study.study_instance_uid, "--config", at.system.config]
        subprocess.run([str(word) for word in command], check=True, capture_output=True, timeout=60)
        at.wait(at.settled, "all is settled again")
        return at.count()


def _until_settled(at: Scene, seconds: float) -> None:
    """Waits, and leaves it to the count what is stuck."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not at.settled():
        time.sleep(0.1)
