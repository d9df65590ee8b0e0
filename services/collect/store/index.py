"""Writes the rows of what was stored, in batches, from one thread: neither database nor broker slows a C-STORE."""

import contextlib
import logging
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from sqlalchemy import bindparam, insert
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlmodel import Session, SQLModel, col, select

from services.collect.handlers import (
    Difference,
    StoredInstance,
    complete_study,
    difference,
    instance_values,
    study_values,
    to_be_read,
)
from services.collect.listening.register import EVERY_STUDY
from services.collect.store.duplicates import Policy, point_to_whole, reopen, write_duplicates
from services.collect.store.folder import comparable
from services.collect.store.returned import write_returned
from shared.store import Book, Instance, Journal, Quarantine, Study
from shared.store.moves import move
from shared.study import StudyEvent

log = logging.getLogger(__name__)

FLUSH_SECONDS = 1.0
_BREATH_SECONDS = 0.5  # many short associations that end one after the other share a transaction
_MOST_IN_A_BATCH = 2000  # a transaction of this size takes SQLite a few tenths of a second
# The database, not the row, is at fault: it is away, is a standby that takes no writes, or lacks its tables.
_AWAY = (OperationalError, InterfaceError, InternalError, ProgrammingError, NoConnection)

Row = StoredInstance | Quarantine
_INSTANCES, _STUDIES = SQLModel.metadata.tables["instance"], SQLModel.metadata.tables["study"]
# Made once: putting a statement together costs more than running it.
_LOCKED_STUDIES = (
    select(Study)
    .where(col(Study.study_instance_uid).in_(bindparam("study_instance_uids", expanding=True)))
    .order_by(col(Study.study_instance_uid))
    .with_for_update()
    .execution_options(populate_existing=True)
)
_NEW_STUDIES = {
    "postgresql": postgresql.insert(_STUDIES).on_conflict_do_nothing().returning(_STUDIES.c.study_instance_uid),
    "sqlite": sqlite.insert(_STUDIES).on_conflict_do_nothing().returning(_STUDIES.c.study_instance_uid),
}
_KNOWN = select(Instance.sop_instance_uid, Instance.digest, Instance.path).where(
    Instance.study_instance_uid == bindparam("study_instance_uid"),
    col(Instance.sop_instance_uid).in_(bindparam("sop_instance_uids", expanding=True)),
)
_NEW_INSTANCES = insert(_INSTANCES)


