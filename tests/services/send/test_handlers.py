"""Peers' answers and what becomes of the delivery."""

import pytest

from services.send.handlers import (
    MOST_ERRORS,
    MOST_REFUSALS,
    NotTaken,
    Refused,
    Unreachable,
    last_word,
    read_answer,
    read_store_status,
)
from shared.hl7.acknowledgement import Acknowledgement
from shared.stage import GiveUp, Retry
from tests.services.send.stand_ins import pacs_at, ris_at


@pytest.mark.parametrize(
    ("status", "remark"),
    [(0x0000, ""), (0xB000, "0xB000"), (0xB006, "0xB006"), (0xB007, "0xB007"), (0x0107, "0x0107"), (0x0111, "already")],
)
def test_statuses_that_are_an_acceptance(status: int, remark: str) -> None:
    assert remark in read_store_status(status)
    assert bool(read_store_status(status)) == bool(remark)


@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [
        (0xA700, Unreachable, "free space"),
        (0xA7FF, Unreachable, "free space"),
        (0xA900, NotTaken, "SOP class"),
        (0xC000, Refused, "can't understand"),
        (0xCFFF, Refused, "can't understand"),
        (0x0122, NotTaken, "allow it there"),
        (0x0124, Refused, "AE title"),
        (0xFE00, Refused, "0xFE00"),
        (0xFF00, Refused, "0xFF00"),
        (0xB123, Refused, "0xB123"),
        (0x0001, Refused, "0x0001"),
    ],
)
def test_statuses_that_are_none(status: int, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said) as caught:
        read_store_status(status, "the PACS's words")
    assert type(caught.value) is kind
    assert "the PACS's words" in str(caught.value)


@pytest.mark.parametrize("code", ["AA", "CA"])
def test_an_acceptance_of_our_message(code: str) -> None:
    assert read_answer(Acknowledgement(code, "ID1", ""), "ID1") == ""
    assert read_answer(Acknowledgement(code, "ID1", "thanks"), "ID1") == "thanks"


@pytest.mark.parametrize(
    ("code", "control_id", "kind"),
    [
        ("AA", "ID2", Retry),
        ("AA", "", Retry),
        ("AR", "ID2", Retry),
        ("AE", "ID1", Retry),
        ("CE", "ID1", Retry),
        ("", "ID1", Retry),
        ("OK", "ID1", Retry),
        ("AR", "ID1", Refused),
        ("CR", "ID1", Refused),
    ],
)
def test_whatever_else_is_none(code: str, control_id: str, kind: type[Exception]) -> None:
    with pytest.raises(Retry) as caught:
        read_answer(Acknowledgement(code, control_id, "why"), "ID1")
    assert type(caught.value) is kind


def test_attempts_end() -> None:
    pacs = pacs_at(104, most_attempts=20)
    for error, most in ((Unreachable, 20), (Retry, MOST_ERRORS), (Refused, MOST_REFUSALS)):
        assert isinstance(last_word(error("x"), most - 1, pacs), error)
        assert isinstance(last_word(error("x"), most, pacs), GiveUp)
        assert isinstance(last_word(error("x"), 1, pacs_at(104, most_attempts=1)), GiveUp)
    assert isinstance(last_word(Retry("busy", counts=False), 99, pacs), Retry)


def test_the_wait_is_the_destinations_own() -> None:
    ris = ris_at(2575, first_retry_seconds=100, longest_retry_seconds=400)
    for attempts, seconds in ((1, 100), (2, 200), (3, 400), (9, 400)):
        error = last_word(Unreachable("away"), attempts, ris)
        assert isinstance(error, Unreachable)
        assert error.after is not None
        assert 0.75 * seconds <= error.after.total_seconds() <= 1.25 * seconds


def test_a_peers_words_are_kept_as_a_database_can_keep_them() -> None:
    """With a NUL in its remark an accepted delivery could not be written, and was sent again."""
    assert read_answer(Acknowledgement("AA", "ID", "a\0b\rc"), "ID") == "a b c"
    assert read_store_status(0xB000, "a\0b") == "accepted with warning 0xB000 (a b)"
    with pytest.raises(Retry) as raised:
        read_answer(Acknowledgement("AE", "x\0" * 5000, "y" * 5000), "ID")
    assert "\0" not in str(raised.value)
    assert len(str(raised.value)) < 1000
