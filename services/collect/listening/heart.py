"""The heartbeat of a listener process: one that hangs holds its associations and their studies for ever, so its parent
replaces it as it does one that dies."""

import threading
from collections.abc import Callable

BEAT_SECONDS = 2.0
SILENT_SECONDS = 30.0  # nothing heard for so long: it hangs; far more than a busy machine takes


class Heart:
    """A thread that beats as long as `works` says so, from the process' first moment to its last: a start that takes
    long and a stop that waits for associations are no silence."""

    def __init__(self, beat: Callable[[], None], seconds: float = BEAT_SECONDS) -> None:
        self._beat, self._seconds = beat, seconds
        self.works: Callable[[], bool] = lambda: True
        threading.Thread(target=self._run, name="heart", daemon=True).start()

    def _run(self) -> None:
        pause = threading.Event()  # never set: the thread ends with its process
        while True:
            if self.works():
                self._beat()
            pause.wait(self._seconds)
