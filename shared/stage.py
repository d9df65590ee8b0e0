"""One stage's work on one row: claim it by a lease, do the work, commit the result with its bells.

A bell only says that someone is at the door; whose turn it is stands in the book. So a lost bell is replaced by any
other, a bell rung twice finds nothing to do, and urgency is decided in one place.
"""

import errno
import logging
import random
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, cast

from sqlalchemy import CursorResult, update
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.sql import ColumnElement
from sqlmodel import Session, col, select

from shared import metrics
from shared.claiming import Claim, claim, waiting
from shared.lease import LeaseLost, check_lease, kept_lease
from shared.store import Book, Commitment, Delivery, Run, ShadowRun, Study
from shared.store.clock import database_now
from shared.store.moves import Row, move, settle
from shared.study import CommitmentEvent, DeliveryEvent, Event, Failure, RunEvent, ShadowEvent, State, StudyEvent

log = logging.getLogger(__name__)

_LONGEST_UNWRITTEN = 600.0  # seconds that an outcome waits for the database
_NO_ROOM_DELAY = timedelta(seconds=30)
# Internal: a server that has become a standby, or has ended the transaction of a process that was stopped meanwhile.
_AWAY = (OperationalError, InterfaceError, InternalError, NoConnection)

Save = Callable[[Session, Row], None]

__all__ = ["GiveUp", "Retry", "Save", "Stage", "backoff", "check_lease", "claim", "run_next", "waiting"]


class Retry(Exception):
    """The work can't be done now and may be possible later; the text is the reason a person will read.

    `after` is how long to wait, instead of the stage's doubling delay. With `counts` False nothing was tried, and no
    attempt is spent. `failure` is the class that it is of where no attempt is left.
    """

    def __init__(
        self, reason: str, after: timedelta | None = None, counts: bool = True, failure: Failure = Failure.AWAY
    ) -> None:
        super().__init__(reason)
        self.after, self.counts, self.failure = after, counts, failure


class GiveUp(Exception):
    """The work can never be done on this input; the text is the reason a person will read, `failure` its class."""

    def __init__(self, reason: str, failure: Failure = Failure.BROKE_OFF) -> None:
        super().__init__(reason)
        self.failure = failure


@dataclass(frozen=True)
class Stage:
    """What a service does to a row.

    `work` gets the row's id, does whatever takes time outside any transaction, and returns what is to be saved; `save`
    runs in the transaction that also checks that the lease is still ours. Work that takes longer than `longest_work`
    loses its row as a failed attempt, and `hung` is told: the thread itself can't be ended.
    """

    name: str
    table: type[Study] | type[Run] | type[Delivery] | type[Commitment] | type[ShadowRun]
    states: tuple[State, ...]
    work: Callable[[str], Save]
    lease: timedelta = timedelta(seconds=60)
    most_attempts: int = 5
    most_attempts_of: Callable[[Row], int | None] = lambda _: None  # of one row, where it differs
    first_delay: timedelta = timedelta(seconds=2)
    longest_delay: timedelta = timedelta(minutes=10)
    longest_work: timedelta = timedelta(minutes=20)
    owner: str = field(default_factory=lambda: uuid.uuid4().hex)
    only: Callable[[], list[ColumnElement[bool]]] = list  # what may be taken up now; asked outside any transaction
    within: Callable[[Session], list[ColumnElement[bool]]] = (
        lambda _: []
    )  # the same, as the claiming transaction sees it
    opens_in: Callable[[], float | None] = lambda: None  # seconds until `only` may let more through
    hung: Callable[[], None] = lambda: None

    def delay(self, attempts: int) -> timedelta:
        """How long to wait after this many failed attempts."""
        return backoff(attempts, self.first_delay, self.longest_delay)


def backoff(attempts: int, first: timedelta, longest: timedelta) -> timedelta:
    """A delay that doubles with each failed attempt up to `longest`, with jitter, so that what failed together does not
    come back together."""
    seconds = min(first.total_seconds() * 2 ** min(attempts - 1, 30), longest.total_seconds())
    return timedelta(seconds=seconds * random.uniform(0.75, 1.25))


GAVE_UP: dict[type, Event] = {
    Study: StudyEvent.GAVE_UP,
    Run: RunEvent.GAVE_UP,
    Delivery: DeliveryEvent.GAVE_UP,
    Commitment: CommitmentEvent.GAVE_UP,
    ShadowRun: ShadowEvent.GAVE_UP,
}


def run_next(book: Book, stage: Stage) -> bool:
    """Does one piece of the stage's work; False when nothing waits.

    Never raises for what the work raises: that becomes another attempt, or, after the last one, the row's death.
    """
    claimed = claim(book, stage)
    if claimed is None:
        return False
    run_claimed(book, stage, claimed)
    return True


def run_claimed(book: Book, stage: Stage, claimed: Claim) -> None:
    """Does the work on a row that is taken up already, as `run_next` does."""
    started = time.monotonic()
    try:
        save = _work(book, stage, claimed)
        _written(stage, partial(_commit, book, stage, claimed, save))
    except LeaseLost:
        _dropped(stage, claimed)
    except Exception as error:
        _written(stage, partial(_failed, book, stage, claimed, error))
    metrics.STAGE_SECONDS.labels(stage.name).observe(time.monotonic() - started)


def _work(book: Book, stage: Stage, claimed: Claim) -> Save:
    """Does the work, unless it has brought its worker down as often as it may: then it would go on for ever."""
    if claimed.attempts > claimed.most_attempts:
        raise GiveUp(ended_in_the_middle(claimed.most_attempts, claimed.last_error))
    renew, overdue = partial(_renew, book, stage, claimed), partial(_overdue, book, stage, claimed)
    with kept_lease(renew, stage.lease, stage.longest_work, overdue):
        return stage.work(claimed.key)


