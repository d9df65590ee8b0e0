"""Doors: a destination that is away or slow holds up its own deliveries only."""

import contextlib
from datetime import timedelta

import pytest
from sqlalchemy.exc import OperationalError

from services.send.doors import LONGEST_AWAY, Doors
from services.send.handlers import Refused, Unreachable
from services.send.pace import Turn
from shared.stage import Retry


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def doors(clock: Clock) -> Doors:
    return Doors({"PACS": 2, "RIS": 2}, away_seconds=5, clock=clock)


def _fail(doors: Doors, error: Retry) -> None:
    with pytest.raises(type(error)), doors.through("PACS"):
        raise error


def test_room_is_kept_for_the_others(doors: Doors) -> None:
    with doors.through("PACS"), doors.through("PACS"):
        assert doors.closed() == ["PACS"]
        with pytest.raises(Retry, match="busy") as caught, doors.through("PACS"):
            pass
        assert not caught.value.counts
        with doors.through("RIS"):
            assert doors.closed() == ["PACS"]
    assert doors.closed() == []


def test_away_shuts_for_longer_each_time_then_lets_one_try(doors: Doors, clock: Clock) -> None:
    for seconds in (5, 10, 20, 40, LONGEST_AWAY, LONGEST_AWAY):
        _fail(doors, Unreachable("down"))
        clock.now += seconds - 0.1
        assert doors.closed() == ["PACS"]
        clock.now += 0.2
        assert doors.closed() == []
    with doors.through("PACS"):
        assert doors.closed() == ["PACS"], "only one may try"
    with doors.through("PACS"):
        assert doors.closed() == [], "it got through: the door is open again"


def test_after_an_outage_one_more_is_let_in_with_each_that_arrives(clock: Clock) -> None:
    back: list[str] = []
    doors = Doors({"PACS": 3}, away_seconds=5, clock=clock, returned=back.append)
    _fail(doors, Unreachable("down"))
    clock.now += 6
    _fail(doors, Unreachable("down"))
    clock.now += 11
    assert back == []
    for most in (1, 2, 3, 3):
        with contextlib.ExitStack() as inside:
            for _ in range(most):
                assert doors.closed() == []
                inside.enter_context(doors.through("PACS"))
            assert doors.closed() == ["PACS"]
        assert back == ["PACS"], "told once"


def test_one_object_that_the_destination_cant_bear_is_no_outage(doors: Doors, clock: Clock) -> None:
    back: list[str] = []
    doors = Doors({"PACS": 2}, away_seconds=5, clock=clock, returned=back.append)
    for _ in range(3):
        _fail(doors, Unreachable("it ended the association"))
        clock.now += 6
        with doors.through("PACS"):
            pass
    assert back == [], "what waits for its next attempt goes on waiting"


def test_a_rate_shuts_the_door_until_the_next_turn(clock: Clock) -> None:
    turns = [Turn(True, timedelta(seconds=3)), Turn(False, timedelta(seconds=2)), Turn(True, timedelta(seconds=3))]
    doors = Doors({"PACS": 2, "RIS": 1}, clock=clock, turn=lambda _: turns.pop(0))
    with doors.through("PACS"):
        assert doors.closed() == ["PACS"]
    assert doors.opens_in() == 3
    clock.now += 3
    assert doors.opens_in() is None
    with pytest.raises(Retry, match="at its rate") as caught, doors.through("PACS"):
        raise AssertionError("another worker has taken the turn")
    assert not caught.value.counts
    assert doors.opens_in() == 2
    clock.now += 2
    with doors.through("PACS"):
        pass


@pytest.mark.parametrize("error", [Refused("no"), Retry("AE")])
def test_a_no_to_one_object_shuts_nothing(doors: Doors, error: Retry) -> None:
    _fail(doors, error)
    assert doors.closed() == []


def test_what_was_accepted_stays_so_when_the_backlog_can_not_be_hastened(clock: Clock) -> None:
    def without_database(_name: str) -> None:
        raise OperationalError("update delivery", {}, Exception("the database is away"))

    doors = Doors({"PACS": 2}, away_seconds=5, clock=clock, returned=without_database)
    for _ in range(2):
        _fail(doors, Unreachable("down"))
        clock.now += LONGEST_AWAY
    with doors.through("PACS"):
        pass  # accepted
    assert doors.closed() == []
