"""What needs the book begins in the end, whatever stands in its way at first."""

import threading

import pytest

from services.collect import opening
from services.collect.opening import Opening


def test_a_step_that_fails_is_tried_again_and_the_next_begin_too(book, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "_AWAY_SECONDS", 0.05)
    monkeypatch.setattr(opening, "_ROWS_FIRST_SECONDS", 0.0)
    refusals, began, done = [RuntimeError("can't start new thread")], [], threading.Event()

    def first() -> None:
        if refusals:
            raise refusals.pop()
        began.append("first")

    begin = Opening(book, [first, lambda: began.append("second"), done.set])
    begin.start()
    assert done.wait(30)
    assert begin.stop()
    assert began == ["first", "second"]