class Index:
    """Rows on their way into the book. With the database away they wait, up to a bound; what is dropped then lies in
    the files, and `mend` reads it from there once the database is back."""

    def __init__(self, book: Book, most_pending: int = 20000, duplicates: Policy = "keep-first") -> None:
        self.book, self.most_pending, self.duplicates = book, most_pending, duplicates
        self.mend: Callable[[], Any] | None = None
        self._pending: list[Row] = []
        self._dropped = 0
        self._waits = False
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._wanted, self._stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="index", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Writes what is pending, if the database lets it, and ends."""
        self._stopping.set()
        self._wanted.set()
        self._thread.join(timeout=30)

    def add(self, row: Row) -> None:
        """Takes a row; returns at once, whatever the database does."""
        with self._lock:
            if len(self._pending) < self.most_pending:
                self._pending.append(row)
            else:
                self._dropped += 1

    def flush_soon(self) -> None:
        """An association has ended: its rows are written now."""
        self._wanted.set()

    def pending_studies(self) -> set[str]:
        """Studies of which rows wait; `EVERY_STUDY` among them while files of who knows which have lost their rows."""
        with self._lock:
            waiting = {r.header.study_instance_uid for r in self._pending if isinstance(r, StoredInstance)}
            return waiting | {EVERY_STUDY} if self._dropped else waiting

    def _prepare(self) -> None:
        """SQLAlchemy works out mappers and statements once in a process's life: that is done before the first image.
        With the database away the first batch does it."""
        with contextlib.suppress(Exception), self.book.read() as session:
            session.scalar(_LOCKED_STUDIES, {"study_instance_uids": [""]})
            session.exec(_KNOWN, params={"study_instance_uid": "", "sop_instance_uids": [""]}).all()

    def _run(self) -> None:
        self._prepare()
        while not self._stopping.is_set():
            self._wanted.wait(FLUSH_SECONDS)
            self._wanted.clear()
            self._try_flush()
            self._stopping.wait(_BREATH_SECONDS)
        self._try_flush()

    def _try_flush(self) -> None:
        try:
            self.flush()
            self._waits = False
        except Exception as error:
            if not self._waits:
                log.warning("index rows wait pending=%d cause=%s", len(self._pending), type(error).__name__)
            self._waits = True
            self._stopping.wait(FLUSH_SECONDS)

    def flush(self) -> None:
        """Writes what is pending. Rows leave the queue after their commit.

        Raises:
            sqlalchemy.exc.OperationalError, InterfaceError: the database is away; the rows stay.
        """
        with self._writing:
            while batch := self._pending[:_MOST_IN_A_BATCH]:
                write_each(self.book, batch, self.duplicates)
                with self._lock:
                    del self._pending[: len(batch)]
            self._mend_dropped()

    def _mend_dropped(self) -> None:
        if not self._dropped or not self.mend:
            return
        dropped = self._dropped
        log.warning("index rows were dropped while the database was away, reading them from files count=%d", dropped)
        self.mend()
        with self._lock:
            self._dropped -= dropped


def write_each(book: Book, batch: list[Row], duplicates: Policy = "keep-first") -> int:
    """Writes a batch in one transaction, or, when the database refuses a row of it, each row in its own: one must not
    keep the others out. Returns how many were written.

    Raises:
        sqlalchemy.exc.OperationalError and its like: the database is at fault, not a row.
    """
    try:
        with book.write() as session:
            write_rows(session, batch, duplicates)
    except _AWAY:
        raise
    except Exception as error:
        if len(batch) > 1:
            return sum(write_each(book, [row], duplicates) for row in batch)
        log.error("index row refused by the database cause=%s%s", type(error).__name__, _of(batch[0]))
        return 0
    return len(batch)


def write_rows(session: Session, batch: list[Row], duplicates: Policy = "keep-first") -> None:
    """Writes a batch in the caller's transaction.

    What all its studies need is asked first, together where that can be: between changes, each question would have the
    session write what was changed before it.
    """
    stored: dict[str, list[StoredInstance]] = defaultdict(list)
    for row in batch:
        if isinstance(row, StoredInstance):
            stored[row.header.study_instance_uid].append(row)
        else:
            session.add(Quarantine(**row.model_dump(exclude={"id"})))
    if not stored:
        return
    studies, new = _locked_studies(session, stored)
    asked = [_ask(session, study, stored[uid := study.study_instance_uid], uid in new) for study in studies]
    if rows := [instance_values(one) for found in asked for one in found.new]:
        session.execute(_NEW_INSTANCES, rows)  # as plain values: mapped objects would cost twice what writing them does
    for study, found in zip(studies, asked, strict=True):
        if found.elsewhere:
            point_to_whole(session, study, found.elsewhere)
        if found.new:
            _tell_new(session, study, found.new, study.study_instance_uid in new)
        if found.conflicts:
            write_duplicates(session, study, found.conflicts, duplicates)


def _locked_studies(session: Session, stored: dict[str, list[StoredInstance]]) -> tuple[list[Study], set[str]]:
    """The studies' rows, locked, and which of them were made now: there was none, and no other process was faster.

    Rows are made in order and then locked in order, so that two writers can't wait for each other.
    """
    uids = sorted(stored)
    rows = [Study(**study_values(stored[uid][0])).model_dump() for uid in uids]
    made = session.execute(_NEW_STUDIES[session.get_bind().dialect.name], rows).scalars()
    new = set(made)
    return list(session.scalars(_LOCKED_STUDIES, {"study_instance_uids": uids})), new


def _ask(session: Session, study: Study, stored: list[StoredInstance], is_new: bool) -> Difference:
    """What the instances change; what had been removed and has come again is written."""
    if is_new:
        return difference(stored, {})
    if study.images_removed_at:
        write_returned(session, study, stored)
    uids = [one.header.sop_instance_uid for one in stored]
    which = {"study_instance_uid": study.study_instance_uid, "sop_instance_uids": uids}
    known = {uid: (digest, path) for uid, digest, path in session.exec(_KNOWN, params=which)}
    stored = [comparable(one, known[u][0]) if (u := one.header.sop_instance_uid) in known else one for one in stored]
    found = difference(stored, {uid: digest for uid, (digest, _) in known.items()})
    found.elsewhere = [one for one in stored if _lies_elsewhere(one, *known.get(one.header.sop_instance_uid, ("", "")))]
    return found


def _lies_elsewhere(one: StoredInstance, digest: str, path: str) -> bool:
    return one.digest == digest and one.path != path


def _tell_new(session: Session, study: Study, new: list[StoredInstance], is_new: bool) -> None:
    """What new instances, whose rows are written, mean to their study."""
    read = to_be_read(new)
    if len(read) < len(new):
        session.add(_returned(study, len(new) - len(read), new[0].calling_ae_title))
    complete_study(study, new if is_new else read)
    if is_new:
        move(session, study, StudyEvent.INSTANCE_STORED, "first image", actor=new[0].calling_ae_title)
    elif read:
        reopen(session, study, f"{len(read)} late image{'s' * (len(read) > 1)}", read[0].calling_ae_title)
    session.add(study)


def _returned(study: Study, count: int, actor: str) -> Journal:
    """Results of ours that a PACS routes back: kept, but they are no reason to read the study again."""
    return Journal(
        study_instance_uid=study.study_instance_uid, subject="study", event="result_returned", state=study.state,
        reason=f"{count} of Isocenter's own results came back: kept, not read", actor=actor,
    )  # fmt: skip


def _of(row: Row) -> str:
    return f" study_instance_uid={row.header.study_instance_uid}" if isinstance(row, StoredInstance) else ""
