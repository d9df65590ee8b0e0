"""What a derived image says of its source, of how it was derived, and by what."""

from collections.abc import Sequence
from copy import deepcopy

from highdicom import ContributingEquipment
from pydicom import Dataset
from pydicom.datadict import dictionary_VR
from pydicom.sr.codedict import codes as dicom_codes
from pydicom.uid import (
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalXRayImageStorageForPresentation,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
)

from services.report import codes
from services.report.anatomy import region_of
from services.report.derived_classes import OF_SINGLE_IMAGES, ImageClass
from services.report.document_context import fill_contribution_time
from services.report.facts import RunFacts
from services.report.identity import MANUFACTURER, UNPAIRED, fill_body_part, use_mark
from services.report.image_origin import coded, fill_origin
from services.report.plates import made_up_frame_of_reference
from shared.findings import DerivedImage, SourceImage

_ORDERS = ("RequestAttributesSequence", "ProcedureCodeSequence")
_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing")
_DIGITAL = (DigitalXRayImageStorageForPresentation, DigitalMammographyXRayImageStorageForPresentation)
_CAPTURES = (SecondaryCaptureImageStorage, MultiFrameGrayscaleWordSecondaryCaptureImageStorage)


def fill_from_source(ds: Dataset, source: Dataset, kind: ImageClass) -> None:
    """What is as true of the derived image: its place, how the source was taken, and what was ordered."""
    ds.Modality = source.get("Modality") or "OT"
    fill_body_part(ds, source)
    for keyword in (*_ORDERS, *(() if kind.frame_type else OF_SINGLE_IMAGES), *kind.kept):
        if keyword in source and not (keyword in _SPACINGS and min(source[keyword].value) <= 0):
            ds[keyword] = deepcopy(source[keyword])
    if any(keyword in ds for keyword in _SPACINGS):
        ds.pop("PixelAspectRatio", None)
    if "FrameOfReferenceUID" in kind.kept and "FrameOfReferenceUID" not in ds:
        ds.FrameOfReferenceUID = made_up_frame_of_reference(source)
    if "FrameOfReferenceUID" in ds and "PositionReferenceIndicator" not in ds:
        ds.PositionReferenceIndicator = None
    for keyword in kind.empty:
        if keyword not in ds:
            setattr(ds, keyword, [] if dictionary_VR(keyword) == "SQ" else None)
    if kind.sop_class_uid in _DIGITAL:
        _fill_digital(ds, source)
    if kind.sop_class_uid in _CAPTURES:
        ds.ConversionType = "SYN"
        ds.PatientOrientation = source.get("PatientOrientation") or []


def _fill_digital(ds: Dataset, source: Dataset) -> None:
    """What a digital radiograph must say (PS3.3 C.8.11.1 to C.8.11.3)."""
    ds.PresentationIntentType, ds.PresentationLUTShape = "FOR PRESENTATION", "IDENTITY"
    side = source.get("ImageLaterality") or source.get("Laterality")
    if side or source.get("BodyPartExamined") in UNPAIRED:
        ds.ImageLaterality = side or "U"
        ds.pop("Laterality", None)
    region = region_of(ds.get("BodyPartExamined", ""))
    if not ds.AnatomicRegionSequence and region is not None:
        ds.AnatomicRegionSequence = [region]
    for view in ds.get("ViewCodeSequence", []):
        view.ViewModifierCodeSequence = view.get("ViewModifierCodeSequence", [])
    ds.PixelIntensityRelationship = source.get("PixelIntensityRelationship") or "LOG"
    ds.PixelIntensityRelationshipSign = -1  # the larger the brighter: less has come through


def fill_derivation(
    ds: Dataset, facts: RunFacts, finding: DerivedImage, images: Sequence[SourceImage], source: Dataset,
    kind: ImageClass,
) -> None:  # fmt: skip
    """That it is derived, what it shows, and what it was derived from (PS3.3 C.7.6.1)."""
    ds.ImageType = kind.image_type(source)
    said = [
        f"{finding.description or finding.code.meaning}, derived by {finding.package} {finding.version}",
        use_mark(facts),
    ]
    ds.DerivationDescription = ". ".join(filter(None, said))[:1024]
    ds.ImageComments = ds.DerivationDescription
    ds.DerivationCodeSequence = [codes.concept(finding.code)]
    fill_origin(ds, images, [source])
    for item in ds.SourceImageSequence:
        item.SpatialLocationsPreserved = "YES"


def fill_equipment(ds: Dataset, finding: DerivedImage, source: Dataset) -> None:
    """What took the source, as far as it says, and what derived this of it (PS3.3 C.12.1.1.5)."""
    derived = ContributingEquipment(
        manufacturer=MANUFACTURER, purpose_of_reference=dicom_codes.DCM.ProcessingEquipment,
        manufacturer_model_name=finding.package, software_versions=finding.version, institution_name=None,
        contribution_description="Derived the image",
    )  # fmt: skip
    ds.ContributingEquipmentSequence = [derived]
    fill_contribution_time(ds, ds)
    if "Manufacturer" in source:
        taken = Dataset()
        for keyword in ("Manufacturer", "ManufacturerModelName", "StationName"):
            if keyword in source:
                taken[keyword] = deepcopy(source[keyword])
        taken.PurposeOfReferenceCodeSequence = [coded("109101", "Acquisition Equipment")]
        ds.ContributingEquipmentSequence.insert(0, taken)
