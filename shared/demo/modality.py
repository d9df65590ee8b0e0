"""Pushes studies over C-STORE as a modality would: one association a study, the files' bytes as they are."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import MediaStorageDirectoryStorage
from pynetdicom import AE, _config
from pynetdicom.presentation import build_context

_IDENTITY = ["StudyInstanceUID", "SOPClassUID", "SOPInstanceUID"]
MOST_CONTEXTS = 128  # PS3.8 9.3.2.2: context IDs are the odd numbers of one byte


@dataclass(frozen=True)
class Sendable:
    """A file that can be pushed."""

    path: Path
    study_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    as_it_lies: bool = True  # the file's meta information agrees with its data set: the bytes can go as they are


@dataclass(frozen=True)
class Refusal:
    """A file that did not get through, and why, in the words of whoever refused it."""

    file: str
    study_instance_uid: str
    sop_instance_uid: str
    reason: str


@dataclass
class Found:
    """What lies below a folder."""

    studies: dict[str, list[Sendable]] = field(default_factory=lambda: defaultdict(list))
    skipped: int = 0  # not DICOM at all
    refused: list[Refusal] = field(default_factory=list)  # DICOM, but nothing that C-STORE can carry


def find_studies(folder: Path) -> Found:
    """Every DICOM file below `folder`, whatever its name, by study."""
    found = Found()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        facts = _read(path)
        if facts is None:
            found.skipped += 1
        elif isinstance(facts, str):
            found.refused.append(Refusal(path.name, "", "", facts))
        else:
            found.studies[facts.study_instance_uid].append(facts)
    return found


def _read(path: Path) -> Sendable | str | None:
    """The file's facts, or why it can't be sent, or None when it isn't DICOM."""
    try:
        ds = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_IDENTITY)
    except InvalidDicomError:
        return None
    except Exception as error:  # pydicom raises whatever a broken file makes it raise
        return f"can't be read: {type(error).__name__}"
    meta: Any = getattr(ds, "file_meta", None) or FileMetaDataset()
    in_meta = (str(meta.get("MediaStorageSOPClassUID") or ""), str(meta.get("MediaStorageSOPInstanceUID") or ""))
    if in_meta[0] == MediaStorageDirectoryStorage:
        return "is a DICOMDIR, the index of a medium"
    sop_class, sop_instance = str(ds.get("SOPClassUID") or in_meta[0]), str(ds.get("SOPInstanceUID") or in_meta[1])
    if not sop_class or not sop_instance:
        return "has no SOP Class UID or no SOP Instance UID"
    syntax = str(meta.get("TransferSyntaxUID") or "")
    if not syntax:
        return "has no Transfer Syntax UID"
    study = str(ds.get("StudyInstanceUID") or "")
    return Sendable(path, study, sop_class, sop_instance, syntax, in_meta == (sop_class, sop_instance))


def push(
    files: Sequence[Sendable], host: str, port: int, called: str, calling: str = "MODALITY",
    sent: Callable[[], None] = lambda: None,
) -> list[Refusal]:  # fmt: skip
    """Sends one study's files; returns what was refused. `sent` is called after each file."""
    _config.STORE_SEND_CHUNKED_DATASET = True  # the bytes go as they lie in the file
    refused: list[Refusal] = []
    for some in _by_contexts(files):
        refused += _push_over_one_association(some, host, port, called, calling, sent)
    return refused


def _by_contexts(files: Sequence[Sendable]) -> Iterator[list[Sendable]]:
    """Groups of files that one association's presentation contexts can carry."""
    pairs = sorted({(f.sop_class_uid, f.transfer_syntax_uid) for f in files})
    for start in range(0, len(pairs), MOST_CONTEXTS):
        some = set(pairs[start : start + MOST_CONTEXTS])
        yield [f for f in files if (f.sop_class_uid, f.transfer_syntax_uid) in some]


def _push_over_one_association(
    files: Sequence[Sendable], host: str, port: int, called: str, calling: str, sent: Callable[[], None]
) -> list[Refusal]:
    entity = AE(ae_title=calling)
    pairs = sorted({(f.sop_class_uid, f.transfer_syntax_uid) for f in files})
    contexts = [build_context(sop_class, syntax) for sop_class, syntax in pairs]
    assoc = entity.associate(host, port, contexts=contexts, ae_title=called)
    if not assoc.is_established:
        return [_refusal(f, "the association was refused") for f in files]
    refused: list[Refusal] = []
    for file in files:
        if not assoc.is_established:
            refused.append(_refusal(file, "the association was aborted before it"))
            continue
        reason = _store(assoc, file)
        if reason:
            refused.append(_refusal(file, reason))
        sent()
    if assoc.is_established:
        assoc.release()
    return refused


def _store(assoc: Any, file: Sendable) -> str:
    """Sends one file; the reason when it was not taken."""
    try:
        status = assoc.send_c_store(file.path if file.as_it_lies else pydicom.dcmread(file.path))
    except Exception as error:  # what pynetdicom raises for a file that it can't take apart, or a context not accepted
        return f"can't be sent: {error}"
    if "Status" not in status:
        return "no answer to the C-STORE"
    if status.Status == 0x0000 or status.Status & 0xF000 == 0xB000:
        return ""
    return f"0x{status.Status:04X} {status.get('ErrorComment', '')}".strip()


def _refusal(file: Sendable, reason: str) -> Refusal:
    return Refusal(file.path.name, file.study_instance_uid, file.sop_instance_uid, reason)


__all__ = ["Found", "Refusal", "Sendable", "find_studies", "push"]
