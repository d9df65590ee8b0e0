"""A destination's rate, held in the book for all send workers together: whoever sends next takes the next turn."""

from datetime import timedelta
from typing import NamedTuple

from sqlalchemy.dialects import postgresql, sqlite

from shared.store import Book, Pace
from shared.store.clock import database_now


class Turn(NamedTuple):
    """Whether the turn was taken, and how long until the next."""

    taken: bool
    next_in: timedelta


def take_turn(book: Book, destination: str, per_minute: float) -> Turn:
    """Takes the turn, if it has come.

    Turns are evenly spaced and never saved up: a destination that comes back after an hour is not flooded with an
    hour's worth.
    """
    gap = timedelta(minutes=1) / per_minute
    with book.write() as session:
        insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
        session.execute(
            insert(Pace).values(destination=destination, free_at=database_now(session)).on_conflict_do_nothing()
        )
        row = session.get_one(Pace, destination, with_for_update=True)
        now = database_now(session)  # only once the row is ours: who had it before us has put its turn further off
        wait = row.free_at - now
        if timedelta(0) < wait <= gap:  # one further off is from before the clock was set back
            return Turn(False, wait)
        row.free_at = now + gap
        session.add(row)
    return Turn(True, gap)
