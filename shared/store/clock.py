"""The one clock by which leases and waiting times are set and judged."""

from datetime import datetime, timedelta
from typing import cast

from sqlalchemy import func, or_, select
from sqlalchemy.sql import ColumnElement
from sqlmodel import Session, col

from shared.store.tables import Leased, utc_now


def database_now(session: Session) -> datetime:
    """Now, as the database has it: hosts whose clocks differ must agree whose lease has ended.

    SQLite has no clock of its own, and one host.
    """
    if session.get_bind().dialect.name == "sqlite":
        return utc_now()
    return cast(datetime, session.scalar(select(func.clock_timestamp())))


def lease_has_ended(table: type[Leased], now: datetime, lease: timedelta) -> ColumnElement[bool]:
    """Whether nobody works on the row. A lease that ends later than one can that was given now is from before the
    clock was set back: who holds it renews it within a third of it, and then it fits again."""
    until = col(table.lease_until)
    return or_(until.is_(None), until < now, until > now + 2 * lease)
