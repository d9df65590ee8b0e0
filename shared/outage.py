"""Tells of a trouble that lasts: once when it begins, seldom while it goes on, and when it is over."""

import logging
import threading
import time

_AGAIN_SECONDS = 600.0


class Outage:
    """One thing that may be away; `what` names it, `meanwhile` says what becomes of the work. Thread-safe."""

    def __init__(self, log: logging.Logger, what: str, meanwhile: str) -> None:
        self._log, self._what, self._meanwhile = log, what, meanwhile
        self._since = self._said = 0.0
        self._lock = threading.Lock()

    def met(self, error: BaseException | str) -> None:
        """It is away now."""
        now = time.monotonic()
        with self._lock:
            if self._since and now - self._said < _AGAIN_SECONDS:
                return
            self._since, self._said = self._since or now, now
            seconds = now - self._since
        cause = error if isinstance(error, str) else type(error).__name__
        self._log.warning("%s away for %.0f s, %s cause=%s", self._what, seconds, self._meanwhile, cause)

    def over(self) -> None:
        """It is there."""
        if not self._since:
            return
        with self._lock:
            seconds, self._since = time.monotonic() - self._since, 0.0
        self._log.warning("%s back after %.0f s", self._what, seconds)
