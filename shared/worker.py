"""Runs a stage: a Celery worker on the stage's queue, and the sweeper that looks after what no bell has told.

Nothing here waits for the broker but the ringer's own thread: with the broker away, or hanging, every stage looks into
the book itself and goes on, a few seconds later.
"""

import dataclasses
import logging
import os
import threading
import time
import warnings
from collections.abc import Callable

from celery import Celery
from celery.exceptions import SecurityWarning
from celery.signals import setup_logging, worker_shutting_down

from shared.bus import Bus, queue_of
from shared.outage import Outage
from shared.settings import Core
from shared.stage import Stage, run_next, waiting
from shared.store import Book

log = logging.getLogger(__name__)

SWEEP_SECONDS = 1.0

# A hand that finds more and more work hears no other bell, and at the end no word to stop.
LONGEST_BELL_SECONDS = 300.0

# Rounds of the sweeper in which rows wait and hands are free: then the bell is rung again, then done without.
_RING_AT, _LOOK_AT = 2, 4

_LONGEST_LINGER = 15.0
_LAST_SECONDS = 30.0  # what else is in hand may take this long when one hand hangs


class Hands:
    """The threads that answer bells; how many are free says how many more bells are of use."""

    def __init__(self, book: Book, stage: Stage, count: int, end: Callable[[int], None] = os._exit) -> None:
        self.book, self.count = book, count
        self.stage = dataclasses.replace(stage, hung=self._hung)
        self.stopping = threading.Event()
        self._busy, self._hanging, self._lock = 0, 0, threading.Lock()
        self._end, self._lingering = end, threading.Lock()
        self._outage = Outage(log, "database", f"nothing is taken up stage={stage.name}")

    @property
    def free(self) -> int:
        """How many threads have nothing to do."""
        return self.count - self._busy

    def answer(self, longest_seconds: float = LONGEST_BELL_SECONDS) -> None:
        """Works until nothing waits, or for long enough: the sweeper rings again for what is left."""
        until = time.monotonic() + longest_seconds
        with self._lock:
            if self._busy >= self.count:
                return
            self._busy += 1
        try:
            while not self.stopping.is_set() and time.monotonic() < until:
                if not run_next(self.book, self.stage) and not self._lingered():
                    break
            self._outage.over()
        except Exception as error:  # the database is away: the sweeper rings again
            self._outage.met(error)
        finally:
            with self._lock:
                self._busy -= 1

    def _lingered(self) -> bool:
        """Waits for a door that opens soon, if no other hand does: the sweeper would see it a second or two later."""
        pause = self.stage.opens_in()
        if pause is None or pause > _LONGEST_LINGER or not self._lingering.acquire(blocking=False):
            return False
        try:
            return not self.stopping.wait(pause)
        finally:
            self._lingering.release()

    def finish(self, longest_seconds: float) -> None:
        """Takes up nothing more, and waits for what is in hand."""
        self.stopping.set()
        until = time.monotonic() + longest_seconds
        while self._busy > self._hanging and time.monotonic() < until:
            time.sleep(0.05)

    def look(self) -> None:
        """Answers without a bell, in threads of its own."""
        for _ in range(self.free):
            threading.Thread(target=self.answer, name=f"look-{self.stage.name}", daemon=True).start()

    def _hung(self) -> None:
        """A thread that hangs can't be ended, and would in time leave no hand free: so the process ends, and whoever
        has started it starts it again. What else is in hand is finished first."""
        with self._lock:
            self._hanging += 1
        if self._hanging == 1:
            log.error("a hand hangs: this process ends, to be started again stage=%s", self.stage.name)
            self.finish(_LAST_SECONDS)
            self._end(1)


class Ringer:
    """Rings what lies in the outbox, in a thread of its own: a broker that hangs holds up nobody's work."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self._stop, self._soon = threading.Event(), threading.Event()
        self._wanted: dict[str, int] = {}
        self._outage = Outage(log, "database", "the outbox waits")
        self._thread = threading.Thread(target=self._run, name="ringer", daemon=True)

    def start(self) -> None:
        """From now on the book's commits are rung."""
        self.bus.book.ring = lambda _ids: self._soon.set()
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._soon.set()
        self._thread.join(timeout=10)

    def ring(self, stage: str, times: int) -> None:
        """Rings a stage soon."""
        self._wanted[stage] = times
        self._soon.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._soon.wait(SWEEP_SECONDS)
            self._soon.clear()
            try:
                self._flush()
                self._outage.over()
            except Exception as error:
                self._outage.met(error)
                self._stop.wait(SWEEP_SECONDS)

    def _flush(self) -> None:
        while self._wanted:
            stage, times = self._wanted.popitem()
            if not all(self.bus.ring(stage) for _ in range(times)):
                break
        while self.bus.flush() and not self._stop.is_set():
            pass


