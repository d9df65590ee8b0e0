"""What a sender asks us to commit to, and what is true of each instance (storage commitment, PS3.4 Annex J). No wire.

An instance is committed when its row says that it is of the SOP class asked for, its file is in the store, durable, as
long as the row says, and has the row's digest when it is read again. An instance beside which other bytes lie that came
later and are not read (`duplicates = "keep-first"`) is not: its sender may hold those. Where the newest bytes are read
(`"replace"`), the older ones do not stand in its way.
"""

import errno
import logging
from collections import defaultdict
from collections.abc import Collection, Iterable
from pathlib import PurePosixPath

from sqlmodel import Session, col, select

from services.collect.store.folder import StoreFolder, data_set_digest
from shared.dicom.commitment import (
    CLASS_INSTANCE_CONFLICT,
    DUPLICATE_TRANSACTION_UID,
    NO_SUCH_INSTANCE,
    PROCESSING_FAILURE,
    RESOURCE_LIMITATION,
    SOP_CLASS_NOT_SUPPORTED,
    Reference,
    Report,
    failure_in_words,
)
from shared.digest import algorithm_of
from shared.store import Book, Commitment, Duplicate, Instance, Journal, Study
from shared.store.moves import move, state_of
from shared.study import CommitmentEvent, CommitmentState
from shared.uids import derived_uuid

log = logging.getLogger(__name__)

_AT_ONCE = 500  # SQLite bounds the number of parameters
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM}


def commitment_row(transaction_uid: str, references: list[Reference], calling: str, called: str) -> Commitment:
    """The row of a request: the same request gives the same id, so that a repeat finds it."""
    what = "\n".join(f"{sop_class} {instance}" for sop_class, instance in sorted(references))
    return Commitment(
        id=str(derived_uuid("commitment", calling, transaction_uid, what)), transaction_uid=transaction_uid,
        references=references, calling_ae_title=calling[:16], called_ae_title=called[:16],
    )  # fmt: skip


def write_request(session: Session, asked: Commitment) -> Commitment:
    """Writes a request, or finds it: one that was answered before is answered again, since its sender asks again."""
    known = session.get(Commitment, asked.id, with_for_update=True)
    if known is None:
        session.add(asked)
        return asked
    if state_of(known) is not CommitmentState.ASKED:
        move(session, known, CommitmentEvent.ASKED_AGAIN, "the sender asked again")
    known.next_at = None
    session.add(known)
    return known


