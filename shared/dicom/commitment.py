"""Storage commitment's data sets: a request and a report, read from and written as DICOM (PS3.4 Annex J)."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from pydicom import Dataset

from shared.uids import random_uid

PUSH_MODEL = "1.2.840.10008.1.20.1"
PUSH_MODEL_INSTANCE = "1.2.840.10008.1.20.1.1"
REQUEST = 1  # the one action type, PS3.4 J.3.2.1.1
ALL_COMMITTED, FAILURES_EXIST = 1, 2  # event types, PS3.4 J.3.3.1.1

# Failure Reason (0008,1197), PS3.3 C.14.1.1
PROCESSING_FAILURE = 0x0110
NO_SUCH_INSTANCE = 0x0112
CLASS_INSTANCE_CONFLICT = 0x0119
SOP_CLASS_NOT_SUPPORTED = 0x0122
DUPLICATE_TRANSACTION_UID = 0x0131
RESOURCE_LIMITATION = 0x0213

FAILURE_WORDS = {
    PROCESSING_FAILURE: "processing failure",
    NO_SUCH_INSTANCE: "no such object instance",
    CLASS_INSTANCE_CONFLICT: "the instance is of another SOP class",
    SOP_CLASS_NOT_SUPPORTED: "the SOP class is not supported",
    DUPLICATE_TRANSACTION_UID: "the Transaction UID is in use",
    RESOURCE_LIMITATION: "resource limitation",
}

Reference = tuple[str, str]  # SOP Class UID, SOP Instance UID


class NotReadable(ValueError):
    """The data set is no request or report; the text says what is wrong, without naming a patient."""


@dataclass(frozen=True)
class Report:
    """What an SCP of storage commitment says of each instance; `failed` has the Failure Reason with it."""

    transaction_uid: str
    committed: list[Reference] = field(default_factory=list)
    failed: list[tuple[Reference, int]] = field(default_factory=list)

    @property
    def event_type(self) -> int:
        return FAILURES_EXIST if self.failed else ALL_COMMITTED


def failure_in_words(reason: int) -> str:
    """`0x0112 (no such object instance)`."""
    words = FAILURE_WORDS.get(reason)
    return f"0x{reason:04X}" + (f" ({words})" if words else "")


def new_transaction_uid() -> str:
    """A Transaction UID: random, since each question is a new one. A derived one would be asked twice where a book was
    restored from its backup, and an SCP may refuse what it has seen (0x0131)."""
    return random_uid()


def write_request(transaction_uid: str, references: Iterable[Reference]) -> Dataset:
    """Action Information of an N-ACTION (table J.3-1)."""
    ds = Dataset()
    ds.TransactionUID = transaction_uid
    ds.ReferencedSOPSequence = [_item(reference) for reference in references]
    return ds


def write_report(report: Report) -> Dataset:
    """Event Information of an N-EVENT-REPORT (table J.3-2); a sequence without items is left out."""
    ds = Dataset()
    ds.TransactionUID = report.transaction_uid
    if report.committed:
        ds.ReferencedSOPSequence = [_item(reference) for reference in report.committed]
    if report.failed:
        ds.FailedSOPSequence = [_item(reference, reason) for reference, reason in report.failed]
    return ds


def _item(reference: Reference, failure_reason: int | None = None) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = reference
    if failure_reason is not None:
        item.FailureReason = failure_reason
    return item


def read_request(ds: Dataset) -> tuple[str, list[Reference]]:
    """The Transaction UID and what is referenced, each instance once, in the order asked.

    Raises:
        NotReadable: something is missing or no UID.
    """
    references = [_reference(item) for item in _items(ds, "ReferencedSOPSequence")]
    if not references:
        raise NotReadable("ReferencedSOPSequence is missing or empty")
    return _uid(ds, "TransactionUID"), list(dict.fromkeys(references))


def read_report(ds: Dataset) -> Report:
    """What an SCP says.

    Raises:
        NotReadable: something is missing or no UID.
    """
    committed = [_reference(item) for item in _items(ds, "ReferencedSOPSequence")]
    failed = [(_reference(item), _failure_reason(item)) for item in _items(ds, "FailedSOPSequence")]
    if not (committed or failed):
        raise NotReadable("the report names no instance")
    return Report(_uid(ds, "TransactionUID"), committed, failed)


def _items(ds: Dataset, keyword: str) -> list[Dataset]:
    value = ds.get(keyword)
    if value is None:
        return []
    try:
        return list(value)
    except TypeError:
        raise NotReadable(f"{keyword} is no sequence") from None


def _reference(item: Dataset) -> Reference:
    return _uid(item, "ReferencedSOPClassUID"), _uid(item, "ReferencedSOPInstanceUID")


def _failure_reason(item: Dataset) -> int:
    value = item.get("FailureReason")
    return value if isinstance(value, int) and value else PROCESSING_FAILURE


def _uid(ds: Dataset, keyword: str) -> str:
    """Scanners write leading zeros (PS3.5 9.1 forbids them), so digits and dots are enough."""
    value = str(ds.get(keyword) or "").strip("\0 ")
    if not value:
        raise NotReadable(f"{keyword} is missing")
    if len(value) > 64 or not all(part.isascii() and part.isdigit() for part in value.split(".")):
        raise NotReadable(f"{keyword} is not a UID")
    return value
