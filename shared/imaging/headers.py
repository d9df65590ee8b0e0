"""Reads what is known of each frame of an instance, without touching its pixels."""

import re
from pathlib import Path
from typing import Any

from pydicom._dicom_dict import DicomDictionary
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.multival import MultiValue
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian

from shared.dicom.once import read_part10
from shared.dicom.problems import UnreadableInstance
from shared.imaging.decode import MOST_PIXELS, PixelData, UndecodablePixels, has_pixel_data

# What may tell two frames at one place apart, besides place and plane; see services/gate.
_PHASE_KEYWORDS = (
    "TemporalPositionIdentifier", "TemporalPositionIndex", "NumberOfTemporalPositions", "EchoNumbers", "EchoTime",
    "EffectiveEchoTime", "InversionTime", "InversionTimes", "FlipAngle", "RepetitionTime", "DiffusionBValue",
    "DiffusionGradientOrientation", "DiffusionDirectionality", "TriggerTime", "NominalCardiacTriggerDelayTime",
    "NominalPercentageOfCardiacPhase", "NominalPercentageOfRespiratoryPhase", "AcquisitionNumber", "AcquisitionTime",
    "ContentTime", "StackID", "FrameType", "ComplexImageComponent", "EnergyWindowNumber", "PhaseNumber",
    "VelocityEncodingDirection", "TemporalPositionTimeOffset", "FrameReferenceDateTime", "ConvolutionKernel", "KVP",
    "ImageIndex", "DimensionIndexValues", "InStackPositionNumber", "ChemicalShiftReference",
)  # fmt: skip
# What SUV is made of; those of the injection lie in a sequence of their own (PS3.3 C.8.9.2).
_INJECTION = (
    "RadionuclideTotalDose", "RadionuclideHalfLife", "RadiopharmaceuticalStartTime", "RadiopharmaceuticalStartDateTime",
)  # fmt: skip
_UPTAKE_KEYWORDS = (
    "PatientWeight", "Units", "SUVType", "DecayCorrection", "SeriesDate", "SeriesTime", "AcquisitionDate", *_INJECTION,
)  # fmt: skip
_KEYWORDS = (
    "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "Modality", "ImageType", "SeriesDescription",
    "InstanceNumber", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "BitsAllocated",
    "PhotometricInterpretation", "PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing",
    "ImageOrientationPatient", "ImagePositionPatient", "SliceThickness", "SpacingBetweenSlices", "GantryDetectorTilt",
    "ImagesInAcquisition", "RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth", "VOILUTFunction",
    "ViewPosition", "BodyPartExamined", "Laterality", "ImageLaterality", "FrameLaterality", "ProtocolName",
    "BurnedInAnnotation", "PixelPaddingValue", "PixelPaddingRangeLimit", "FrameOfReferenceUID",
    *_PHASE_KEYWORDS, *_UPTAKE_KEYWORDS,
)  # fmt: skip
# Vendors' private places of the b-value and its direction (Siemens, GE, Philips), in their usual blocks.
_PRIVATE = {
    (0x0019, 0x100C): "private_b_value", (0x0019, 0x100E): "private_gradient", (0x0043, 0x1039): "private_b_value",
    (0x2001, 0x1003): "private_b_value", (0x2001, 0x1008): "private_phase", (0x2005, 0x1413): "private_gradient",
    (0x0019, 0x10BB): "private_gradient_x", (0x0019, 0x10BC): "private_gradient_y",
    (0x0019, 0x10BD): "private_gradient_z",
}  # fmt: skip
_REGION = "AnatomicRegionSequence"
_RADIOPHARMACEUTICAL = "RadiopharmaceuticalInformationSequence"
_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
_IMAGE_TAGS = {tag for tag in DicomDictionary if tag >> 16 == 0x0028} | {0x7FE00001, 0x7FE00002}
_ALL_KEYWORDS = (*_KEYWORDS, *_GROUPS, _REGION, _RADIOPHARMACEUTICAL)
_TAGS: list[Any] = [
    *(tag for keyword in _ALL_KEYWORDS if (tag := tag_for_keyword(keyword))), *_PRIVATE, *_IMAGE_TAGS,
]  # fmt: skip
_KNOWN = frozenset(_KEYWORDS)
# CR, DX, mammography, CT, MR, PET, enhanced ones too. Raw data and spectra have rows and columns but never pixels.
_IMAGES = frozenset(f"1.2.840.10008.5.1.4.1.1.{last}" for last in (
    "1", "1.1", "1.1.1", "1.2", "1.2.1", "2", "2.1", "4", "4.1", "4.3", "128", "130",
))  # fmt: skip
_MOST_FRAMES = 1 << 16
"""Of one instance; enhanced images have some ten thousand. A frame takes about a kilobyte of memory."""
# What the instance itself says and no functional group may say otherwise.
_ROOT_ONLY = frozenset({
    "sop_class_uid", "sop_instance_uid", "series_instance_uid", "modality", "rows", "columns", "number_of_frames",
    "samples_per_pixel", "bits_allocated", "photometric_interpretation", "instance_number",
})  # fmt: skip
_PLACE = ("image_position_patient", "image_orientation_patient")


