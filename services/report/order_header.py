"""What an order says of patient and study that the images leave open, as DICOM attributes."""

import logging
import warnings

from pydicom import Dataset
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement

from services.report.source_header import valid_element
from shared.hl7.message import Segment
from shared.hl7.text import Hl7Error, unescape
from shared.order_segments import first_segment
from shared.store import Order

log = logging.getLogger(__name__)

_GROUPS = ("A", "I", "P")  # XPN-8, HL7 table 0465, in the order of a DICOM name
_SEXES = ("M", "F", "O")


def order_header(order: Order | None, patient_id: str) -> Dataset:
    """Attributes with the value that the order has, where it has one that DICOM allows.

    Who the patient is it tells only of the patient whose ID the images have: PID-3 names the same.
    """
    header = Dataset()
    if order is None:
        return header
    said: dict[str, str] = {"AccessionNumber": order.accession_number}
    try:
        pid, pv1, obr = (first_segment(order, name) for name in ("PID", "PV1", "OBR"))
        said["ReferringPhysicianName"] = _physician(pv1) if pv1 else ""
        said["StudyDescription"] = obr.field(4, 2) if obr else ""
        if (
            pid
            and patient_id
            and patient_id in {unescape(r.split(pid.separators.component)[0]) for r in pid.repetitions(3)}
        ):
            said |= {"PatientName": _patient(pid), "PatientBirthDate": pid.field(7)[:8]}
            said["PatientSex"] = pid.field(8) if pid.field(8) in _SEXES else ""
    except Hl7Error as error:
        log.warning("order not read cause=%s", type(error).__name__)
    for keyword, value in said.items():
        if element := _valid(keyword, value):
            header[keyword] = element
    return header


def procedure_code(order: Order | None) -> Dataset | None:
    """OBR-4 as a code, where it names its coding scheme."""
    try:
        obr = first_segment(order, "OBR") if order else None
        parts = [obr.field(4, n) for n in (1, 2, 3)] if obr else []
        if not parts or not all(parts) or len(parts[0]) > 16:
            return None
        code = Dataset()
        code.CodeValue, code.CodeMeaning, code.CodingSchemeDesignator = parts[0], parts[1][:64], parts[2][:16]
    except (Hl7Error, ValueError):
        return None
    return code


def _patient(pid: Segment) -> str:
    """PID-5, a repetition for each group."""
    groups = dict.fromkeys(_GROUPS, "")
    for repetition in pid.repetitions(5):
        parts = [unescape(part, pid.separators) for part in repetition.split(pid.separators.component)] + [""] * 8
        kind = parts[7] if parts[7] in groups else "A"
        groups[kind] = groups[kind] or _name(parts)
    return "=".join(groups.values()).rstrip("=")


def _physician(pv1: Segment) -> str:
    """PV1-8 (XCN): the identifier stands before the name."""
    parts = [pv1.field(8, n) for n in range(2, 7)]
    return _name([*parts, "", "", ""])


def _name(parts: list[str]) -> str:
    """HL7 has suffix before prefix, DICOM prefix before suffix."""
    family, given, middle, suffix, prefix = (part.split("&")[0].strip() for part in parts[:5])
    return "^".join((family, given, middle, prefix, suffix)).rstrip("^")


def _valid(keyword: str, value: str) -> DataElement | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            element = DataElement(keyword, dictionary_VR(keyword), value.strip())
            return valid_element(element) if value.strip().strip('"') else None
    except ValueError:
        return None
