"""One stage's work on one row: claim it by a lease, do the work, commit the result with its bells.

A bell only says that someone is at the door; whose turn it is stands in the book. So a lost bell is replaced by any
other, a bell rung twice finds nothing to do, and urgency is decided in one place.
"""

import logging
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import cast

from sqlalchemy import func, or_, update
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.sql import ColumnElement
from sqlmodel import Session, col, select

from shared import metrics
from shared.store import Book, Delivery, Run, Study, utc_now
from shared.store.moves import Row, move, row_id, settle
from shared.study import DeliveryEvent, Event, RunEvent, State, StudyEvent

log = logging.getLogger(__name__)

Save = Callable[[Session, Row], None]


class Retry(Exception):
    """The work can't be done now and may be possible later; the text is the reason a person will read.

    `after` is how long to wait, instead of the stage's doubling delay. With `counts` False nothing was tried, and no
    attempt is spent.
    """

    def __init__(self, reason: str, after: timedelta | None = None, counts: bool = True) -> None:
        super().__init__(reason)
        self.after, self.counts = after, counts


class GiveUp(Exception):
    """The work can never be done on this input; the text is the reason a person will read."""


@dataclass(frozen=True)
class Stage:
    """What a service does to a row.

    `work` gets the row's id, does whatever takes time outside any transaction, and returns what is to be saved; `save`
    runs in the transaction that also checks that the lease is still ours.
    """

    name: str
    table: type[Study] | type[Run] | type[Delivery]
    states: tuple[State, ...]
    work: Callable[[str], Save]
    lease: timedelta = timedelta(seconds=60)
    most_attempts: int = 5
    first_delay: timedelta = timedelta(seconds=2)
    longest_delay: timedelta = timedelta(minutes=10)
    owner: str = field(default_factory=lambda: uuid.uuid4().hex)
    only: Callable[[], list[ColumnElement[bool]]] = list

    def delay(self, attempts: int) -> timedelta:
        """How long to wait after this many failed attempts: doubled each time, with jitter, up to a bound."""
        seconds = min(self.first_delay.total_seconds() * 2 ** (attempts - 1), self.longest_delay.total_seconds())
        return timedelta(seconds=seconds * random.uniform(0.75, 1.25))


GAVE_UP: dict[type, Event] = {
    Study: StudyEvent.GAVE_UP,
    Run: RunEvent.GAVE_UP,
    Delivery: DeliveryEvent.GAVE_UP,
}


def _is_waiting(stage: Stage) -> list[ColumnElement[bool]]:
    now, table = utc_now(), stage.table
    return [
        col(table.state).in_(stage.states),
        or_(col(table.lease_until).is_(None), col(table.lease_until) < now),
        or_(col(table.next_at).is_(None), col(table.next_at) <= now),
        *stage.only(),
    ]


def waiting(book: Book, stage: Stage) -> int:
    """How many rows wait for the stage and could be taken now."""
    with book.read() as session:
        return session.scalar(select(func.count()).select_from(stage.table).where(*_is_waiting(stage))) or 0


@dataclass(frozen=True)
class Claim:
    """A row taken up: its id, the lease's token, and how often it was taken up now."""

    key: str
    token: str
    attempts: int


def claim(book: Book, stage: Stage) -> Claim | None:
    """Takes the row whose turn it is; None when nothing waits."""
    token = f"{stage.owner}:{uuid.uuid4().hex[:12]}"
    with book.write() as session:
        query = select(stage.table).where(*_is_waiting(stage)).order_by(col(stage.table.due_at)).limit(1)
        row = cast("Row | None", session.scalars(query.with_for_update(skip_locked=True)).first())
        if row is None:
            return None
        row.lease_owner, row.lease_until, row.attempts = token, utc_now() + stage.lease, row.attempts + 1
        session.add(row)
        return Claim(row_id(row), token, row.attempts)


def run_next(book: Book, stage: Stage) -> bool:
    """Does one piece of the stage's work; False when nothing waits.

    Never raises for what the work raises: that becomes another attempt, or, after the last one, the row's death.
    """
    claimed = claim(book, stage)
    if claimed is None:
        return False
    started = time.monotonic()
    try:
        save = _work(book, stage, claimed)
        _written(stage, partial(_commit, book, stage, claimed, save))
    except Exception as error:
        _written(stage, partial(_failed, book, stage, claimed, error))
    metrics.STAGE_SECONDS.labels(stage.name).observe(time.monotonic() - started)
    return True


