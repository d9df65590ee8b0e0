"""Reconciles the store with the book: beside the open port at start, each hour, and on demand."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import delete, func, or_
from sqlmodel import col, select

from services.collect.handlers import is_safe_uid
from services.collect.store.duplicates import Policy
from services.collect.store.folder import StoreFolder
from services.collect.store.study_files import Reconciled, StudyFiles
from shared.store import Book, Reconciliation, Study, utc_now

log = logging.getLogger(__name__)

_SAY_SECONDS = 10.0
_CLOCKS_DIFFER = timedelta(minutes=10)  # the disk's may be another machine's
_MARKS_KEPT = timedelta(days=30)


class Reconciler:
    """Looks into the study folders that have changed since the last time, the newest first.

    A study that is still to be looked into is not complete: `awaits` says so.
    """

    def __init__(self, files: StudyFiles, stale_seconds: float) -> None:
        self.files, self.stale_seconds = files, stale_seconds
        self.stopping: Callable[[], bool] = lambda: False
        self._listed, self._pending = False, set[str]()
        self._at_work = threading.Lock()

    def awaits(self, study_instance_uid: str) -> bool:
        """Whether files of the study may lie in the store that a crash kept from their rows."""
        return not self._listed or study_instance_uid in self._pending

    def run(self, whole: bool = False) -> Reconciled:
        """Writes rows for files that have none, tells of rows whose file is gone, removes half-written files.

        Safe beside running listeners: half-written files are removed only when nobody has written to them for
        `stale_seconds`, and a row that a listener is about to write is left to it.
        """
        with self._at_work:
            started, folder = utc_now(), self.files.folder
            found = Reconciled(stale=folder.remove_stale(self.stale_seconds, remove=self.files.mend))
            names = changed_folders(folder.root, None if whole else self._mark())
            self._pending, self._listed = set(names), True
            self._look_into(names, found)
            if not self.stopping():
                self._look_for_missing_folders(found)
                if not found.unreadable:  # else what was not seen now would not be looked for again
                    self._write_mark(started, found)
            log.info("reconciled %s", " ".join(f"{name}={count}" for name, count in asdict(found).items()))
            return found

    def mend_dropped(self) -> Reconciled:
        """After rows were dropped while the database was away: no row of a fresh file is on its way then."""
        files = self.files
        self.files = replace(files, since=float("inf"))
        try:
            return self.run()
        finally:
            self.files = files

    def _look_into(self, names: Sequence[str], found: Reconciled) -> None:
        say_at = time.monotonic() + _SAY_SECONDS
        for number, name in enumerate(names):
            if self.stopping():
                return
            if self.files.look_or_tell(name, found):
                self._pending.discard(name)
            found.studies += 1
            if time.monotonic() >= say_at:
                say_at = time.monotonic() + _SAY_SECONDS
                log.info("reconciling studies=%d of=%d files=%d", number + 1, len(names), found.files)

    def _look_for_missing_folders(self, found: Reconciled) -> None:
        """Of a study that retention has removed no row says that a file must be there."""
        for uid in _studies(self.files.book):
            if not os.path.isdir(self.files.folder.root / uid):
                self.files.look_or_tell(uid, found)

    def _mark(self) -> datetime | None:
        """The start of the last look that came to its end. It is in the book: one that was restored from a backup knows
        what it has missed since. One that lies ahead is from before the clock was set back: by it, all that came since
        would be old."""
        with self.files.book.read() as session:
            last = select(func.max(Reconciliation.started_at)).where(col(Reconciliation.started_at) <= utc_now())
            return session.exec(last).first()

    def _write_mark(self, started: datetime, found: Reconciled) -> None:
        if not self.files.mend:
            return
        with self.files.book.write() as session:
            at = col(Reconciliation.started_at)
            session.execute(delete(Reconciliation).where(or_(at < started - _MARKS_KEPT, at > started)))
            session.add(Reconciliation(started_at=started, found=asdict(found)))


def reconcile(book: Book, folder: StoreFolder, stale_seconds: float, duplicates: Policy = "keep-first") -> Reconciled:
    """Looks through the whole store once."""
    return Reconciler(StudyFiles(book, folder, duplicates), stale_seconds).run(whole=True)


def reconcile_studies(book: Book, folder: StoreFolder, uids: Iterable[str], duplicates: Policy) -> Reconciled:
    """Looks into some studies: those of which a listener process was about to write rows when it died."""
    files, found = StudyFiles(book, folder, duplicates, since=float("inf")), Reconciled()
    for uid in sorted(uids):
        if (folder.root / uid).is_dir():
            files.look_or_tell(uid, found)
    return found


def changed_folders(root: Path, since: datetime | None) -> list[str]:
    """Studies into whose folders something came, or from which something went, since then; the newest first."""
    limit = (since - _CLOCKS_DIFFER).timestamp() if since else 0.0
    found: list[tuple[float, str]] = []
    with os.scandir(root) as studies:
        for study in studies:
            if is_safe_uid(study.name) and (changed := _changed_at(study)) >= limit:
                found.append((changed, study.name))
    return [name for _, name in sorted(found, reverse=True)]


def _changed_at(study: os.DirEntry[str]) -> float:
    try:
        with os.scandir(study.path) as series:
            return max([study.stat().st_mtime, *(one.stat().st_mtime for one in series)])
    except (FileNotFoundError, NotADirectoryError):  # retention has just taken it, or it is a file
        return -1.0
    except OSError:  # the look into it will tell
        return float("inf")


def _studies(book: Book) -> Iterator[str]:
    """Every study of the book, a thousand at a time."""
    last = ""
    while True:
        query = select(Study.study_instance_uid).where(Study.study_instance_uid > last)
        with book.read() as session:
            uids = session.exec(query.order_by(col(Study.study_instance_uid)).limit(1000)).all()
        if not uids:
            return
        yield from uids
        last = uids[-1]
