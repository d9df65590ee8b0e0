"""What result objects take over from a source image: patient, study, order and geometry, decoded and made valid.

Sources come as they come: attributes of type 1 or 2 missing, values that break their own VR, any character set. What
is not valid is left out, and logged by its keyword.
"""

import logging
import math
import re
import warnings
from collections.abc import Iterable

from pydicom import Dataset, config
from pydicom.dataelem import DataElement
from pydicom.multival import MultiValue
from pydicom.valuerep import PersonName

from services.report.derived_classes import FRAME_GROUPS, KEPT
from services.report.text import UNDECODED, read_as_utf_8
from shared.uids import is_valid_uid

log = logging.getLogger(__name__)

# Type 2 of the Patient and General Study modules (PS3.3 C.7.1.1, C.7.2.1): always there, empty where unknown.
ALWAYS = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex",
    "StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID", "AccessionNumber",
)  # fmt: skip
WHERE_KNOWN = (
    "IssuerOfPatientID", "PatientIdentityRemoved", "DeidentificationMethod", "StudyDescription", "PatientAge",
    "PatientSize", "PatientWeight",
    "InstitutionName", "TimezoneOffsetFromUTC",
)  # fmt: skip
OF_STUDY = ("OtherPatientIDsSequence", "IssuerOfAccessionNumberSequence", "ProcedureCodeSequence")
SEQUENCES = (*OF_STUDY, "RequestAttributesSequence")
# What an item can't be without (PS3.3 C.7.1.1, 8.8); one that lacks it is left out.
REQUIRED = {
    "OtherPatientIDsSequence": ("PatientID", "TypeOfPatientID"),
    "ProcedureCodeSequence": ("CodeMeaning",), "RequestedProcedureCodeSequence": ("CodeMeaning",),
}  # fmt: skip
TAKEN_OVER = (*ALWAYS, *WHERE_KNOWN, *SEQUENCES)
IMAGE = (
    "Modality", "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID",
    "SeriesNumber", "InstanceNumber", "Rows", "Columns", "NumberOfFrames", "PixelSpacing", "ImagerPixelSpacing",
    "ImageOrientationPatient", "ImagePositionPatient", "SliceThickness", "SpacingBetweenSlices", "PatientOrientation",
    "BodyPartExamined", "Laterality", "BurnedInAnnotation", "LossyImageCompression", "LossyImageCompressionRatio",
    "LossyImageCompressionMethod", "SpecificCharacterSet", "WindowCenter", "WindowWidth", "VOILUTFunction",
    "ImageType", "PixelIntensityRelationship", "Manufacturer", "ManufacturerModelName", "StationName", *KEPT,
)  # fmt: skip
ONE_VALUE = (
    "Modality", "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID",
    "SeriesNumber", "InstanceNumber", "Rows", "Columns", "NumberOfFrames",
)  # fmt: skip
WHOLE = ("SeriesNumber", "InstanceNumber", "Rows", "Columns", "NumberOfFrames")
LENGTHS = {
    **dict.fromkeys(ONE_VALUE, 1), "SpacingBetweenSlices": 1, "SliceThickness": 1, "PixelSpacing": 2,
    "ImagerPixelSpacing": 2, "PatientOrientation": 2, "ImageOrientationPatient": 6, "ImagePositionPatient": 3,
}  # fmt: skip
ENUMERATED = {
    "PatientSex": ("M", "F", "O"),
    "PatientIdentityRemoved": ("YES", "NO"),
    "BurnedInAnnotation": ("YES", "NO"),
    "Laterality": ("L", "R"),
    "LossyImageCompression": ("00", "01"),
}


class Header(Dataset):
    """What is taken over; `left_out` has the keywords of what the source has, but not valid."""

    left_out: tuple[str, ...] = ()


def clean_header(source: Dataset) -> Header:
    """The attributes that result objects need, from a source without its pixels.

    Text is decoded from the source's own character set, so that it can be written in another.
    """
    header = Header()
    for keyword in ALWAYS:
        setattr(header, keyword, "")
    header.left_out = tuple(_copy(source, header, dict.fromkeys((*TAKEN_OVER, *IMAGE))))
    if header.get("PatientIdentityRemoved") == "YES" and "DeidentificationMethod" not in header:
        del header.PatientIdentityRemoved  # PS3.3 C.7.1.1: type 1C, the method is then required
    _take_functional_groups(source, header)
    return header