def ended_in_the_middle(attempts: int, last_error: str = "") -> str:
    """Why a row is dead whose worker died over it, in words."""
    before = f"; the last error that an attempt told: {last_error}" if last_error else ""
    return f"its worker ended in the middle of the last of {attempts} attempts: replay, once that is mended{before}"


def _written(stage: Stage, write: Callable[[], None]) -> None:
    """Writes an outcome, if need be later: what a destination has accepted must not be sent again since the database
    was away, and while it is away nobody else can take the row up either."""
    deadline, pause = time.monotonic() + _LONGEST_UNWRITTEN, 0.1
    while True:
        try:
            return write()
        except _AWAY as error:
            if time.monotonic() + pause > deadline:
                log.error("outcome not written, it will be worked out again stage=%s", stage.name)
                return None
            if pause == 0.1:
                log.warning("outcome waits for the database stage=%s cause=%s", stage.name, type(error).__name__)
        time.sleep(pause)
        pause = min(2 * pause, 5.0)


def _commit(book: Book, stage: Stage, claimed: Claim, save: Save) -> None:
    with book.write() as session:
        row = _locked(session, stage, claimed.key)
        if row is None or row.lease_owner != claimed.token:
            _dropped(stage, claimed)
            return
        row.lease_owner, row.lease_until = "", None
        save(session, row)
        session.add(row)


def _dropped(stage: Stage, claimed: Claim) -> None:
    metrics.LEASES_LOST.labels(stage.name).inc()
    log.warning("dropped work: the row was taken from it meanwhile stage=%s row=%s", stage.name, claimed.key)


def _failed(book: Book, stage: Stage, claimed: Claim, error: Exception) -> None:
    error = _without_room(stage, error)
    expected = isinstance(error, Retry | GiveUp)
    reason = str(error) if expected else f"{type(error).__name__}: {error}"
    after, counts = (error.after, error.counts) if isinstance(error, Retry) else (None, True)
    with book.write() as session:
        row = _locked(session, stage, claimed.key)
        if row is None or row.lease_owner != claimed.token:
            return
        row.lease_owner, row.lease_until = "", None
        row.attempts -= 0 if counts else 1
        attempts = row.attempts
        last = isinstance(error, GiveUp) or row.attempts >= claimed.most_attempts
        if last:
            if isinstance(row, Run):
                row.failure = getattr(error, "failure", Failure.BROKE_OFF)
            move(session, row, GAVE_UP[stage.table], reason)
            if not isinstance(row, Commitment | ShadowRun):
                settle(session, row.study_instance_uid)
        else:
            row.reason, row.next_at = (
                reason,
                database_now(session) + (stage.delay(row.attempts) if after is None else after),
            )
        session.add(row)
    ending = "dead" if last else "retry"
    metrics.STAGE_FAILURES.labels(stage.name, ending).inc()
    level = logging.ERROR if last else logging.WARNING if counts else logging.DEBUG  # waiting for a turn is no failure
    log.log(
        level, "%s stage=%s row=%s attempt=%d cause=%s",
        "gave up" if last else "will try again", stage.name, claimed.key, attempts, type(error).__name__,
        exc_info=None if expected else error,
    )  # fmt: skip


def _without_room(stage: Stage, error: Exception) -> Exception:
    """A full disk is nothing that the work can be blamed for: it waits until there is room, and no attempt is spent."""
    if not isinstance(error, OSError) or error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return error
    words = f"there is no room on the disk ({error.strerror}): make some, and it goes on by itself"
    return Retry(words, min(stage.longest_delay, _NO_ROOM_DELAY), counts=False)


def _overdue(book: Book, stage: Stage, claimed: Claim) -> None:
    """Takes the row from work that hangs, in native code or on a peer; its attempt counts."""
    seconds = stage.longest_work.total_seconds()
    reason = f"the work took longer than {stage.name}.longest_work_seconds ({seconds:g} s) and was given up"
    metrics.STAGE_OVERDUE.labels(stage.name).inc()
    try:
        _failed(book, stage, claimed, Retry(reason, failure=Failure.TOO_LONG))
    except Exception as error:  # then the lease runs out by itself
        log.warning("overdue work not written stage=%s cause=%s", stage.name, type(error).__name__)
    stage.hung()


def _renew(book: Book, stage: Stage, claimed: Claim) -> bool:
    """Puts the lease's end off; False when the row is no longer ours."""
    with book.write() as session:
        renewed = session.execute(
            update(stage.table)
            .where(_key_column(stage) == claimed.key, col(stage.table.lease_owner) == claimed.token)
            .values(lease_until=database_now(session) + stage.lease)
        )
        return bool(cast("CursorResult[Any]", renewed).rowcount)


def _key_column(stage: Stage) -> ColumnElement[str]:
    table = stage.table
    return cast("ColumnElement[str]", Study.study_instance_uid if issubclass(table, Study) else table.id)


def _locked(session: Session, stage: Stage, key: str) -> Row | None:
    """The row, locked after its study. All who lock several rows lock the study first, then runs, then deliveries, so
    that no two of them wait for each other."""
    if not issubclass(stage.table, Study | Commitment | ShadowRun):
        uid = session.scalar(select(stage.table.study_instance_uid).where(_key_column(stage) == key))
        if uid is None:
            return None
        session.get(Study, uid, with_for_update=True)
    return cast("Row | None", session.get(stage.table, key, with_for_update=True))
