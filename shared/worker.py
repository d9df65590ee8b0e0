"""Runs a stage: a Celery worker on the stage's queue, and the sweeper that rings lost bells again."""

import logging
import threading
import time
import warnings
from collections.abc import Callable

from celery import Celery
from celery.exceptions import SecurityWarning
from celery.signals import setup_logging, worker_shutting_down

from shared.bus import Bus, queue_of
from shared.settings import Core
from shared.stage import Stage, run_next, waiting
from shared.store import Book

log = logging.getLogger(__name__)

SWEEP_SECONDS = 1.0

# RabbitMQ closes the channel of a consumer that has not acknowledged for half an hour, and with it ends the worker.
LONGEST_BELL_SECONDS = 300.0


class Hands:
    """The threads that answer bells; how many are free says how many more bells are of use."""

    def __init__(self, book: Book, stage: Stage, count: int) -> None:
        self.book, self.stage, self.count = book, stage, count
        self.stopping = threading.Event()
        self._busy, self._lock = 0, threading.Lock()

    @property
    def free(self) -> int:
        """How many threads have nothing to do."""
        return self.count - self._busy

    def answer(self, longest_seconds: float = LONGEST_BELL_SECONDS) -> None:
        """Works until nothing waits, or for long enough: the sweeper rings again for what is left."""
        until = time.monotonic() + longest_seconds
        with self._lock:
            self._busy += 1
        try:
            while not self.stopping.is_set() and time.monotonic() < until and run_next(self.book, self.stage):
                pass
        except Exception as error:  # the database is away: the sweeper rings again
            log.warning("nothing taken up stage=%s cause=%s", self.stage.name, type(error).__name__)
        finally:
            with self._lock:
                self._busy -= 1


class Sweeper:
    """Every second: rings what lies in the outbox, and rings a stage for which rows wait without a bell."""

    def __init__(self, book: Book, bus: Bus, stage: Stage | None = None, hands: Hands | None = None) -> None:
        self.book, self.bus, self.stage, self.hands = book, bus, stage, hands
        self._stop = threading.Event()
        self._waited = 0
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
            except Exception as error:
                log.warning("sweep failed cause=%s", type(error).__name__)

    def sweep(self) -> None:
        """One round. A row that still waits at the second round in a row has lost its bell."""
        self.bus.flush()
        if self.stage is None:
            return
        count = waiting(self.book, self.stage)
        if count and self._waited:
            # none for busy hands: they look for more work by themselves, and unheard bells would pile up at the broker
            for _ in range(min(count, self.hands.free if self.hands else 1)):
                self.bus.ring(self.stage.name)
        self._waited = count


def run_worker(book: Book, app: Celery, stage: Stage, core: Core, concurrency: int) -> None:
    """Serves the stage's queue until the process is told to stop (SIGTERM); returns after the work in hand.

    `concurrency` threads: the work waits for Triton, the disk or a peer, so threads serve it well.
    """
    # Celery warns of a worker that runs as root; in a container that is the rule, and not ours to decide
    warnings.filterwarnings("ignore", category=SecurityWarning)
    bus = Bus(book, app, core.broker_prefix)
    book.ring = ring_after_commit(bus)
    setup_logging.connect(_keep_our_logging, weak=False)

    hands = Hands(book, stage, concurrency)
    worker_shutting_down.connect(lambda **_: hands.stopping.set(), weak=False)

    @app.task(name=f"isocenter.{stage.name}")
    def bell(_row_id: str = "") -> None:
        """More than one piece of work a bell: Celery's thread pool acknowledges late only once a second, a bell a task
        would crawl at that pace."""
        hands.answer()

    sweeper = Sweeper(book, bus, stage, hands)
    sweeper.start()
    log.info("ready stage=%s concurrency=%d", stage.name, concurrency)
    worker = app.Worker(
        pool="threads", concurrency=concurrency, queues=[queue_of(stage.name, core.broker_prefix)],
        without_mingle=True, without_gossip=True, without_heartbeat=True, quiet=True, hostname=f"{stage.name}@%h",
    )  # fmt: skip
    worker.start()
    sweeper.stop()


def ring_after_commit(bus: Bus) -> Callable[[list[int]], None]:
    """What a book's `ring` is set to; a broker that is away only leaves the bells in the outbox."""

    def ring(ids: list[int]) -> None:
        try:
            bus.flush(ids)
        except Exception as error:
            log.warning("bells stay in the outbox cause=%s", type(error).__name__)

    return ring


def _keep_our_logging(**_: object) -> None:
    """Celery sets up its own logging unless someone listens to this signal."""