def _copy(source: Dataset, target: Dataset, keywords: Iterable[str]) -> list[str]:
    """Copies what is valid, and returns the keywords of what is not."""
    left_out = []
    for keyword in keywords:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if keyword not in source:
                    continue
                raw = source.get_item(keyword)
                if source[keyword].is_empty:
                    continue
                element = valid_element(read_as_utf_8(raw, source) or source[keyword])
        except Exception as error:  # pydicom decodes lazily: whatever a poor value raises comes out here
            log.warning(
                "attribute left out: not valid in the source keyword=%s cause=%s", keyword, type(error).__name__
            )
            left_out.append(keyword)
            continue
        target[keyword] = element
    return left_out


def valid_element(element: DataElement) -> DataElement:
    """A copy with decoded text whose value keeps to its VR.

    Raises:
        ValueError: the value does not.
    """
    if element.VR == "SQ":
        items = [_valid_item(item) for item in element.value]
        whole = [i for i in items if all(i.get(keyword) for keyword in REQUIRED.get(element.keyword, ()))]
        if items and not whole:
            raise ValueError("no item is whole")
        return DataElement(element.tag, "SQ", whole)
    value = _decoded(element)
    _check(element.keyword, element.VR, value)
    # Too long a text is kept: a cut accession number would be another one.
    mode = config.IGNORE if element.VR in ("LO", "SH", "PN") else config.RAISE
    copy = DataElement(element.tag, element.VR, value, validation_mode=mode)
    # an escape sequence that is left belongs to a set that is not declared
    if any(mark in text for text in _texts(value) for mark in (UNDECODED, "\\", "\x1b")):
        raise ValueError("text can't be decoded")
    return copy


def _valid_item(item: Dataset) -> Dataset:
    copy = Dataset()
    _copy(item, copy, [e.keyword for e in item if e.keyword])
    return copy


def _decoded(element: DataElement) -> object:
    if element.VR == "PN":
        return str(element.value)
    if isinstance(element.value, MultiValue):
        return [v.original_string if hasattr(v, "original_string") else v for v in element.value]
    return element.value


def _texts(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [str(v) for v in values if isinstance(v, str | PersonName)]


def _check(keyword: str, vr: str, value: object) -> None:
    values = value if isinstance(value, list) else [value]
    if keyword in ENUMERATED and value not in ENUMERATED[keyword]:
        raise ValueError("not one of the enumerated values")
    if keyword in WHOLE and not (isinstance(value, int) and abs(value) < 2**31):  # a file may give any tag any VR
        raise ValueError("not a whole number")
    if keyword == "TimezoneOffsetFromUTC" and not re.fullmatch(r"[+-](0\d|1[0-4])[0-5]\d", str(value)):
        raise ValueError("not an offset")
    if vr == "UI" and not all(is_valid_uid(str(v)) for v in values):
        raise ValueError("not a UID")
    if vr in ("DS", "FD", "FL") and not all(math.isfinite(float(v)) for v in values):  # type: ignore[arg-type]
        raise ValueError("not a number")
    if len(values) != LENGTHS.get(keyword, len(values)):
        raise ValueError("not as many values as it must have")


def _take_functional_groups(source: Dataset, header: Dataset) -> None:
    """Of an enhanced image the spacing and the anatomy that its frames share, else those of the first frame (PS3.3
    C.7.6.16.2).
    """
    for macro in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in (source.get(macro) or [])[:1]:
            for measures in group.get("PixelMeasuresSequence") or []:
                _copy(measures, header, ("PixelSpacing", "SliceThickness", "SpacingBetweenSlices"))
            _copy(group, header, FRAME_GROUPS)


def spacing_of(header: Dataset) -> tuple[str, tuple[float, float]] | None:
    """The keyword of the spacing that lengths and areas rest on, and (row, column) in mm; None where there is none.

    PixelSpacing is at the patient (or calibrated); ImagerPixelSpacing is at the detector, so that lengths are
    magnified by the projection (PS3.3 10.7.1.3).
    """
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        values = header.get(keyword)
        if values and all(float(v) > 0 for v in values):
            return keyword, (float(values[0]), float(values[1]))
    return None
