"""The HL7 order that would come before a study: the RIS of the demo and the tests."""

from datetime import datetime
from typing import Literal

from pydicom import Dataset
from pydicom.multival import MultiValue

from shared.uids import derived_uuid

# HL7 v2.5.1 2.7.1; the escape character first, so that nothing is escaped twice.
_ESCAPES = {"\\": "\\E\\", "|": "\\F\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\", "\r": " ", "\n": " "}
_REFERRER = "1^PHANTOM^REFERRER"


def order_message(
    ds: Dataset,
    *,
    priority: Literal["R", "A", "S"] = "R",
    ordered: datetime | None = None,
    sending: tuple[str, str] = ("PHANTOMRIS", "PHANTOMHOSPITAL"),
    receiving: tuple[str, str] = ("ISOCENTER", "ISOCENTER"),
) -> str:
    """An ORM^O01 of HL7 v2.5.1 for the study of `ds`, segments ended by carriage returns, to be sent as UTF-8.

    The accession number stands in ORC-3, OBR-3 and OBR-18, `priority` (routine, as soon as possible, STAT) in ORC-7.6
    and OBR-27.6. The control ID derives from study, time and priority. `ordered` defaults to the study's start.

    Raises:
        ValueError: `ordered` is not given, and the study has no valid date and time either.
    """
    when = ordered or datetime.strptime(f"{ds.get('StudyDate')}{ds.get('StudyTime')}"[:14], "%Y%m%d%H%M%S")
    stamp = when.strftime("%Y%m%d%H%M%S")
    control_id = derived_uuid("order", str(ds.StudyInstanceUID), stamp, priority).hex[:20].upper()
    header = {1: "^~\\&", 6: stamp, 8: "ORM^O01^ORM_O01", 9: control_id, 10: "P", 11: "2.5.1", 17: "UNICODE UTF-8"}
    header |= dict(enumerate((*sending, *receiving), start=2))
    segments = [
        _numbered("MSH", header),  # one less than HL7 counts: MSH-1 is the separator itself
        _patient(ds),
        _numbered("PV1", {1: "1", 2: "O", 8: _REFERRER}),
        *_request(ds, stamp, priority),
    ]
    return "".join("|".join(fields) + "\r" for fields in segments)


def _patient(ds: Dataset) -> list[str]:
    """PID: identity as the header has it."""
    name = "^".join(_escaped(part) for part in _text(ds, "PatientName").split("=")[0].split("^"))
    identifier = f"{_escaped(_text(ds, 'PatientID'))}^^^PHANTOMHOSPITAL^MR"
    birth_date, sex = _text(ds, "PatientBirthDate"), _escaped(_text(ds, "PatientSex"))
    return _numbered("PID", {1: "1", 3: identifier, 5: name, 7: birth_date, 8: sex})


def _request(ds: Dataset, stamp: str, priority: str) -> list[list[str]]:
    """ORC and OBR: a new order for radiology (HL7 table 0074)."""
    accession_number = _escaped(_text(ds, "AccessionNumber"))
    placer_order, timing = f"P{accession_number}", f"^^^{stamp}^^{priority}"
    modality = _escaped(_text(ds, "Modality")) or "OT"
    procedure = f"{modality}^{_escaped(_text(ds, 'StudyDescription')) or modality}^99ISO"
    both = {2: placer_order, 3: accession_number}
    order = {1: "NW", 5: "SC", 7: timing, 9: stamp, 12: _REFERRER}
    request = {1: "1", 4: procedure, 6: stamp, 16: _REFERRER, 18: accession_number, 24: "RAD", 27: timing}
    return [_numbered("ORC", both | order), _numbered("OBR", both | request)]


def _text(ds: Dataset, keyword: str) -> str:
    """An attribute as text, empty where it is absent or empty."""
    value = ds.get(keyword)
    return "" if value is None else "\\".join(map(str, value)) if isinstance(value, MultiValue) else str(value)


def _escaped(text: str) -> str:
    """`text` with HL7's delimiters escaped."""
    return "".join(_ESCAPES.get(character, character) for character in text)


def _numbered(name: str, fields: dict[int, str]) -> list[str]:
    """A segment from its numbered fields, the others empty."""
    return [name, *(fields.get(number, "") for number in range(1, max(fields) + 1))]