def snake_case(keyword: str) -> str:
    """A DICOM keyword as a Python name: `SOPInstanceUID` → `sop_instance_uid`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", keyword).lower()


_NAMES = {keyword: snake_case(keyword) for keyword in _KEYWORDS}


def read_headers(path: Path) -> tuple[PixelData | None, list[dict[str, Any]]]:
    """Where the pixels lie, and one header per frame by keyword in snake_case; none for an object that is no image.

    An image of the classes that packages read whose pixels are missing gives one header all the same: it is missed.

    Raises:
        UndecodablePixels: it is not DICOM, or it claims more frames or pixels than it can hold.
    """
    try:
        ds, stopped_at = read_part10(path, _TAGS)
        pixel_data = _pixel_data(path, stopped_at, ds)
        root = {**_flat(ds), **_region(ds), **_injection(ds)}
        if not _is_image(root):
            return None, []
        if pixel_data is None:
            return None, [root] if root.get("sop_class_uid") in _IMAGES else []
        return pixel_data, _frame_headers(ds, root, _number_of_frames(path, pixel_data.syntax, root))
    except UndecodablePixels:
        raise
    except UnreadableInstance as error:
        raise UndecodablePixels(error.reason) from None
    except InvalidDicomError:
        raise UndecodablePixels("the file is not DICOM") from None
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk's; pydicom's own have no number
            raise
        raise UndecodablePixels(f"the header can't be read: {type(error).__name__}") from error


def _region(ds: Dataset) -> dict[str, Any]:
    """The meaning of the anatomic region's code (PS3.3 10.5), in words."""
    items = ds.get(_REGION) or []
    meaning = items[0].get("CodeMeaning") if len(items) and isinstance(items[0], Dataset) else None
    return {"anatomic_region": str(meaning)} if meaning else {}


def _injection(ds: Dataset) -> dict[str, Any]:
    """The one injection; several can't be told apart."""
    items = ds.get(_RADIOPHARMACEUTICAL) or []
    return _flat(items[0]) if len(items) == 1 and isinstance(items[0], Dataset) else {}


def _pixel_data(path: Path, offset: int, ds: Dataset) -> PixelData | None:
    """The parser has stopped at the pixel data, if there is any."""
    syntax = UID(ds.file_meta.get("TransferSyntaxUID") or ImplicitVRLittleEndian)
    with path.open("rb") as file:
        file.seek(offset)
        if syntax != DeflatedExplicitVRLittleEndian and not has_pixel_data(file, syntax):
            return None
    image = Dataset()
    image._dict.update({tag: ds._dict[tag] for tag in ds._dict if tag in _IMAGE_TAGS})
    image.file_meta = ds.file_meta
    image.set_original_encoding(*ds.original_encoding)
    return PixelData(path, syntax, offset, image)


