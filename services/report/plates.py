"""Source images as what lies over them needs them: size and place in the patient, without names and pixels.

A plate is a data set that highdicom takes for a source image. Single images that lie in the same direction, with the
same size and spacing, make one group, and an instance with frames makes one of its own: a segmentation has one size and
direction for all of its frames.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pydicom import Dataset

from services.report.document_context import evidence_of
from services.report.facts import CannotBuild, RunFacts
from shared.findings import SourceImage
from shared.imaging.frames import SAME_DIRECTION
from shared.imaging.planes import Plane


@dataclass(frozen=True)
class Plates:
    """Plates to be covered together, and which image or frame each layer lies over, in the same order."""

    datasets: list[Dataset]
    layers: list[SourceImage]
    rows: int
    columns: int
    patient_orientation: list[str]  # of the first


def plates_of(
    facts: RunFacts, images: Sequence[SourceImage], shell: Dataset, step: float | None = None
) -> list[Plates]:
    """The groups that `images` make; of an instance with frames, all of its frames.

    `step` is the way from slice to slice in mm, where it is known better than the images say.

    Raises:
        CannotBuild: images lie in no frame of reference, or frames in several directions or nowhere.
    """
    headers = {str(source.SOPInstanceUID): source for source in facts.sources}
    if any(i in facts.planes and "FrameOfReferenceUID" not in headers.get(i.sop_instance_uid, ()) for i in images):
        raise CannotBuild("the images name no frame of reference: nothing can be laid over them")
    groups: list[list[SourceImage]] = []
    for image in images:
        if image.sop_instance_uid in headers:
            _put(groups, image, facts, headers)
    return [_plates(facts, group, headers, shell, step) for group in groups]


def _put(groups: list[list[SourceImage]], image: SourceImage, facts: RunFacts, headers: dict[str, Dataset]) -> None:
    for group in groups:
        if _together(group[0], image, facts, headers):
            group.append(image)
            return
    groups.append([image])


def _together(one: SourceImage, other: SourceImage, facts: RunFacts, headers: dict[str, Dataset]) -> bool:
    if one.frame or other.frame:
        return one.sop_instance_uid == other.sop_instance_uid
    first, second = headers[one.sop_instance_uid], headers[other.sop_instance_uid]
    same = ("SeriesInstanceUID", "FrameOfReferenceUID", "Rows", "Columns")
    plane, place = facts.planes.get(one), facts.planes.get(other)
    if plane is None or place is None or any(first.get(k) != second.get(k) for k in same):
        return False
    return plane.spacing == place.spacing and _parallel(plane, place)


def _parallel(one: Plane, other: Plane) -> bool:
    return all(abs(a - b) < SAME_DIRECTION for a, b in zip(one.orientation, other.orientation, strict=True))


def _plates(
    facts: RunFacts, group: list[SourceImage], headers: dict[str, Dataset], shell: Dataset, step: float | None
) -> Plates:
    header = headers[group[0].sop_instance_uid]
    size = int(header.Rows), int(header.Columns), list(header.get("PatientOrientation") or [])
    if not group[0].frame:
        datasets = [_single(facts, image, headers[image.sop_instance_uid], shell, step) for image in group]
        return Plates(datasets, group, *size)
    frames = [group[0].model_copy(update={"frame": n}) for n in range(1, int(header.NumberOfFrames) + 1)]
    return Plates([_framed(facts, frames, header, shell, step)], frames, *size)


def _bare(header: Dataset, shell: Dataset) -> Dataset:
    (plate,) = evidence_of([header], shell)
    plate.Modality = header.get("Modality", "OT")
    return plate


def _single(facts: RunFacts, image: SourceImage, header: Dataset, shell: Dataset, step: float | None) -> Dataset:
    plate, plane = _bare(header, shell), facts.planes.get(image)
    if plane:
        plate.FrameOfReferenceUID = header.FrameOfReferenceUID
        plate.ImagePositionPatient, plate.ImageOrientationPatient = list(plane.position), list(plane.orientation)
        _fill_measures(plate, plane, header, step)
    return plate


def _framed(facts: RunFacts, frames: list[SourceImage], header: Dataset, shell: Dataset, step: float | None) -> Dataset:
    """An instance with frames, its geometry in functional groups (PS3.3 C.7.6.16.2)."""
    plate = _bare(header, shell)
    plate.NumberOfFrames = len(frames)
    planes = [facts.planes[frame] for frame in frames if frame in facts.planes]
    shared, measures, orientation = Dataset(), Dataset(), Dataset()
    plate.SharedFunctionalGroupsSequence = [shared]
    plate.PerFrameFunctionalGroupsSequence = [Dataset() for _ in frames]
    if len(planes) < len(frames):
        raise CannotBuild("frames without a place in the patient: nothing can be laid over them")
    if not all(_parallel(plane, planes[0]) and plane.spacing == planes[0].spacing for plane in planes):
        raise CannotBuild("the frames of the image lie in several directions")
    plate.FrameOfReferenceUID = header.FrameOfReferenceUID
    _fill_measures(measures, planes[0], header, step)
    orientation.ImageOrientationPatient = list(planes[0].orientation)
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    for item, plane in zip(plate.PerFrameFunctionalGroupsSequence, planes, strict=True):
        position = Dataset()
        position.ImagePositionPatient = list(plane.position)
        item.PlanePositionSequence = [position]
    return plate


def _fill_measures(target: Dataset, plane: Plane, header: Dataset, step: float | None) -> None:
    target.PixelSpacing = list(plane.spacing)
    # type 1C of Pixel Measures where there is a volume: an image without thickness is as thin as can be said
    target.SliceThickness = header.SliceThickness if header.get("SliceThickness") else 1.0
    if spacing := step or header.get("SpacingBetweenSlices"):
        target.SpacingBetweenSlices = spacing
