"""Which destinations may be tried now: one that is away, or slow, holds up its own deliveries and no others."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from services.send.handlers import Unreachable
from shared.stage import Retry

LONGEST_AWAY = 60.0


@dataclass
class _Door:
    inside: int = 0
    failures: int = 0
    shut_until: float = 0.0


class Doors:
    """A door for each destination.

    It lets in `room` deliveries at once. When one finds the destination away, the door is shut for a while, doubled
    each time; then one delivery at a time may try, until one gets through.
    """

    def __init__(
        self, names: list[str], room: int, away_seconds: float = 5.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._doors = {name: _Door() for name in names}
        self._room, self._away_seconds, self._clock = room, away_seconds, clock
        self._lock = threading.Lock()

    def closed(self) -> list[str]:
        """The destinations that nothing may be taken up for now."""
        with self._lock:
            return [name for name, door in self._doors.items() if not self._open(door)]

    @contextmanager
    def through(self, name: str) -> Iterator[None]:
        """The way of one delivery; what it raises tells whether the destination is there.

        Raises:
            Retry: the door has closed in this moment; no attempt is spent.
        """
        door = self._doors[name]
        with self._lock:
            if not self._open(door):
                raise Retry(f"{name} is busy or away", timedelta(seconds=1), counts=False)
            door.inside += 1
        try:
            yield
            self._answered(door)
        except Unreachable:
            self._away(door)
            raise
        except Retry:
            self._answered(door)
            raise
        finally:
            with self._lock:
                door.inside -= 1

    def _open(self, door: _Door) -> bool:
        if self._clock() < door.shut_until:
            return False
        return door.inside < (1 if door.failures else self._room)

    def _answered(self, door: _Door) -> None:
        with self._lock:
            door.failures, door.shut_until = 0, 0.0

    def _away(self, door: _Door) -> None:
        with self._lock:
            seconds = min(self._away_seconds * 2 ** min(door.failures, 10), LONGEST_AWAY)
            door.failures += 1
            door.shut_until = self._clock() + seconds
