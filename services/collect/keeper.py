"""The background work on what is kept: retention's rounds, apart from all that a sender waits for."""

import logging
import threading

from shared.keeping.sweep import Sweep

log = logging.getLogger(__name__)

ROUND_SECONDS = 60.0


class Keeper:
    """One thread in one process of collect."""

    def __init__(self, sweep: Sweep, round_seconds: float = ROUND_SECONDS) -> None:
        self.sweep, self.round_seconds = sweep, round_seconds
        self._stop = threading.Event()
        sweep.stopping = self._stop.is_set
        self._waits = False
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends after the removal in hand."""
        self._stop.set()
        self._thread.join(timeout=30)

    def _run(self) -> None:
        while True:
            try:
                self.sweep.round()
                self._waits = False
            except Exception as error:  # the database or the disk is away: nothing is removed meanwhile
                if not self._waits:
                    log.warning("retention waits cause=%s", type(error).__name__)
                self._waits = True
            if self._stop.wait(self.round_seconds):
                return
