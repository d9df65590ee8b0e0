"""One run: a plan's studies are pushed through a system while its faults are injected; then everything is counted."""

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from typing import Literal

from tests.chaos.counting import Book, count_all, count_events
from tests.chaos.faults import Faults, Undo
from tests.chaos.made_up import MadeUpStudy, make_study
from tests.chaos.plan import Fault, Plan, make_plan
from tests.chaos.pushing import Answers, Modality
from tests.chaos.system import LEASE_SECONDS, System
from tests.chaos.table import Run

_SAY_EVERY = 5.0
_MIB_PER_STUDY = 12  # of results, mostly
_TRY_FOR = 8.0  # seconds
_LONGEST = 300.0  # seconds that recovery is waited for beyond its bound, to tell slow from stuck


class Chaos:
    """Runs one plan on one system, from the main thread: processes die with the thread that starts them."""

    def __init__(self, plan: Plan, system: System, say: Callable[[str], None]) -> None:
        self.plan, self.system, self.say = plan, system, say
        self.answers, self.faults = Answers(), Faults(system, plan.seed)
        self.book = Book(system.direct_database_url)
        self.said_at = 0.0
        self.ended = 0  # how often `isocenter up` gave up its start, and was started again as a service manager would

    def run(self) -> Run:
        """Everything from the first image to the count."""
        studies = self._make()
        self.system.start()
        begin = time.monotonic()
        ports = self.system.ports
        modalities = [Modality(s, ports, self.answers, begin, self.system.processes.mark) for s in studies]
        try:
            for modality in modalities:
                modality.start()
            self._inject(begin)
            self._until(lambda: not any(m.is_alive() for m in modalities), 120)
            calm = time.monotonic()
            bound = LEASE_SECONDS + 20 + 1.5 * len(studies)
            settled = self._until(self._all_settled, bound + _LONGEST)
            recovery = time.monotonic() - calm if settled else None
        finally:
            for modality in modalities:
                modality.stopping.set()
        return self._counted(studies, calm - begin, recovery, bound)

    def _make(self) -> list[MadeUpStudy]:
        folder = self.system.folder / "made-up"
        folder.mkdir()
        return [make_study(plan, folder, self.system.processes.mark) for plan in self.plan.studies]

    def _inject(self, begin: float) -> None:
        """Begins and ends the faults at their times."""
        numbers, due = itertools.count(), list[tuple[float, int, Fault | Undo]]()
        for fault in self.plan.faults:
            heapq.heappush(due, (fault.at, next(numbers), fault))
        while due:
            at, number, what = heapq.heappop(due)
            self._until(lambda at=at: time.monotonic() - begin >= at, 3600)  # type: ignore[misc]
            now = time.monotonic() - begin
            if not isinstance(what, Fault):
                what()
            elif undo := self.faults.begin(what):
                self.say(f"{now:6.1f} s {what.name}")
                heapq.heappush(due, (now + what.seconds, next(numbers), undo))
            elif now < what.at + _TRY_FOR:  # its process is just being started again, for one
                heapq.heappush(due, (now + 0.5, number, what))
            else:
                self.faults.missed.append(what.name)

    def _until(self, true: Callable[[], bool], seconds: float) -> bool:
        """Waits, says how far it is, and starts the system again should it have died as a whole."""
        deadline = time.monotonic() + seconds
        while not true():
            if time.monotonic() > deadline:
                return False
            self.ended += not self.system.revive()
            if time.monotonic() - self.said_at > _SAY_EVERY:
                self.said_at = time.monotonic()
                self.say(self._progress())
            time.sleep(0.1)
        return True

    def _progress(self) -> str:
        try:
            states = dict(self.book.rows("select state, count(*) from study group by state order by state"))
        except Exception as error:
            states = {type(error).__name__: 0}
        told = ", ".join(f"{count} {state}" for state, count in states.items()) or "none known"
        pushed = f"{len(self.answers.pushed)} of {len(self.plan.studies)} pushed whole"
        return f"  {pushed}; {self.answers.successes} answered 0x0000; studies: {told}"

    def _all_settled(self) -> bool:
        try:
            return not self.book.unsettled() and not self.book.rows("select 1 from outbox limit 1")
        except Exception:  # the database is away
            return False

    def _counted(self, studies: list[MadeUpStudy], lasted: float, recovery: float | None, bound: float) -> Run:
        system = self.system
        count = count_all(self.book, system.data, system.peers, studies, self.answers)
        if self.system.listener:
            count_events(self.book, self.system.listener.heard(), count)
        if not system.ready():
            count.other.append("the system is not ready (/readyz) after all faults have ended")
        if recovery is not None and recovery > bound:
            count.other.append(f"all was settled only {recovery:.0f} s after the last fault")
        self.book.close()
        if not system.stop():
            count.other.append("isocenter up did not end within 40 s of SIGTERM")
        return Run(
            self.plan.seed, self.plan.store, self.faults.done, self.faults.missed, count, self.answers.tries,
            self.answers.successes, lasted, recovery, bound, ended=self.ended,
        )  # fmt: skip


def run_chaos(
    seed: int, store: Literal["embedded", "servers"], studies: int, seconds: float,
    say: Callable[[str], None] = lambda _: None, keep: bool = False,
) -> Run:  # fmt: skip
    """One run; the folder with logs, files and the book is kept when something is wrong, and said."""
    assert threading.current_thread() is threading.main_thread()
    with System(store, disk_mib=400 + _MIB_PER_STUDY * studies) as system:
        system.keep = True  # should anything be raised
        say(f"working in {system.folder}")
        run = Chaos(make_plan(seed, store, studies, seconds), system, say).run()
        system.keep = keep or bool(run.count.violations)
        run.kept = str(system.folder) if system.keep else ""
    return run
