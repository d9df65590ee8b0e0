"""Source images as what lies over them needs them: size and place in the patient, without names and pixels.

A plate is a data set that highdicom takes for a source image. Single images, or frames of one instance, that lie in the
same direction, with the same size and spacing, make one group: a segmentation has one size and direction for all of its
frames. highdicom lays out stacks of different planes in one frame of reference; other groups are *loose*, and put right
by `loose_frames`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydicom import DataElement, Dataset
from pydicom.uid import MRImageStorage

from services.report.document_context import evidence_of
from services.report.facts import RunFacts
from shared.findings import SourceImage
from shared.geometry import SAME_HEIGHT_MM
from shared.imaging.frames import SAME_DIRECTION, normal_of
from shared.imaging.planes import Plane
from shared.uids import derived_uid

FLAT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
Named = Literal["own", "own or made up"]


@dataclass(frozen=True)
class Plates:
    """Plates to be covered together, and which image or frame each layer lies over, in the same order.

    Of loose layers `planes` say where they lie in `frame_of_reference_uid`, with the pixel `measures` of all; without
    any, each pixel is that of its image and no more is known (PS3.3 A.51.5.1).
    """

    datasets: list[Dataset]
    layers: list[SourceImage]
    rows: int
    columns: int
    patient_orientation: list[str]  # of the first
    loose: bool = False
    planes: tuple[Plane, ...] = ()
    measures: Dataset | None = None
    frame_of_reference_uid: str = ""


def plates_of(
    facts: RunFacts,
    images: Sequence[SourceImage],
    shell: Dataset,
    step: float | None = None,
    frame_of_reference: Named = "own",
) -> list[Plates]:
    """The groups that `images` make.

    `step` is the way from slice to slice in mm, where it is known better than the images say. A series lies in one
    frame of reference (PS3.3 C.7.4.1.1.1), also where its images don't name it: what must name one may make it up.
    """
    headers = {str(source.SOPInstanceUID): source for source in facts.sources}
    groups: list[list[SourceImage]] = []
    for image in images:
        if image.sop_instance_uid in headers:
            _put(groups, image, facts, headers)
    return [_Group(facts, group, headers, shell, step, frame_of_reference).plates() for group in groups]


def _put(groups: list[list[SourceImage]], image: SourceImage, facts: RunFacts, headers: dict[str, Dataset]) -> None:
    for group in groups:
        if _together(group[0], image, facts, headers):
            group.append(image)
            return
    groups.append([image])


def _together(one: SourceImage, other: SourceImage, facts: RunFacts, headers: dict[str, Dataset]) -> bool:
    if (one.frame or other.frame) and one.sop_instance_uid != other.sop_instance_uid:
        return False
    first, second = headers[one.sop_instance_uid], headers[other.sop_instance_uid]
    same = ("SeriesInstanceUID", "FrameOfReferenceUID", "Rows", "Columns")
    plane, place = facts.planes.get(one), facts.planes.get(other)
    if plane is None and place is None:
        return bool(one.frame)  # frames of one instance
    if plane is None or place is None or any(first.get(k) != second.get(k) for k in same):
        return False
    return plane.spacing == place.spacing and _parallel(plane, place)


def _parallel(one: Plane, other: Plane) -> bool:
    return all(abs(a - b) < SAME_DIRECTION for a, b in zip(one.orientation, other.orientation, strict=True))


def made_up_frame_of_reference(header: Dataset) -> str:
    """Of a series that has places and names none: what must name one has this, and no other series has."""
    return derived_uid("frame of reference", str(header.SeriesInstanceUID))


@dataclass(frozen=True)
class _Group:
    """Images or frames that are covered together."""

    facts: RunFacts
    images: list[SourceImage]
    headers: dict[str, Dataset]
    shell: Dataset
    step: float | None
    frame_of_reference: Named

    def plates(self) -> Plates:
        header = self._header(self.images[0])
        uid = self._frame_of_reference_uid(header)
        size = int(header.Rows), int(header.Columns), list(header.get("PatientOrientation") or [])
        frames = self._all_frames(header)
        if self._is_stack(frames, uid):
            single = not self.images[0].frame
            made = [self._single(i, uid) for i in frames] if single else [self._framed(frames, header, uid)]
            return Plates(made, frames, *size)
        planes = self._planes(self.images) if uid else ()
        return Plates(
            [self._one_below(n, image) for n, image in enumerate(self.images)], self.images, *size, loose=True,
            planes=planes, measures=self._measures(planes[0], header) if planes else None,
            frame_of_reference_uid=uid if planes else "",
        )  # fmt: skip

    def _header(self, image: SourceImage) -> Dataset:
        return self.headers[image.sop_instance_uid]

    def _frame_of_reference_uid(self, header: Dataset) -> str:
        """Empty where the images lie nowhere, or don't say in which frame of reference."""
        if not self._planes(self.images):
            return ""
        own = str(header.get("FrameOfReferenceUID", ""))
        return own or (made_up_frame_of_reference(header) if self.frame_of_reference != "own" else "")

    def _all_frames(self, header: Dataset) -> list[SourceImage]:
        """highdicom takes an instance with all of its frames; single images as they are."""
        if not self.images[0].frame:
            return self.images
        count = max(int(header.get("NumberOfFrames") or 1), *(image.frame or 1 for image in self.images))
        return [self.images[0].model_copy(update={"frame": n}) for n in range(1, count + 1)]

    def _planes(self, images: Sequence[SourceImage]) -> tuple[Plane, ...]:
        """Of every image; none where one has none."""
        planes = tuple(self.facts.planes[image] for image in images if image in self.facts.planes)
        return planes if len(planes) == len(images) else ()

    def _is_stack(self, frames: list[SourceImage], uid: str) -> bool:
        """Whether they lie in one direction of a frame of reference, with no two at the same height."""
        planes = self._planes(frames)
        if not planes or not uid:
            return False
        first, normal = planes[0], normal_of(planes[0].orientation)
        if not all(_parallel(plane, first) and plane.spacing == first.spacing for plane in planes):
            return False
        heights = np.sort([float(np.dot(plane.position, normal)) for plane in planes])
        return len(heights) == 1 or bool(np.diff(heights).min() > SAME_HEIGHT_MM)

    def _bare(self, image: SourceImage) -> Dataset:
        header = self._header(image)
        (plate,) = evidence_of([header], self.shell)
        plate.Modality = header.get("Modality", "OT")
        return plate

    def _single(self, image: SourceImage, uid: str) -> Dataset:
        plate, plane = self._bare(image), self.facts.planes[image]
        plate.FrameOfReferenceUID = uid
        plate.ImagePositionPatient, plate.ImageOrientationPatient = list(plane.position), list(plane.orientation)
        plate.update(self._measures(plane, self._header(image)))
        return plate

    def _framed(self, frames: list[SourceImage], header: Dataset, uid: str) -> Dataset:
        """An instance with frames, its geometry in functional groups (PS3.3 C.7.6.16.2)."""
        plate, planes = self._bare(frames[0]), self._planes(frames)
        plate.NumberOfFrames, plate.FrameOfReferenceUID = len(frames), uid
        shared, orientation = Dataset(), Dataset()
        orientation.ImageOrientationPatient = list(planes[0].orientation)
        shared.PixelMeasuresSequence = [self._measures(planes[0], header)]
        shared.PlaneOrientationSequence = [orientation]
        plate.SharedFunctionalGroupsSequence = [shared]
        plate.PerFrameFunctionalGroupsSequence = [Dataset() for _ in frames]
        for item, plane in zip(plate.PerFrameFunctionalGroupsSequence, planes, strict=True):
            position = Dataset()
            position.ImagePositionPatient = list(plane.position)
            item.PlanePositionSequence = [position]
        return plate

    def _one_below(self, number: int, image: SourceImage) -> Dataset:
        """A loose layer as highdicom takes it: its number is its depth, by which frames are put in order."""
        plate, plane = self._bare(image), self.facts.planes.get(image)
        plate.FrameOfReferenceUID = derived_uid("loose", str(self._header(image).SeriesInstanceUID))
        plate.ImageOrientationPatient, plate.ImagePositionPatient = list(FLAT), [0.0, 0.0, -float(number)]
        plate.PixelSpacing, plate.SliceThickness = list(plane.spacing) if plane else [1.0, 1.0], 1.0
        # whatever it is: of classes with frames highdicom takes a whole instance alone; the element is the header's own
        plate["SOPClassUID"] = DataElement("SOPClassUID", "UI", MRImageStorage)
        return plate

    def _measures(self, plane: Plane, header: Dataset) -> Dataset:
        measures = Dataset()
        measures.PixelSpacing = list(plane.spacing)
        # type 1C of Pixel Measures where there is a volume: an image without thickness is as thin as can be said
        measures.SliceThickness = header.SliceThickness if header.get("SliceThickness") else 1.0
        if spacing := self.step or header.get("SpacingBetweenSlices"):
            measures.SpacingBetweenSlices = spacing
        return measures
