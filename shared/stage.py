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
from typing import cast

from sqlalchemy import func, or_, update
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


def claim(book: Book, stage: Stage) -> tuple[str, str] | None:
    """Takes the row whose turn it is; returns its id and the lease's token, or None when nothing waits."""
    token = f"{stage.owner}:{uuid.uuid4().hex[:12]}"
    with book.write() as session:
        query = select(stage.table).where(*_is_waiting(stage)).order_by(col(stage.table.due_at)).limit(1)
        row = cast("Row | None", session.scalars(query.with_for_update(skip_locked=True)).first())
        if row is None:
            return None
        row.lease_owner, row.lease_until, row.attempts = token, utc_now() + stage.lease, row.attempts + 1
        session.add(row)
        return row_id(row), token


def run_next(book: Book, stage: Stage) -> bool:
    """Does one piece of the stage's work; False when nothing waits.

    Never raises for what the work raises: that becomes another attempt, or, after the last one, the row's death.
    """
    claimed = claim(book, stage)
    if claimed is None:
        return False
    key, token = claimed
    started = time.monotonic()
    try:
        with _kept_lease(book, stage, key, token):
            save = stage.work(key)
        _commit(book, stage, key, token, save)
    except Exception as error:
        _failed(book, stage, key, token, error)
    metrics.STAGE_SECONDS.labels(stage.name).observe(time.monotonic() - started)
    return True


def _commit(book: Book, stage: Stage, key: str, token: str, save: Save) -> None:
    with book.write() as session:
        row = _locked(session, stage, key)
        if row is None or row.lease_owner != token:
            metrics.LEASES_LOST.labels(stage.name).inc()
            log.warning("dropped work: another worker has taken over stage=%s row=%s", stage.name, key)
            return
        row.lease_owner, row.lease_until = "", None
        save(session, row)
        session.add(row)


def _failed(book: Book, stage: Stage, key: str, token: str, error: Exception) -> None:
    expected = isinstance(error, Retry | GiveUp)
    reason = str(error) if expected else f"{type(error).__name__}: {error}"
    after, counts = (error.after, error.counts) if isinstance(error, Retry) else (None, True)
    with book.write() as session:
        row = _locked(session, stage, key)
        if row is None or row.lease_owner != token:
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
        "gave up" if last else "will try again", stage.name, key, attempts, type(error).__name__,
        exc_info=None if expected else error,
    )  # fmt: skip


@contextmanager
def _kept_lease(book: Book, stage: Stage, key: str, token: str) -> Iterator[None]:
    """Renews the lease from a thread while the work goes on; a worker that hangs whole loses it."""
    done = threading.Event()

    def renew() -> None:
        while not done.wait(stage.lease.total_seconds() / 3):
            try:
                _renew(book, stage, key, token)
            except Exception as error:
                log.warning("lease not renewed stage=%s row=%s cause=%s", stage.name, key, type(error).__name__)

    thread = threading.Thread(target=renew, name=f"lease-{stage.name}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(timeout=5)


def _renew(book: Book, stage: Stage, key: str, token: str) -> None:
    with book.write() as session:
        session.execute(
            update(stage.table)
            .where(_key_column(stage) == key, col(stage.table.lease_owner) == token)
            .values(lease_until=utc_now() + stage.lease)
        )


def _key_column(stage: Stage) -> ColumnElement[str]:
    table = stage.table
    return cast("ColumnElement[str]", Study.study_instance_uid if issubclass(table, Study) else table.id)


def _locked(session: Session, stage: Stage, key: str) -> Row | None:
    return cast("Row | None", session.get(stage.table, key, with_for_update=True))
