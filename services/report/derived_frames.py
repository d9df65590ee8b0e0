"""Functional groups of derived images with frames (PS3.3 C.7.6.16): where each lies, and what it was derived from."""

from collections.abc import Sequence
from copy import deepcopy

from pydicom import DataElement, Dataset
from pydicom.datadict import tag_for_keyword

from services.report.derived_classes import FRAME_GROUPS, ImageClass
from services.report.facts import RunFacts
from services.report.identity import use_mark
from services.report.loose_frames import stacks_of
from shared.findings import SourceImage
from shared.imaging.planes import Plane
from shared.uids import derived_uid

_DIMENSIONS = (("StackID", "Stack ID"), ("InStackPositionNumber", "In-Stack Position Number"))
_TYPE_OF_FRAME = (
    "VolumetricProperties", "VolumeBasedCalculationTechnique", "ComplexImageComponent",
    "AcquisitionContrast",
)  # fmt: skip
_MEASURES = ("PixelSpacing", "SliceThickness", "SpacingBetweenSlices")


def fill_frames(ds: Dataset, facts: RunFacts, images: Sequence[SourceImage], source: Dataset, kind: ImageClass) -> None:
    """Writes of each of `images`, the frames of one instance, the place and the source.

    Classes without functional groups only count their frames.
    """
    ds.NumberOfFrames = len(images)
    if not kind.frame_type:
        ds.FrameIncrementPointer = tag_for_keyword("PageNumberVector")
        ds.PageNumberVector, ds.PresentationLUTShape = list(range(1, len(images) + 1)), "IDENTITY"
        return
    ds.ContentQualification = "RESEARCH" if use_mark(facts) else "PRODUCT"
    ds.PresentationLUTShape, ds.PixelPresentation, ds.AcquisitionContextSequence = "IDENTITY", "MONOCHROME", []
    known = [facts.planes[image] for image in images if image in facts.planes]
    planes = known if len(known) == len(images) else []
    _fill_dimensions(ds)
    _fill_shared(ds, planes, source, kind)
    places = stacks_of(planes) if planes else [(1, n) for n in range(1, len(images) + 1)]
    frames = [_frame(ds, n, place) for n, place in enumerate(places)]
    for frame, plane in zip(frames, planes, strict=False):  # none of them, where one has no place
        _fill_place(frame, plane, shared="PlaneOrientationSequence" in ds.SharedFunctionalGroupsSequence[0])
    ds.PerFrameFunctionalGroupsSequence = frames
    del ds.SourceImageSequence, ds.DerivationCodeSequence, ds.DerivationDescription  # each frame has its own
    ds.pop("Laterality", None)  # that of the frames stands with their anatomy
    _name_evidence(ds, images[0])


def _fill_dimensions(ds: Dataset) -> None:
    uid, organization = derived_uid(ds.SOPInstanceUID, "dimensions"), Dataset()
    organization.DimensionOrganizationUID = uid
    ds.DimensionOrganizationSequence, ds.DimensionIndexSequence = [organization], []
    for keyword, label in _DIMENSIONS:
        index = Dataset()
        index.DimensionOrganizationUID, index.DimensionIndexPointer = uid, tag_for_keyword(keyword)
        index.FunctionalGroupPointer = tag_for_keyword("FrameContentSequence")
        index.DimensionDescriptionLabel = label
        ds.DimensionIndexSequence.append(index)


def _fill_shared(ds: Dataset, planes: Sequence[Plane], source: Dataset, kind: ImageClass) -> None:
    shared, type_of_frame, measures = Dataset(), Dataset(), Dataset()
    type_of_frame.FrameType, type_of_frame.PixelPresentation = ds.ImageType, "MONOCHROME"
    _copy(ds, type_of_frame, _TYPE_OF_FRAME)
    shared[kind.frame_type] = DataElement(kind.frame_type, "SQ", [type_of_frame])
    for keyword in FRAME_GROUPS:
        if keyword in ds:
            shared[keyword] = ds.pop(keyword)
    _copy(source, measures, _MEASURES)
    if planes:
        measures.PixelSpacing = list(planes[0].spacing)
        if all(plane.orientation == planes[0].orientation for plane in planes):
            shared.PlaneOrientationSequence = [_orientation(planes[0])]
    shared.PixelMeasuresSequence = [measures]
    ds.SharedFunctionalGroupsSequence = [shared]


def _copy(source: Dataset, target: Dataset, keywords: Sequence[str]) -> None:
    for keyword in keywords:
        if keyword in source:
            target[keyword] = deepcopy(source[keyword])


def _frame(ds: Dataset, index: int, place: tuple[int, int]) -> Dataset:
    frame, content, derivation = Dataset(), Dataset(), Dataset()
    content.StackID, content.InStackPositionNumber = str(place[0]), place[1]
    content.DimensionIndexValues = list(place)
    derivation.DerivationDescription = ds.DerivationDescription
    derivation.DerivationCodeSequence = deepcopy(ds.DerivationCodeSequence)
    derivation.SourceImageSequence = [ds.SourceImageSequence[index]]
    frame.FrameContentSequence, frame.DerivationImageSequence = [content], [derivation]
    return frame


def _fill_place(frame: Dataset, plane: Plane, shared: bool) -> None:
    position = Dataset()
    position.ImagePositionPatient = list(plane.position)
    frame.PlanePositionSequence = [position]
    if not shared:
        frame.PlaneOrientationSequence = [_orientation(plane)]


def _orientation(plane: Plane) -> Dataset:
    orientation = Dataset()
    orientation.ImageOrientationPatient = list(plane.orientation)
    return orientation


def _name_evidence(ds: Dataset, image: SourceImage) -> None:
    """The source instance once more, with its series and study (PS3.3 C.8.13.2, Source Image Evidence Sequence)."""
    instance, series, study = Dataset(), Dataset(), Dataset()
    instance.ReferencedSOPClassUID, instance.ReferencedSOPInstanceUID = image.sop_class_uid, image.sop_instance_uid
    series.SeriesInstanceUID, series.ReferencedSOPSequence = image.series_instance_uid, [instance]
    study.StudyInstanceUID, study.ReferencedSeriesSequence = ds.StudyInstanceUID, [series]
    ds.SourceImageEvidenceSequence = [study]
    common = deepcopy(series)
    common.ReferencedInstanceSequence = [deepcopy(instance)]
    del common.ReferencedSOPSequence
    ds.ReferencedSeriesSequence = [common]
