"""The report's image library (TID 1600): every image that the package read, with its geometry where it has one."""

from collections.abc import Sequence
from itertools import groupby

from highdicom.sr import (
    CodeContentItem,
    CodedConcept,
    ContainerContentItem,
    ContentItem,
    ContentSequence,
    ImageContentItem,
    NumContentItem,
    RelationshipTypeValues,
    TextContentItem,
    UIDRefContentItem,
)
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from services.report.source_header import spacing_of

Concept = Code | CodedConcept

_CONTEXT = RelationshipTypeValues.HAS_ACQ_CONTEXT
_CONTAINS = RelationshipTypeValues.CONTAINS
_SHARED = (
    "Modality", "FrameOfReferenceUID", "Rows", "Columns", "PixelSpacing", "ImagerPixelSpacing", "SliceThickness",
    "SpacingBetweenSlices", "PatientOrientation", "ImageOrientationPatient",
)  # fmt: skip
_PIXELS = CodedConcept("{pixels}", "UCUM", "Pixels")
_COSINE = CodedConcept("{-1:1}", "UCUM", "{-1:1}")
_MODALITIES = {
    "CR": codes.DCM.ComputedRadiography, "CT": codes.DCM.ComputedTomography, "DX": codes.DCM.DigitalRadiography,
    "MG": codes.DCM.Mammography, "MR": codes.DCM.MagneticResonance, "NM": codes.DCM.NuclearMedicine,
    "PT": codes.DCM.PositronEmissionTomography, "US": codes.DCM.Ultrasound, "XA": codes.DCM.XRayAngiography,
    "RF": codes.DCM.Radiofluoroscopy, "IO": codes.DCM.IntraOralRadiography, "PX": codes.DCM.PanoramicXRay,
}  # fmt: skip
_POSITION = (codes.DCM.ImagePositionPatientX, codes.DCM.ImagePositionPatientY, codes.DCM.ImagePositionPatientZ)
_ORIENTATION = (
    codes.DCM.ImageOrientationPatientRowX, codes.DCM.ImageOrientationPatientRowY,
    codes.DCM.ImageOrientationPatientRowZ, codes.DCM.ImageOrientationPatientColumnX,
    codes.DCM.ImageOrientationPatientColumnY, codes.DCM.ImageOrientationPatientColumnZ,
)  # fmt: skip


def image_library(images: Sequence[Dataset]) -> ContainerContentItem:
    """The library of `images` (clean headers).

    What neighbours have in common stands once, at their group (TID 1600); each image keeps its own position.
    """
    library = ContainerContentItem(name=codes.DCM.ImageLibrary, relationship_type=_CONTAINS)
    library.ContentSequence = ContentSequence()
    for _, members in groupby(images, key=_in_common):
        group = ContainerContentItem(name=codes.DCM.ImageLibraryGroup, relationship_type=_CONTAINS)
        listed = list(members)
        group.ContentSequence = ContentSequence([*_descriptors(listed[0]), *(_entry(image) for image in listed)])
        library.ContentSequence.append(group)
    return library


def _in_common(image: Dataset) -> str:
    return repr([image.get(keyword) for keyword in _SHARED])


def _descriptors(image: Dataset) -> list[ContentItem]:
    """TID 1602, 1603 and 1604, as far as the image says."""
    return [*_origin(image), *_size(image), *_spacing(image), *_projection(image), *_orientation(image)]


def _origin(image: Dataset) -> list[ContentItem]:
    items: list[ContentItem] = []
    if (modality := image.get("Modality")) in _MODALITIES:
        value = _MODALITIES[modality]
        items.append(CodeContentItem(name=codes.DCM.Modality, value=value, relationship_type=_CONTEXT))
    if frame_of_reference_uid := image.get("FrameOfReferenceUID"):
        name = codes.DCM.FrameOfReferenceUID
        items.append(UIDRefContentItem(name=name, value=frame_of_reference_uid, relationship_type=_CONTEXT))
    return items


def _entry(image: Dataset) -> ImageContentItem:
    entry = ImageContentItem(
        name=codes.SCT.Source,
        referenced_sop_class_uid=image.SOPClassUID,
        referenced_sop_instance_uid=image.SOPInstanceUID,
        relationship_type=_CONTAINS,
    )
    if "ImagePositionPatient" in image:
        pairs = zip(_POSITION, image.ImagePositionPatient, strict=True)
        entry.ContentSequence = ContentSequence([_number(n, float(v), codes.UCUM.Millimeter) for n, v in pairs])
    return entry


def _number(name: Concept, value: float, unit: Concept) -> NumContentItem:
    return NumContentItem(name=name, value=value, unit=unit, relationship_type=_CONTEXT)


def _size(image: Dataset) -> list[ContentItem]:
    names = {"Rows": codes.DCM.PixelDataRows, "Columns": codes.DCM.PixelDataColumns}
    return [_number(name, int(image[k].value), _PIXELS) for k, name in names.items() if image.get(k) is not None]


def _spacing(image: Dataset) -> list[ContentItem]:
    items: list[ContentItem] = []
    if spacing := spacing_of(image):
        row, column = spacing[1]
        items.append(_number(codes.DCM.HorizontalPixelSpacing, column, codes.UCUM.Millimeter))
        items.append(_number(codes.DCM.VerticalPixelSpacing, row, codes.UCUM.Millimeter))
    names = {"SpacingBetweenSlices": codes.DCM.SpacingBetweenSlices, "SliceThickness": codes.DCM.SliceThickness}
    for keyword, name in names.items():
        if image.get(keyword) is not None:
            items.append(_number(name, float(image[keyword].value), codes.UCUM.Millimeter))
    return items


def _projection(image: Dataset) -> list[ContentItem]:
    """Which way a projection lies."""
    if "PatientOrientation" not in image or "ImageOrientationPatient" in image:
        return []
    names = (codes.DCM.PatientOrientationRow, codes.DCM.PatientOrientationColumn)
    pairs = zip(names, image.PatientOrientation, strict=True)
    return [TextContentItem(name=n, value=str(v), relationship_type=_CONTEXT) for n, v in pairs if v]


def _orientation(image: Dataset) -> list[ContentItem]:
    cosines = image.get("ImageOrientationPatient") or ()
    return [_number(n, float(v), _COSINE) for n, v in zip(_ORIENTATION, cosines, strict=False)]