def _work(book: Book, stage: Stage, claimed: Claim) -> Save:
    """Does the work, unless it has brought its worker down as often as it may: then it would go on for ever."""
    if claimed.attempts > stage.most_attempts:
        raise GiveUp(
            f"the worker ended in the middle of each of its {stage.most_attempts} attempts: replay, once that is mended"
        )
    with _kept_lease(book, stage, claimed):
        return stage.work(claimed.key)


def _written(stage: Stage, write: Callable[[], None]) -> None:
    """Writes an outcome, for as long as the lease lasts also when the database is away: what a destination has accepted
    must not be sent again for that. After that the row's lease runs out, and it is taken up again."""
    deadline, pause = time.monotonic() + stage.lease.total_seconds(), 0.1
    while True:
        try:
            return write()
        except (OperationalError, InterfaceError, NoConnection) as error:
            if time.monotonic() + pause > deadline:
                log.error("outcome not written, it will be worked out again stage=%s", stage.name)
                return None
            log.warning("outcome waits for the database stage=%s cause=%s", stage.name, type(error).__name__)
        time.sleep(pause)
        pause = min(2 * pause, 5.0)


def _commit(book: Book, stage: Stage, claimed: Claim, save: Save) -> None:
    with book.write() as session:
        row = _locked(session, stage, claimed.key)
        if row is None or row.lease_owner != claimed.token:
            metrics.LEASES_LOST.labels(stage.name).inc()
            log.warning("dropped work: another worker has taken over stage=%s row=%s", stage.name, claimed.key)
            return
        row.lease_owner, row.lease_until = "", None
        save(session, row)
        session.add(row)


def _failed(book: Book, stage: Stage, claimed: Claim, error: Exception) -> None:
    expected = isinstance(error, Retry | GiveUp)
    reason = str(error) if expected else f"{type(error).__name__}: {error}"
    after, counts = (error.after, error.counts) if isinstance(error, Retry) else (None, True)
    with book.write() as session:
        row = _locked(session, stage, claimed.key)
        if row is None or row.lease_owner != claimed.token:
            return
        row.lease_owner, row.lease_until = "", None
        row.attempts -= 0 if counts else 1
        last = isinstance(error, GiveUp) or row.attempts >= stage.most_attempts
        if last:
            move(session, row, GAVE_UP[stage.table], reason)
            settle(session, row.study_instance_uid)
        else:
            row.reason, row.next_at = reason, utc_now() + (after or stage.delay(row.attempts))
        session.add(row)
        attempts = row.attempts
    ending = "dead" if last else "retry"
    metrics.STAGE_FAILURES.labels(stage.name, ending).inc()
    log.log(
        logging.ERROR if last else logging.WARNING, "%s stage=%s row=%s attempt=%d cause=%s",
        "gave up" if last else "will try again", stage.name, claimed.key, attempts, type(error).__name__,
        exc_info=None if expected else error,
    )  # fmt: skip


@contextmanager
def _kept_lease(book: Book, stage: Stage, claimed: Claim) -> Iterator[None]:
    """Renews the lease from a thread while the work goes on; a worker that hangs whole loses it."""
    done = threading.Event()

    def renew() -> None:
        while not done.wait(stage.lease.total_seconds() / 3):
            try:
                _renew(book, stage, claimed)
            except Exception as error:
                log.warning("lease not renewed stage=%s row=%s cause=%s", stage.name, claimed.key, type(error).__name__)

    thread = threading.Thread(target=renew, name=f"lease-{stage.name}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(timeout=5)


def _renew(book: Book, stage: Stage, claimed: Claim) -> None:
    with book.write() as session:
        session.execute(
            update(stage.table)
            .where(_key_column(stage) == claimed.key, col(stage.table.lease_owner) == claimed.token)
            .values(lease_until=utc_now() + stage.lease)
        )


def _key_column(stage: Stage) -> ColumnElement[str]:
    table = stage.table
    return cast("ColumnElement[str]", Study.study_instance_uid if issubclass(table, Study) else table.id)


def _locked(session: Session, stage: Stage, key: str) -> Row | None:
    """The row, locked after its study. All who lock several rows lock the study first, then runs, then deliveries, so
    that no two of them wait for each other."""
    if not issubclass(stage.table, Study):
        uid = session.scalar(select(stage.table.study_instance_uid).where(_key_column(stage) == key))
        if uid is None:
            return None
        session.get(Study, uid, with_for_update=True)
    return cast("Row | None", session.get(stage.table, key, with_for_update=True))
