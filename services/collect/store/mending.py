"""Mends what listener processes left that died, beside those that run: their successors don't wait for the database."""

import logging
import threading
from collections.abc import Callable

from services.collect.listening.register import Owner

log = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0


class Mending:
    """One thread. What an owner held stays held until `mend` has succeeded; then `forget` is called.

    Without the database the owners wait: few, since a listener that dies again and again is started ever later.
    """

    def __init__(self, mend: Callable[[Owner], None], forget: Callable[[Owner], None]) -> None:
        self._mend, self._forget = mend, forget
        self._left: list[Owner] = []
        self._waits = False
        self._soon, self._stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="mending", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def left(self, owner: Owner) -> None:
        """A listener process has ended."""
        self._left.append(owner)
        self._soon.set()

    def stop(self) -> None:
        """Tries once more; what can't be mended now the next start finds in the files."""
        self._stopping.set()
        self._soon.set()
        self._thread.join(timeout=30)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._soon.wait(_RETRY_SECONDS if self._left else None)
            self._soon.clear()
            self._round()

    def _round(self) -> None:
        for owner in list(self._left):
            try:
                self._mend(owner)
            except Exception as error:  # the database is away: the studies stay held until it is back
                if not self._waits:
                    log.warning("rows of a listener process not mended yet cause=%s", type(error).__name__)
                self._waits = True
            else:
                self._forget(owner)
                self._left.remove(owner)
        self._waits = self._waits and bool(self._left)
