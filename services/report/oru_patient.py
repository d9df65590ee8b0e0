"""PID and PV1 of a result message: the order's, as the RIS wrote them, else the images'."""

from pydicom import Dataset
from pydicom.multival import MultiValue
from pydicom.valuerep import PersonName

from shared.hl7.message import Segment
from shared.hl7.text import escape, in_standard
from shared.order_segments import first_segment
from shared.store import Order

# The fields by which a RIS knows patient and visit; hl7apy rewrites some of the others, telephone numbers among them.
_PID = (3, 4, 5, 7, 8, 18)
_PV1 = (2, 3, 7, 8, 19)
_SEXES = {"M": "M", "F": "F", "O": "O"}
_UNKNOWN = '""'


def patient_fields(order: Order | None, header: Dataset) -> dict[int, str]:
    """PID by number: what the order says, and what it leaves open from a source image."""
    fields = {1: "1"} | _images_patient(header)
    if order and (pid := first_segment(order, "PID")):
        fields |= {number: value for number, value in _read(pid, _PID).items() if value}
    return fields


def visit_fields(order: Order | None) -> dict[int, str]:
    """PV1 by number; empty where the order has none."""
    pv1 = first_segment(order, "PV1") if order else None
    if pv1 is None:
        return {}
    fields = _read(pv1, _PV1)
    return {1: "1"} | fields | {2: fields[2] or "U"}  # PV1-2 is required; U: unknown


def _read(segment: Segment, numbers: tuple[int, ...]) -> dict[int, str]:
    return {number: in_standard(segment.raw(number), segment.separators) for number in numbers}


def _images_patient(header: Dataset) -> dict[int, str]:
    identifier, issuer = escape(_text(header, "PatientID")), escape(_text(header, "IssuerOfPatientID"))
    birth = _text(header, "PatientBirthDate")
    return {
        3: f"{identifier}^^^{issuer}^PI" if identifier else _UNKNOWN,
        5: person_name(header.get("PatientName", "") or ""),
        7: birth if len(birth) == 8 and birth.isdigit() else "",
        8: _SEXES.get(_text(header, "PatientSex"), "U"),
    }


def _text(header: Dataset, keyword: str) -> str:
    """The attribute as text; of several values (a backslash where none belongs) all."""
    value = header.get(keyword, "")
    return "\\".join(str(v) for v in value) if isinstance(value, MultiValue) else str(value or "")


def person_name(name: PersonName | str) -> str:
    """PID-5 (XPN) of a DICOM name, a repetition for each of its groups: alphabetic, ideographic, phonetic.

    DICOM has prefix before suffix, HL7 suffix before prefix; XPN-8 names the group (table 0465). An unknown name is of
    type U.
    """
    groups = str(name).split("=")
    written = [_xpn(group, kind) for group, kind in zip(groups, "AIP", strict=False) if group.strip("^ ")]
    return "~".join(written) or "^^^^^^U"


def _xpn(group: str, kind: str) -> str:
    family, given, middle, prefix, suffix = (part.strip() for part in (group.split("^") + [""] * 5)[:5])
    return "^".join([*(escape(part) for part in (family, given, middle, suffix, prefix)), "", "L", kind])
