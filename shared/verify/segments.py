"""Areas and volumes of segments, from nothing but the segmentation's own pixels and measures."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from shared.findings import COUNTS_FROM
from shared.verify.folder import Run


def size_of_segment(
    segmentation: Dataset, number: int, unit: str, of_image: tuple[float, float] | None = None, step: float = 0.0
) -> float | None:
    """mm² of a segment on a single image, mm³ of one on a stack; None where pixels or slices have no size.

    `of_image` and `step` are the sources', for images without a frame of reference: their segmentation has neither.
    """
    measures = _measures(segmentation)
    spacing = (measures.get("PixelSpacing") if measures is not None else None) or of_image
    if not spacing:
        return None
    size = _count(segmentation, number) * float(spacing[0]) * float(spacing[1])
    if unit == "mm2":
        return size
    between = (measures.get("SpacingBetweenSlices") if measures is not None else None) or step
    return size * float(between) if between else None


def segments_of(run: Run, tracking_uid: str) -> dict[str, list[tuple[Dataset, int]]]:
    """The segmentations of a run that have the segment, with its number there, by the flavour in their files' names."""
    found: dict[str, list[tuple[Dataset, int]]] = {}
    for path, ds in run.of_modality("SEG").items():
        for item in ds.SegmentSequence:
            if tracking_uid and item.get("TrackingUID") == tracking_uid:
                found.setdefault(path.stem.rpartition("_")[0], []).append((ds, int(item.SegmentNumber)))
    return found


def sources_of(segmentation: Dataset) -> list[str]:
    """SOP Instance UIDs of the images that a segmentation is of."""
    series = segmentation.get("ReferencedSeriesSequence", [])
    return [str(item.ReferencedSOPInstanceUID) for one in series for item in one.ReferencedInstanceSequence]


def _measures(ds: Dataset) -> Dataset | None:
    groups = [*ds.get("SharedFunctionalGroupsSequence", []), *ds.get("PerFrameFunctionalGroupsSequence", [])]
    return next((group.PixelMeasuresSequence[0] for group in groups if group.get("PixelMeasuresSequence")), None)


def _count(ds: Dataset, number: int) -> int:
    return sum(int(np.count_nonzero(mask)) for _, mask in masks_of(ds, number))


def masks_of(ds: Dataset, number: int) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """(rows, columns) of each frame that shows a segment, with the frame's index."""
    frames = ds.pixel_array.reshape(-1, ds.Rows, ds.Columns)
    if ds.SegmentationType == "LABELMAP":
        yield from ((place, frame == number) for place, frame in enumerate(frames))
        return
    least = COUNTS_FROM * float(ds.MaximumFractionalValue) if ds.SegmentationType == "FRACTIONAL" else 1
    yield from ((place, frames[place] >= least) for place in _frames_of(ds, number))


def _frames_of(ds: Dataset, number: int) -> Iterable[int]:
    for place, item in enumerate(ds.PerFrameFunctionalGroupsSequence):
        told = item.get("SegmentIdentificationSequence") or ds.SharedFunctionalGroupsSequence[0].get(
            "SegmentIdentificationSequence"
        )
        if told and int(told[0].ReferencedSegmentNumber) == number:
            yield place
