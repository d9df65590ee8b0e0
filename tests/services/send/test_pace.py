"""A destination's rate holds also for who waits for another's turn to be written."""

import threading
import time
from datetime import timedelta

from services.send.pace import take_turn
from shared.store import Book, Pace
from shared.store.clock import database_now


def test_who_waits_while_another_takes_the_turn_has_none(book: Book) -> None:
    """The clock was read before the wait, and so the turn that the other one had just moved seemed to be from before
    the clock was set back: both went at once."""
    assert take_turn(book, "RIS", 60).taken
    asked, turns = threading.Event(), []

    def ask() -> None:
        asked.set()
        turns.append(take_turn(book, "RIS", 60))

    with book.write() as session:
        row = session.get_one(Pace, "RIS", with_for_update=True)
        row.free_at = database_now(session)
        session.add(row)
        session.flush()  # the row, or in SQLite the book, is ours
        other = threading.Thread(target=ask)
        other.start()
        asked.wait(5)
        time.sleep(0.3)
        row.free_at = database_now(session) + timedelta(seconds=1)
        session.add(row)
    other.join(10)
    assert [turn.taken for turn in turns] == [False]
