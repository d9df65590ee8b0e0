"""Whether models can be asked at all: while Triton is away nothing is taken up, so no attempt is spent, no image is
decoded for nothing, and on its return all goes on by itself."""

import logging
import threading
import time
from collections.abc import Callable

from sqlalchemy import false
from sqlalchemy.sql import ColumnElement

from shared.outage import Outage
from shared.serving.models import Models

log = logging.getLogger(__name__)

_AWAY_SECONDS = 2.0  # one that is away is asked again after this long; one that is there each time


class TritonDoor:
    """For a stage's `only`. Thread-safe: one asks, and the others wait for its word."""

    def __init__(self, models: Models, clock: Callable[[], float] = time.monotonic) -> None:
        self._models, self._clock = models, clock
        self._asked_again_at = 0.0
        self._lock = threading.Lock()
        self._outage = Outage(log, models.description, "studies wait, and no attempt is spent,")

    def only(self) -> list[ColumnElement[bool]]:
        """Every row while the models' server answers, none while it does not."""
        with self._lock:
            if self._clock() < self._asked_again_at:
                return [false()]
            if self._models.live():
                self._outage.over()
                return []
            self._outage.met("no answer")
            self._asked_again_at = self._clock() + _AWAY_SECONDS
            return [false()]
