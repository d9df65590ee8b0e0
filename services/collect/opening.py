"""Opens the book beside the open port: a sender does not wait for the database, the files are the truth."""

import logging
import threading
import time
from collections.abc import Callable

from shared.service import migrate_when_there
from shared.store import Book

log = logging.getLogger(__name__)

_RETRY_SECONDS = 30.0
_AWAY_SECONDS = 5.0  # a book that takes longer to open was away, or is large
_ROWS_FIRST_SECONDS = 5.0  # rows that wait in the listeners know their sender, files don't


class Opening:
    """Brings the book to its newest schema, however late its database comes, and begins then what needs it."""

    def __init__(self, book: Book, begin: list[Callable[[], object]]) -> None:
        self.book, self._begin = book, begin
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="opening", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> bool:
        """Waits no longer; whether all has begun."""
        self._stopping.set()
        self._thread.join(timeout=10)
        return not self._begin

    def _run(self) -> None:
        began = time.monotonic()
        while not self._open():
            if self._stopping.wait(_RETRY_SECONDS):
                return
        if time.monotonic() - began > _AWAY_SECONDS:
            self._stopping.wait(_ROWS_FIRST_SECONDS)
        while self._begin and not self._stopping.is_set():
            try:
                self._begin[0]()
            except Exception:  # no thread to be had: without this step no study is ever complete
                log.exception("not begun yet, will try again")
                self._stopping.wait(_AWAY_SECONDS)
            else:
                self._begin.pop(0)

    def _open(self) -> bool:
        meanwhile = "images are taken and kept, their rows wait, no study is complete; is isocenter.database_url right?"
        try:
            return migrate_when_there(self.book, meanwhile=meanwhile, told_to_stop=self._stopping.wait)
        except Exception:  # images that come are worth more than a process that ends
            log.exception("the database can't be brought to its newest schema; %s", meanwhile)
            return False
