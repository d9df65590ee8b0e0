"""Reconciles files and rows: the files are the truth, the rows their index."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlmodel import col, select

from services.collect.duplicates import Policy
from services.collect.folder import StoreFolder, data_set_sha256
from services.collect.handlers import StoredInstance, is_beside, is_safe_uid, place
from services.collect.index import write_each
from shared.dicom.header import read_header
from shared.dicom.problems import UnreadableInstance
from shared.store import Book, Duplicate, Instance, Journal, Study

log = logging.getLogger(__name__)

_BATCH = 500


@dataclass
class Reconciled:
    """What was found. `strange` are files that are no instances of the place where they lie; they are left there."""

    files: int = 0
    indexed: int = 0
    missing: int = 0
    strange: int = 0
    stale: int = 0


def reconcile(book: Book, folder: StoreFolder, stale_seconds: float, duplicates: Policy = "keep-first") -> Reconciled:
    """Writes rows for files that have none, tells of rows whose file is gone, removes half-written files.

    Safe beside running listeners: half-written files are removed only when nobody has written to them for
    `stale_seconds`, and a row that a listener is about to write is the same row.
    """
    found = Reconciled(stale=folder.remove_stale(stale_seconds))
    for study_folder in _folders(folder.root):
        _reconcile_study(book, folder, study_folder, found, duplicates)
    _tell_missing_studies(book, folder, found)
    log.info("reconciled %s", " ".join(f"{name}={count}" for name, count in asdict(found).items()))
    return found


def reconcile_studies(book: Book, folder: StoreFolder, uids: Iterable[str], duplicates: Policy) -> Reconciled:
    """The same for some studies: those of which a listener process was about to write rows when it died."""
    found = Reconciled()
    for uid in sorted(uids):
        if (folder.root / uid).is_dir():
            _reconcile_study(book, folder, folder.root / uid, found, duplicates)
    return found


def _folders(root: Path) -> Iterator[Path]:
    for entry in sorted(root.iterdir()):
        if entry.is_dir() and is_safe_uid(entry.name):
            yield entry


def _reconcile_study(
    book: Book, folder: StoreFolder, study_folder: Path, found: Reconciled, duplicates: Policy
) -> None:
    paths = {p.relative_to(folder.root).as_posix(): p for p in study_folder.glob("*/*.dcm")}
    found.files += len(paths)
    with book.read() as session:
        known = set(session.exec(_kept_paths(study_folder.name)))
        told = set(session.exec(select(Duplicate.path).where(Duplicate.study_instance_uid == study_folder.name)))
    new = [path for name, path in sorted(paths.items()) if name not in known and name not in told]
    new.sort(key=lambda path: is_beside(path.name))  # the first bytes before the others
    for start in range(0, len(new), _BATCH):
        _index(book, folder, new[start : start + _BATCH], found, duplicates)
    _tell_missing(book, study_folder.name, (known | told) - set(paths), found)


def _kept_paths(study_instance_uid: str) -> Any:
    """Asks for the files that must be there: all but those that retention has removed."""
    return select(Instance.path).where(
        Instance.study_instance_uid == study_instance_uid, col(Instance.removed_at).is_(None)
    )


def _index(book: Book, folder: StoreFolder, paths: list[Path], found: Reconciled, duplicates: Policy) -> None:
    stored = [one for path in paths if (one := _read(folder, path)) is not None]
    found.strange += len(paths) - len(stored)
    if stored:
        written = write_each(book, list(stored), duplicates)
        found.indexed += written
        found.strange += len(stored) - written


def _read(folder: StoreFolder, path: Path) -> StoredInstance | None:
    try:
        header, stat = read_header(path), path.stat()
    except (UnreadableInstance, OSError) as error:
        log.warning("strange file in the store path=%s reason=%s", path.relative_to(folder.root), error)
        return None
    where = path.relative_to(folder.root).as_posix()
    if place(header).with_suffix("").as_posix() != where.removesuffix(".dcm").partition("~")[0]:
        log.warning("strange file in the store path=%s reason=another instance", where)
        return None
    received_at = datetime.fromtimestamp(stat.st_mtime, UTC)
    return StoredInstance(header, where, stat.st_size, data_set_sha256(path, header.data_set_offset), received_at)


def _tell_missing_studies(book: Book, folder: StoreFolder, found: Reconciled) -> None:
    with book.read() as session:
        studies = session.exec(select(Instance.study_instance_uid).distinct()).all()
    for uid in studies:
        if not (folder.root / uid).is_dir():
            with book.read() as session:
                paths = set(session.exec(_kept_paths(uid)))
            _tell_missing(book, uid, paths, found)


def _tell_missing(book: Book, study_instance_uid: str, paths: set[str], found: Reconciled) -> None:
    """Rows whose file is gone stay: they say what was there. The journal says so once a count."""
    if not paths:
        return
    found.missing += len(paths)
    log.error("files missing from the store study_instance_uid=%s count=%d", study_instance_uid, len(paths))
    reason = f"{len(paths)} stored images are missing from the disk"
    with book.write() as session:
        study = session.get(Study, study_instance_uid)
        told = select(Journal.id).where(Journal.study_instance_uid == study_instance_uid, Journal.reason == reason)
        if study is not None and session.exec(told).first() is None:
            session.add(
                Journal(
                    study_instance_uid=study_instance_uid, subject="study", event="files_missing", state=study.state,
                    reason=reason, actor="collect",
                )
            )  # fmt: skip