class Judge:
    """Looks whether instances are kept. Not `durable`: C-STORE's answer did not wait for the disk, so this does."""

    def __init__(self, book: Book, folder: StoreFolder, sop_classes: Collection[str], durable: bool) -> None:
        self.book, self.folder, self.sop_classes, self.durable = book, folder, sop_classes, durable

    def judge(self, asked: Commitment) -> Report:
        """What is true now of each instance that is asked for."""
        references = [(sop_class, instance) for sop_class, instance in asked.references]
        if self._in_use(asked):
            return Report(asked.transaction_uid, [], [(r, DUPLICATE_TRANSACTION_UID) for r in references])
        report = Report(asked.transaction_uid)
        rows = self.rows(instance for _, instance in references)
        contested = set().union(*self._beside(rows))
        for reference in references:
            if reason := self._failure(reference, rows[reference[1]], contested):
                report.failed.append((reference, reason))
            else:
                report.committed.append(reference)
        return report

    def rows(self, sop_instance_uids: Iterable[str]) -> dict[str, list[Instance]]:
        """The rows of the instances; an instance that came under two studies has two."""
        uids, found = list(sop_instance_uids), defaultdict(list)
        with self.book.read() as session:
            for start in range(0, len(uids), _AT_ONCE):
                some = col(Instance.sop_instance_uid).in_(uids[start : start + _AT_ONCE])
                for row in session.exec(select(Instance).where(some)):
                    found[row.sop_instance_uid].append(row)
        return found

    def unsettled(self, asked: Commitment) -> bool:
        """Whether rows may still be on their way: they are written a moment behind the C-STORE's answer."""
        rows = self.rows(instance for _, instance in asked.references)
        return len(rows) < len({instance for _, instance in asked.references}) or bool(self._beside(rows)[1])

    def _in_use(self, asked: Commitment) -> bool:
        """Whether the sender has asked for something else under this Transaction UID before."""
        earlier = select(Commitment.id).where(
            Commitment.transaction_uid == asked.transaction_uid, Commitment.id != asked.id,
            Commitment.calling_ae_title == asked.calling_ae_title, Commitment.received_at < asked.received_at,
        )  # fmt: skip
        with self.book.read() as session:
            return session.exec(earlier).first() is not None

    def _beside(self, rows: dict[str, list[Instance]]) -> tuple[set[str], set[str]]:
        """The instances with other bytes beside them: those that the book says are not read, and those that the book
        does not know yet."""
        found = [row for some in rows.values() for row in some]
        studies = sorted({row.study_instance_uid for row in found})
        duplicates: list[Duplicate] = []
        with self.book.read() as session:
            for start in range(0, len(studies), _AT_ONCE):
                some = col(Duplicate.study_instance_uid).in_(studies[start : start + _AT_ONCE])
                duplicates += session.exec(select(Duplicate).where(some)).all()
        known = {duplicate.path for duplicate in duplicates} | {row.path for row in found}
        files = {folder: self._files(folder) for folder in {PurePosixPath(row.path).parent for row in found}}
        unknown = {
            row.sop_instance_uid
            for row in found
            for name in files[PurePosixPath(row.path).parent].get(row.sop_instance_uid, [])
            if name not in known
        }
        return {d.sop_instance_uid for d in duplicates if not d.overtaken}, unknown

    def _files(self, folder: PurePosixPath) -> dict[str, list[str]]:
        """The folder's files by SOP Instance UID, as paths below the store."""
        found: dict[str, list[str]] = defaultdict(list)
        try:
            names = [path.name for path in (self.folder.root / folder).iterdir()]
        except OSError:
            return found
        for name in names:
            found[name.removesuffix(".dcm").partition("~")[0]].append((folder / name).as_posix())
        return found

    def _failure(self, reference: Reference, rows: list[Instance], contested: set[str]) -> int:
        """The Failure Reason, or 0."""
        sop_class, instance = reference
        if not rows:
            return NO_SUCH_INSTANCE if sop_class in self.sop_classes else SOP_CLASS_NOT_SUPPORTED
        if any(row.sop_class_uid != sop_class for row in rows):
            return CLASS_INSTANCE_CONFLICT
        if instance in contested or len({row.digest for row in rows}) > 1:
            return PROCESSING_FAILURE
        return max(self._file_failure(row) for row in rows)

    def _file_failure(self, row: Instance) -> int:
        if row.removed_at:  # by retention
            return NO_SUCH_INSTANCE
        path = self.folder.root / row.path
        try:
            if not self.durable:
                self.folder.sync([row.path])
            if path.stat().st_size == row.size and data_set_digest(path, algorithm_of(row.digest)) == row.digest:
                return 0
            cause, reason = "its bytes are not those that were stored", PROCESSING_FAILURE
        except FileNotFoundError:
            cause, reason = "its file is gone", NO_SUCH_INSTANCE
        except OSError as error:
            cause = error.strerror or type(error).__name__
            reason = RESOURCE_LIMITATION if error.errno in _NO_ROOM else PROCESSING_FAILURE
        log.error(
            "instance can't be committed: %s study_instance_uid=%s path=%s", cause, row.study_instance_uid, row.path
        )
        return reason


def tell_studies(session: Session, rows: dict[str, list[Instance]], event: str, reason: str, actor: str) -> None:
    """One journal line for each study that was asked about."""
    for uid in sorted({row.study_instance_uid for found in rows.values() for row in found}):
        study = session.get(Study, uid)
        if study is not None:
            session.add(
                Journal(
                    study_instance_uid=uid, subject="storage commitment", event=event, state=study.state,
                    reason=reason, actor=actor,
                )
            )  # fmt: skip


def in_words(report: Report, calling_ae_title: str) -> str:
    """What the sender was told."""
    kept = f"{calling_ae_title} was told that {len(report.committed)} of its instances are kept"
    if not report.failed:
        return kept
    counts: dict[int, int] = defaultdict(int)
    for _, reason in report.failed:
        counts[reason] += 1
    failures = ", ".join(f"{count} × {failure_in_words(reason)}" for reason, count in sorted(counts.items()))
    return f"{kept}, and {len(report.failed)} are not: {failures}"
