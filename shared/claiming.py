"""Whose turn it is at a stage, and taking it: a lease on the row, in one transaction."""

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from sqlalchemy import func, or_
from sqlalchemy.sql import ColumnElement
from sqlmodel import Session, col, select

from shared.store import Book
from shared.store.clock import database_now, lease_has_ended
from shared.store.moves import Row, row_id

if TYPE_CHECKING:
    from shared.stage import Stage


@dataclass(frozen=True)
class Claim:
    """A row taken up: its id, the lease's token, how often it was taken up now, how often it may be, and what the last
    attempt said."""

    key: str
    token: str
    attempts: int
    most_attempts: int
    last_error: str = ""


def claim(book: Book, stage: "Stage") -> Claim | None:
    """Takes the row whose turn it is; None when nothing waits."""
    token = f"{stage.owner}:{uuid.uuid4().hex[:12]}"
    only = stage.only()  # it may wait for a server that hangs, and SQLite has one lock for all who write
    with book.write() as session:
        waits = _is_waiting(session, stage, [*only, *stage.within(session)])
        query = select(stage.table).where(*waits).order_by(col(stage.table.due_at)).limit(1)
        row = cast("Row | None", session.scalars(query.with_for_update(skip_locked=True)).first())
        if row is None:
            return None
        last_error = row.reason if row.next_at else ""
        row.lease_owner, row.lease_until, row.attempts = token, database_now(session) + stage.lease, row.attempts + 1
        session.add(row)
        most = stage.most_attempts_of(row) or stage.most_attempts
        return Claim(row_id(row), token, row.attempts, most, last_error)


def waiting(book: Book, stage: "Stage") -> int:
    """How many rows wait for the stage and could be taken now."""
    only = stage.only()
    with book.read() as session:
        waits = _is_waiting(session, stage, [*only, *stage.within(session)])
        return session.scalar(select(func.count()).select_from(stage.table).where(*waits)) or 0


def _is_waiting(session: Session, stage: "Stage", only: list[ColumnElement[bool]]) -> list[ColumnElement[bool]]:
    now, table = database_now(session), stage.table
    return [
        col(table.state).in_(stage.states),
        lease_has_ended(table, now, stage.lease),
        or_(col(table.next_at).is_(None), col(table.next_at) <= now),
        *only,
    ]