class Sweeper:
    """Every second: has a stage rung for which rows wait without a bell, and looks itself when no bell is heard."""

    def __init__(self, book: Book, ringer: Ringer, hands: Hands) -> None:
        self.book, self.ringer, self.hands = book, ringer, hands
        self._stop = threading.Event()
        self._rounds = 0
        self._outage = Outage(log, "database", f"nothing is swept stage={hands.stage.name}")
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._stop.wait(SWEEP_SECONDS):
            try:
                self.sweep()
                self._outage.over()
            except Exception as error:
                self._outage.met(error)

    def sweep(self) -> None:
        """One round. Busy hands look for more work by themselves: no bell for them, and none is lost."""
        free = self.hands.free
        count = waiting(self.book, self.hands.stage) if free else 0
        self._rounds = self._rounds + 1 if count else 0
        if self._rounds == _RING_AT:
            self.ringer.ring(self.hands.stage.name, min(count, free))
        elif self._rounds >= _LOOK_AT:
            self._rounds = 0
            self.hands.look()


def run_worker(book: Book, app: Celery, stage: Stage, core: Core, concurrency: int) -> None:
    """Serves the stage's queue until the process is told to stop (SIGTERM); returns after the work in hand.

    `concurrency` threads: the work waits for Triton, the disk or a peer, so threads serve it well.
    """
    # Celery warns of a worker that runs as root; in a container that is the rule, and not ours to decide
    warnings.filterwarnings("ignore", category=SecurityWarning)
    ringer = Ringer(Bus(book, app, core.broker_prefix))
    setup_logging.connect(_keep_our_logging, weak=False)
    _tell_of_the_broker_once(ringer.bus.outage)

    hands = Hands(book, stage, concurrency)
    worker_shutting_down.connect(lambda **_: hands.stopping.set(), weak=False)

    @app.task(name=f"isocenter.{stage.name}")
    def bell(_row_id: str = "") -> None:
        """More than one piece of work a bell: its turn stands in the book, not in the bell."""
        hands.answer()

    sweeper = Sweeper(book, ringer, hands)
    ringer.start()
    sweeper.start()
    log.info("ready stage=%s concurrency=%d", stage.name, concurrency)
    worker = app.Worker(
        pool="threads", concurrency=concurrency, queues=[queue_of(stage.name, core.broker_prefix)],
        without_mingle=True, without_gossip=True, without_heartbeat=True, quiet=True, hostname=f"{stage.name}@%h",
    )  # fmt: skip
    worker.start()
    sweeper.stop()
    hands.finish(_LAST_SECONDS)
    ringer.stop()


def _keep_our_logging(**_: object) -> None:
    """Celery sets up its own logging unless someone listens to this signal."""


class _Broker(logging.Filter):
    """Celery speaks of a broker that is away at each attempt, in several lines; whoever has to read that is told once.

    What it says otherwise is let through.
    """

    _AWAY = ("consumer: Cannot connect", "consumer: Connection to broker lost")

    def __init__(self, outage: Outage) -> None:
        super().__init__()
        self._outage = outage

    def filter(self, record: logging.LogRecord) -> bool:
        said = record.getMessage()
        if said.startswith(self._AWAY):
            self._outage.met("not connected")
            return False
        if said.startswith("Connected to"):
            self._outage.over()
            return False
        return True


def _tell_of_the_broker_once(outage: Outage) -> None:
    told = _Broker(outage)
    logging.getLogger("celery.worker.consumer.consumer").addFilter(told)
    connected = logging.getLogger("celery.worker.consumer.connection")
    connected.setLevel(logging.INFO)
    connected.addFilter(told)
    # with each lost connection it warns of what its next version will do: a bell that is rung twice does no harm
    logging.getLogger("py.warnings").addFilter(lambda r: "CPendingDeprecationWarning" not in r.getMessage())
