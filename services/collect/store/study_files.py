"""Brings the files and the rows of one study together: the files are the truth, the rows their index."""

import logging
import os
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from sqlmodel import col, select

from services.collect.handlers import StoredInstance, is_beside, place
from services.collect.store.duplicates import Policy
from services.collect.store.folder import StoreFolder, data_set_digest
from services.collect.store.index import write_each
from shared.dicom.header import read_header
from shared.dicom.problems import UnreadableInstance
from shared.store import Book, Duplicate, Instance, Journal, Study

log = logging.getLogger(__name__)

_BATCH = 500
_FRESH_SECONDS = 30.0  # the row of a file that is as young as this is on its way


@dataclass
class Reconciled:
    """What was found. `strange` are files that are no instances of the place where they lie; they are left there. What
    is `unreadable` the disk refuses to show: what rows it lacks is not known yet."""

    studies: int = 0
    files: int = 0
    indexed: int = 0
    missing: int = 0
    strange: int = 0
    stale: int = 0
    unreadable: int = 0


@dataclass
class StudyFiles:
    """The look into one study after the other, beside running listeners and retention.

    `since`: files from before it, of processes that have ended, wait for no row; of later ones the fresh are passed
    over. Without `mend` what is found is counted and nothing is changed.
    """

    book: Book
    folder: StoreFolder
    duplicates: Policy = "keep-first"
    mend: bool = True
    since: float = field(default_factory=time.time)

    def look(self, study_instance_uid: str, found: Reconciled) -> None:
        """Writes rows for the study's files that have none, and tells of rows whose file is gone."""
        folder = self.folder.root / study_instance_uid
        paths = {p.relative_to(self.folder.root).as_posix(): p for p in folder.glob("*/*.dcm")}
        for name in [name for name, path in paths.items() if not _is_plain(path)]:
            if os.path.lexists(paths.pop(name)):  # else retention has just taken it
                found.strange += 1
                log.warning("strange file in the store path=%s reason=a link, pipe or folder, not read", name)
        found.files += len(paths)
        known = self._known(study_instance_uid)
        new = [path for name, path in sorted(paths.items()) if name not in known and not self._is_fresh(path)]
        new.sort(key=lambda path: is_beside(path.name))  # the first bytes before the others
        for start in range(0, len(new), _BATCH):
            self._index(new[start : start + _BATCH], found)
        self._tell_missing(study_instance_uid, known - set(paths), found)

    def look_or_tell(self, study_instance_uid: str, found: Reconciled) -> bool:
        """The same; a study that the disk does not let be looked into keeps no other from it. Whether it was."""
        refused = found.unreadable
        try:
            self.look(study_instance_uid, found)
        except OSError as error:
            log.error("study can't be looked into study_instance_uid=%s cause=%s", study_instance_uid, error.strerror)
            found.unreadable += 1
        return found.unreadable == refused

    def _known(self, study_instance_uid: str) -> set[str]:
        """The files that must be there: all that the book has but those that retention has removed."""
        kept = select(Instance.path).where(
            Instance.study_instance_uid == study_instance_uid, col(Instance.removed_at).is_(None)
        )
        others = select(Duplicate.path).where(Duplicate.study_instance_uid == study_instance_uid)
        with self.book.read() as session:
            return {*session.exec(kept), *session.exec(others)}

    def _is_fresh(self, path: Path) -> bool:
        try:
            stored_at = path.stat().st_ctime  # the time of its link; its content is older
        except FileNotFoundError:  # retention has just taken it
            return True
        return stored_at >= max(self.since, time.time() - _FRESH_SECONDS)

    def _index(self, paths: Sequence[Path], found: Reconciled) -> None:
        refused = found.unreadable
        stored = [one for path in paths if (one := self._read(path, found)) is not None]
        found.strange += sum(path.exists() for path in paths) - len(stored) - (found.unreadable - refused)
        written = write_each(self.book, list(stored), self.duplicates) if stored and self.mend else len(stored)
        found.indexed += written
        found.strange += len(stored) - written

    def _read(self, path: Path, found: Reconciled) -> StoredInstance | None:
        where = path.relative_to(self.folder.root).as_posix()
        try:
            header, status = read_header(path), path.stat()
            digest = data_set_digest(path, offset=header.data_set_offset) if self.mend else ""
        except FileNotFoundError:
            return None
        except UnreadableInstance as error:
            log.warning("strange file in the store path=%s reason=%s", where, error)
            return None
        except OSError as error:
            log.error("file in the store can't be read path=%s cause=%s", where, error.strerror)
            found.unreadable += 1
            return None
        if place(header).removesuffix(".dcm") != where.removesuffix(".dcm").partition("~")[0]:
            log.warning("strange file in the store path=%s reason=another instance", where)
            return None
        at, root = datetime.fromtimestamp(status.st_mtime, UTC), self.folder.root
        return StoredInstance(header, where, status.st_size, digest, at, root=root)

    def _tell_missing(self, study_instance_uid: str, paths: set[str], found: Reconciled) -> None:
        """Rows whose file is gone stay: they say what was there. The journal says so once a count."""
        # asked again: what came, or what retention took, since the folder was listed is not missing
        gone = {path for path in paths if not _is_plain(self.folder.root / path)} & self._known(study_instance_uid)
        if not gone:
            return
        found.missing += len(gone)
        log.error("files missing from the store study_instance_uid=%s count=%d", study_instance_uid, len(gone))
        if self.mend:
            self._write_missing(study_instance_uid, f"{len(gone)} stored images are missing from the disk")

    def _write_missing(self, study_instance_uid: str, reason: str) -> None:
        with self.book.write() as session:
            study = session.get(Study, study_instance_uid)
            told = select(Journal.id).where(Journal.study_instance_uid == study_instance_uid, Journal.reason == reason)
            if study is not None and session.exec(told).first() is None:
                session.add(
                    Journal(
                        study_instance_uid=study_instance_uid, subject="study", event="files_missing",
                        state=study.state, reason=reason, actor="collect",
                    )
                )  # fmt: skip


def _is_plain(path: Path) -> bool:
    """A file of its own: a pipe would hold the reader up for ever, and what a link points to may be anything.

    Raises:
        OSError: the disk does not say.
    """
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
