"""The background work on what is kept, apart from all that a sender waits for: reconciling and retention."""

import logging
import threading
import time

from services.collect.store.reconcile import Reconciler
from shared.keeping.examination import examine
from shared.keeping.sweep import Sweep

log = logging.getLogger(__name__)

ROUND_SECONDS = 60.0
_AGAIN_SECONDS = 3600.0  # studies that have changed are looked into again
_RETRY_SECONDS = 2.0


class Keeper:
    """One thread in one process of collect."""

    def __init__(self, reconciler: Reconciler, sweep: Sweep, round_seconds: float = ROUND_SECONDS) -> None:
        self.reconciler, self.sweep, self.round_seconds = reconciler, sweep, round_seconds
        self._stop = threading.Event()
        sweep.stopping = reconciler.stopping = self._stop.is_set
        self._reconcile_at = float("-inf")
        self._waits = False
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends after the study in hand; what is left is done at the next start."""
        self._stop.set()
        self._thread.join(timeout=30)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._round()
                self._waits = False
            except Exception as error:  # the database or the disk is away: nothing is mended or removed meanwhile
                if not self._waits:
                    log.warning("reconciling and retention wait cause=%s", type(error).__name__)
                self._waits = True
            self._stop.wait(_RETRY_SECONDS if self._waits else self.round_seconds)

    def _round(self) -> None:
        if time.monotonic() >= self._reconcile_at:
            found = self.reconciler.run()
            for finding in examine(self.sweep.book, self.sweep.core, mend=True):
                log.warning("found %s count=%d mended=%s", finding.kind, finding.count, finding.mended)
            self._reconcile_at = time.monotonic() + (ROUND_SECONDS if found.unreadable else _AGAIN_SECONDS)
        self.sweep.round()
