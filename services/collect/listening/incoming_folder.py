"""Where half-written files lie: each listener process has a folder of its own, locked for as long as it lives."""

import contextlib
import fcntl
import itertools
import os
import shutil
import time
import uuid
from pathlib import Path


class IncomingFolder:
    """A folder below the store's incoming one. The lock ends with the process, however that ends."""

    def __init__(self, incoming: Path) -> None:
        self.path, self._lock = _locked_folder(incoming)
        self._numbers = itertools.count()

    def next_path(self) -> str:
        """A name that no file has."""
        return f"{self.path}/{next(self._numbers)}.dcm"

    def close(self) -> None:
        """Nothing is written any more."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def _locked_folder(incoming: Path) -> tuple[Path, int]:
    while True:
        path = incoming / f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        path.mkdir(parents=True)
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists():  # nobody took it for an abandoned one in between
                return path, lock
        os.close(lock)


def remove_abandoned(incoming: Path, older_than_seconds: float) -> int:
    """Removes half-written files that nobody writes any more; they were never acknowledged. Returns how many.

    A folder whose lock is free goes at once. Files that lie beside the folders are of an earlier version: they go when
    nobody has written to them for `older_than_seconds`.
    """
    count, limit = 0, time.time() - older_than_seconds
    for path in incoming.iterdir():
        with contextlib.suppress(FileNotFoundError, BlockingIOError):
            if path.is_dir():
                count += _remove_free(path)
            elif path.stat().st_mtime < limit:
                path.unlink()
                count += 1
    return count


def _remove_free(path: Path) -> int:
    lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        count = len(list(path.iterdir()))
        shutil.rmtree(path)
        return count
    finally:
        os.close(lock)
