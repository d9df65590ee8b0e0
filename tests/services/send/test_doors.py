"""Doors: a destination that is away or slow holds up its own deliveries only."""

import pytest

from services.send.doors import LONGEST_AWAY, Doors
from services.send.handlers import Refused, Unreachable
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
    return Doors(["PACS", "RIS"], room=2, away_seconds=5, clock=clock)


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


@pytest.mark.parametrize("error", [Refused("no"), Retry("AE")])
def test_a_no_to_one_object_shuts_nothing(doors: Doors, error: Retry) -> None:
    _fail(doors, error)
    assert doors.closed() == []