def _is_image(root: dict[str, Any]) -> bool:
    rows, columns = root.get("rows"), root.get("columns")
    if rows is None or columns is None:
        return False
    if not (isinstance(rows, int) and isinstance(columns, int) and rows > 0 and columns > 0):
        raise UndecodablePixels(f"the header gives {rows} rows and {columns} columns")
    if rows * columns > MOST_PIXELS:
        raise UndecodablePixels(f"the header claims {rows} × {columns} pixels; at most {MOST_PIXELS} are read")
    return True


def _number_of_frames(path: Path, syntax: UID, root: dict[str, Any]) -> int:
    """Number of Frames, refused where the file is too short to hold them."""
    count = int(root.get("number_of_frames") or 1)
    if syntax.is_encapsulated:
        least = 8 * count  # an item's tag and length, PS3.5 A.4
    else:
        each = [root.get(name) or 1 for name in ("samples_per_pixel", "bits_allocated")]
        if min(each) < 1:  # a file may give any tag any VR
            raise UndecodablePixels(f"the header gives {each[0]} samples of {each[1]} bits")
        bits = root["rows"] * root["columns"] * each[0] * each[1]
        least = bits * count // 12  # the smallest native form is YBR_FULL_422, two thirds of its bytes
    size = path.stat().st_size * (1100 if syntax == DeflatedExplicitVRLittleEndian else 1)
    if count < 1 or least > size:
        raise UndecodablePixels(f"the header claims {count} frame(s), more than a file of {size} bytes can hold")
    if count > _MOST_FRAMES:
        raise UndecodablePixels(f"the header claims {count} frames; at most {_MOST_FRAMES} are read")
    return count


def _frame_headers(ds: Dataset, root: dict[str, Any], count: int) -> list[dict[str, Any]]:
    shared = _group(ds.get("SharedFunctionalGroupsSequence") or [{}])
    groups = ds.get("PerFrameFunctionalGroupsSequence") or []
    if not shared and not groups and count > 1:
        root = {key: value for key, value in root.items() if key not in _PLACE}  # it can't be every frame's place
    per_frame = [_flat_group(item) for item in groups[:count]]
    per_frame += [{} for _ in range(count - len(per_frame))]
    own_root = {key: value for key, value in root.items() if key in _ROOT_ONLY}
    return [{**root, **shared, **own, **own_root} for own in per_frame]


def _group(sequence: Any) -> dict[str, Any]:
    return _flat_group(sequence[0]) if isinstance(sequence[0], Dataset) else {}


def _flat_group(item: Dataset) -> dict[str, Any]:
    """The known attributes of all macros of a functional group, and of what is nested in these.

    Not of private sequences: Philips keeps a whole other data set there, with the UIDs of the classic image.
    """
    found: dict[str, Any] = {}
    for element in item:
        if element.VR == "SQ" and element.value and not element.tag.is_private:
            inner = element.value[0]
            found.update(_flat(inner))
            found.update(_flat_group(inner))
    return found


def _flat(ds: Dataset) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for tag in ds.keys():  # noqa: SIM118 - iterating a data set yields elements
        name = _PRIVATE.get((tag.group, tag.element))
        try:
            element = ds[tag]
        except Exception:  # noqa: S112 - a value that can't be read is a value that is missing
            continue
        name = name or (_NAMES[element.keyword] if element.keyword in _KNOWN else None)
        if name and element.value not in (None, ""):
            found[name] = _plain(element.value)
    return found


def _plain(value: Any) -> Any:
    """Python's own types, hashable, so that headers can be compared and kept."""
    if isinstance(value, MultiValue | list | tuple):
        return tuple(_plain(part) for part in value)
    if isinstance(value, bytes | bool):
        return value
    if isinstance(value, int):
        return int(value)
    try:
        return float(value) if not isinstance(value, str) else str(value)
    except (TypeError, ValueError):
        return str(value)
