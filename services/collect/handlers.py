"""What a received instance means: whether it can be kept, where it lies, and what the book says of it. No wire."""

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from shared.dicom.header import Header
from shared.digest import hex_of
from shared.own_results import is_own_result
from shared.store import Study
from shared.study import StudyState

# C-STORE statuses, PS3.4 table B.2-1
SUCCESS = 0x0000
OUT_OF_RESOURCES = 0xA700
DOES_NOT_MATCH = 0xA900
CANNOT_UNDERSTAND = 0xC000
DUPLICATE_SOP_INSTANCE = 0x0111  # PS3.7 C.5.7
UNSUPPORTED_SOP_CLASS = 0x0122  # PS3.7 C.5.6

# PS3.5 9.1 forbids leading zeros, scanners write them all the same. Digits and single dots can't leave a folder.
_SAFE_UID = re.compile(r"[0-9]+(\.[0-9]+)*")


class Refusal(Exception):
    """The instance is not stored.

    `status` and `comment` (at most 64 characters, no patient data) go to the sender; `cause` is a word for the
    metric. With `keep`, the bytes go into quarantine.
    """

    def __init__(self, status: int, comment: str, cause: str, keep: bool = True) -> None:
        super().__init__(comment)
        self.status, self.comment, self.cause, self.keep = status, comment, cause, keep


@dataclass(frozen=True)
class StoredInstance:
    """An instance that lies in the store.

    `digest` (shared.digest) is that of the data set as received, without the File Meta Information that we write before
    it.
    """

    header: Header
    path: str
    size: int
    digest: str
    received_at: datetime
    calling_ae_title: str = ""
    known: bool = False  # the same bytes lay there already
    root: Path | None = None  # the store's folder, above `path`


@dataclass
class Difference:
    """What a batch of instances of one study changes in the book; `elsewhere` are known bytes under another name."""

    new: list[StoredInstance] = field(default_factory=list)
    elsewhere: list[StoredInstance] = field(default_factory=list)
    conflicts: list[StoredInstance] = field(default_factory=list)


def is_safe_uid(value: str) -> bool:
    """Whether `value` can name a file: the shape of a UID, leading zeros let pass."""
    return 0 < len(value) <= 64 and _SAFE_UID.fullmatch(value) is not None


def judge(header: Header, affected_sop_class_uid: str, affected_sop_instance_uid: str) -> None:
    """Looks whether the data set is what the C-STORE said, and can be filed.

    Raises:
        Refusal: with the status of PS3.4 B.2.3.
    """
    for name, value in (
        ("StudyInstanceUID", header.study_instance_uid),
        ("SeriesInstanceUID", header.series_instance_uid),
        ("SOPInstanceUID", header.sop_instance_uid),
    ):
        if not value:
            raise Refusal(CANNOT_UNDERSTAND, f"{name} is missing", "missing_uid")
        if not is_safe_uid(value):
            raise Refusal(CANNOT_UNDERSTAND, f"{name} is not a UID", "bad_uid")
    if header.sop_class_uid != affected_sop_class_uid:
        raise Refusal(DOES_NOT_MATCH, "SOPClassUID is not the affected SOP class", "mismatch")
    if header.sop_instance_uid != affected_sop_instance_uid:
        raise Refusal(DOES_NOT_MATCH, "SOPInstanceUID is not the affected SOP instance", "mismatch")


def place(header: Header) -> str:
    """Where the instance lies, below the store's folder."""
    return f"{header.study_instance_uid}/{header.series_instance_uid}/{header.sop_instance_uid}.dcm"


def place_beside(place: str, digest: str, digits: int = 8) -> str:
    """Where other bytes under the same UID lie."""
    return f"{place.removesuffix('.dcm')}~{hex_of(digest)[:digits]}.dcm"


def is_beside(name: str) -> bool:
    """Whether a file of this name holds other bytes under a UID that was there before."""
    return "~" in name


def difference(stored: list[StoredInstance], known: dict[str, str]) -> Difference:
    """Tells new instances from known ones and from conflicts. `known` are the study's digests by SOP Instance UID."""
    found, digests = Difference(), dict(known)
    for one in stored:
        uid = one.header.sop_instance_uid
        if uid not in digests:
            digests[uid] = one.digest
            found.new.append(one)
        elif digests[uid] != one.digest:
            found.conflicts.append(one)
    return found


def to_be_read(stored: list[StoredInstance]) -> list[StoredInstance]:
    """Those that are not Isocenter's own results: only they make a study new, late or longer."""
    return [one for one in stored if not is_own_result(one.header.attributes)]


def study_values(first: StoredInstance) -> dict[str, Any]:
    """A new study's row."""
    return {
        "study_instance_uid": first.header.study_instance_uid,
        "calling_ae_title": first.calling_ae_title[:16],
        "first_instance_at": first.received_at,
        "last_instance_at": first.received_at,
        "active_at": first.received_at,
    }


def complete_study(study: Study, stored: list[StoredInstance]) -> None:
    """Writes what the instances say of their study into its row; what an earlier instance said stays."""
    if not stored:
        return
    for name, most in (("accession_number", 64), ("patient_id", 255), ("study_date", 16)):
        if not getattr(study, name):
            said = (one.header.attributes.get(name, "")[:most] for one in stored)
            setattr(study, name, next(filter(None, said), ""))
    callers = (one.calling_ae_title[:16] for one in reversed(stored))
    study.calling_ae_title = next(filter(None, callers), study.calling_ae_title)
    last = max(one.received_at for one in stored)
    study.last_instance_at, study.active_at = max(study.last_instance_at, last), max(study.active_at, last)


def correct_study(study: Study, stored: list[StoredInstance]) -> None:
    """Writes what instances that replace others say of their study into its row: they are the correction."""
    for one in stored:
        said = one.header.attributes
        study.accession_number = said.get("accession_number", "")[:64] or study.accession_number
        study.patient_id = said.get("patient_id", "")[:255] or study.patient_id
        study.study_date = said.get("study_date", "")[:16] or study.study_date
    complete_study(study, stored)


def instance_values(stored: StoredInstance) -> dict[str, Any]:
    """The index row of a stored instance, by column."""
    header = stored.header
    return {
        "study_instance_uid": header.study_instance_uid, "sop_instance_uid": header.sop_instance_uid,
        "series_instance_uid": header.series_instance_uid, "sop_class_uid": header.sop_class_uid,
        "transfer_syntax_uid": header.transfer_syntax_uid, "path": stored.path, "size": stored.size,
        "digest": stored.digest, "calling_ae_title": stored.calling_ae_title[:16],
        "received_at": stored.received_at, "header": header.attributes, "conflicts": 0,
    }  # fmt: skip


def makes_new_revision(state: StudyState) -> bool:
    """Whether new images in this state come after packages have been chosen for the old ones."""
    return state not in (StudyState.COLLECTING, StudyState.WAITING)


def is_complete(study: Study, quiet: timedelta, grace: timedelta, now: datetime) -> bool:
    """Whether nothing more is to be expected: quiet since the last new image, and no open association that carried it
    (`grace`: a process that holds one says so more often than this)."""
    return now - study.last_instance_at >= quiet and now - study.active_at >= min(grace, quiet)
