"""Which destinations may be tried now: one that is away, slow or at its rate holds up its own deliveries only."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from services.send.handlers import Unreachable
from services.send.pace import Turn
from shared import metrics
from shared.stage import Retry

log = logging.getLogger(__name__)

LONGEST_AWAY = 60.0
_OUTAGE = 2  # failures in a row that speak of the destination, not of one object that it can't bear


@dataclass
class _Door:
    most: int  # deliveries at once
    room: int  # of these at the moment: fewer after an outage
    inside: int = 0
    failures: int = 0
    shut_until: float = 0.0
    turn_at: float = 0.0


class Doors:
    """A door for each destination, in this process.

    It lets in as many deliveries at once as `rooms` says. When one finds the destination away, the door is shut for a
    while, doubled each time; then one delivery at a time may try, until one gets through. After that one more is let in
    with each that arrives. `turn` takes the turn that a destination's rate gives, and `returned` is told of one that
    was away and is there again.
    """

    def __init__(
        self, rooms: Mapping[str, int], away_seconds: float = 5.0, clock: Callable[[], float] = time.monotonic,
        turn: Callable[[str], Turn] = lambda _: Turn(True, timedelta(0)),
        returned: Callable[[str], None] = lambda _: None,
    ) -> None:  # fmt: skip
        self._doors = {name: _Door(most, most) for name, most in rooms.items()}
        self._away_seconds, self._clock, self._turn, self._returned = away_seconds, clock, turn, returned
        self._lock = threading.Lock()
        for name in rooms:
            metrics.DESTINATION_AWAY.labels(name).set(0)

    def closed(self) -> list[str]:
        """The destinations that nothing may be taken up for now."""
        with self._lock:
            return [name for name, door in self._doors.items() if not self._open(door)]

    def opens_in(self) -> float | None:
        """Seconds until the next of the doors that are shut for a time may be tried; None when none is."""
        now = self._clock()
        with self._lock:
            ends = [max(door.shut_until, door.turn_at) for door in self._doors.values()]
        return min((end - now for end in ends if end > now), default=None)

    @contextmanager
    def through(self, name: str, paced: bool = True) -> Iterator[None]:
        """The way of one delivery; what it raises tells whether the destination is there. Not `paced`: no object goes
        out, so the destination's rate does not count.

        Raises:
            Retry: the door has closed in this moment, or it is another worker's turn; no attempt is spent.
        """
        door = self._doors[name]
        with self._lock:
            if not self._open(door):
                raise Retry(f"{name} is busy or away", timedelta(seconds=1), counts=False)
            door.inside += 1
        try:
            if paced:
                self._await_turn(name, door)
            yield
            self._answered(name, door)
        except Unreachable:
            self._away(name, door)
            raise
        except Retry as error:
            if error.counts:
                self._answered(name, door)
            raise
        finally:
            with self._lock:
                door.inside -= 1

    def _open(self, door: _Door) -> bool:
        if self._clock() < max(door.shut_until, door.turn_at):
            return False
        return door.inside < (1 if door.failures else door.room)

    def _await_turn(self, name: str, door: _Door) -> None:
        turn = self._turn(name)
        with self._lock:
            door.turn_at = self._clock() + turn.next_in.total_seconds()
        if not turn.taken:
            raise Retry(f"{name} is at its rate", timedelta(0), counts=False)

    def _answered(self, name: str, door: _Door) -> None:
        with self._lock:
            was_away = door.failures >= _OUTAGE
            door.room = min(door.room + 1, door.most)
            door.failures, door.shut_until = 0, 0.0
        metrics.DESTINATION_AWAY.labels(name).set(0)
        if was_away:
            self._tell_returned(name)

    def _tell_returned(self, name: str) -> None:
        try:
            self._returned(name)
        except Exception as error:  # the database; what the destination has just accepted is accepted all the same
            log.warning("backlog not hastened destination=%s cause=%s", name, type(error).__name__)

    def _away(self, name: str, door: _Door) -> None:
        with self._lock:
            seconds = min(self._away_seconds * 2 ** min(door.failures, 10), LONGEST_AWAY)
            door.failures += 1
            door.room = 1
            door.shut_until = self._clock() + seconds
            away = door.failures >= _OUTAGE
        metrics.DESTINATION_AWAY.labels(name).set(int(away))
