"""The HL7 order that would come before a generated study: the RIS of the demo and the tests."""

from datetime import datetime
from typing import Literal

from pydicom import Dataset

from shared.uids import derived_uuid

# What was ordered (OBR-4) and by which section (OBR-24, HL7 table 0074), per modality.
_PROCEDURES = {"MR": ("MRBRAIN^MR Brain^99ISO", "RAD"), "DX": ("XRCHEST^XR Chest PA^99ISO", "RAD")}


def order_message(
    ds: Dataset,
    *,
    priority: Literal["R", "A", "S"] = "R",
    ordered: datetime | None = None,
    sending: tuple[str, str] = ("PHANTOMRIS", "PHANTOMHOSPITAL"),
    receiving: tuple[str, str] = ("ISOCENTER", "ISOCENTER"),
) -> str:
    """An ORM^O01 of HL7 v2.5.1 for the study of `ds`, segments ended by carriage returns.

    The accession number stands in ORC-3, OBR-3 and OBR-18, `priority` (routine, as soon as possible, STAT) in ORC-7.6
    and OBR-27.6. The control ID derives from study, time and priority. `ordered` defaults to the study's start.

    Raises:
        KeyError: for a modality that the phantoms do not have.
    """
    when = ordered or datetime.strptime(f"{ds.StudyDate}{ds.StudyTime}"[:14], "%Y%m%d%H%M%S")
    stamp = when.strftime("%Y%m%d%H%M%S")
    control_id = derived_uuid("order", str(ds.StudyInstanceUID), stamp, priority).hex[:20].upper()
    accession_number, referrer = str(ds.AccessionNumber), "1^PHANTOM^REFERRER"
    procedure, section = _PROCEDURES[ds.Modality]
    placer_order, timing = f"P{accession_number}", f"^^^{stamp}^^{priority}"
    segments = [
        ["MSH", "^~\\&", *sending, *receiving, stamp, "", "ORM^O01^ORM_O01", control_id, "P", "2.5.1"],
        _numbered("PID", {1: "1", 3: f"{ds.PatientID}^^^PHANTOMHOSPITAL^MR", 5: _person(ds), 7: ds.PatientBirthDate,
                          8: ds.PatientSex}),
        _numbered("PV1", {1: "1", 2: "O", 8: referrer}),
        _numbered("ORC", {1: "NW", 2: placer_order, 3: accession_number, 5: "SC", 7: timing,
                          9: stamp, 12: referrer}),
        _numbered("OBR", {1: "1", 2: placer_order, 3: accession_number, 4: procedure, 6: stamp, 16: referrer,
                          18: accession_number, 24: section, 27: timing}),
    ]  # fmt: skip
    return "".join("|".join(map(str, fields)) + "\r" for fields in segments)


def _person(ds: Dataset) -> str:
    """PatientName as XPN; both part the components by carets."""
    return str(ds.PatientName)


def _numbered(name: str, fields: dict[int, str]) -> list[str]:
    """A segment from its numbered fields, the others empty."""
    return [name, *(fields.get(number, "") for number in range(1, max(fields) + 1))]
