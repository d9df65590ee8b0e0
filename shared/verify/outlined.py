"""What was outlined in the report is what its segmentation shows, pixel by pixel."""

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from shared.rasters import mask_of
from shared.verify.folder import Run
from shared.verify.geometry import in_planes
from shared.verify.outcome import Outcome
from shared.verify.report_numbers import Outline, Report, value_of
from shared.verify.segments import masks_of, sources_of

_NEAR = 1e-3  # pixels: SCOORD has single precision, and centres as near to a line as this may lie on either side
Mask = NDArray[np.bool_]
Image = tuple[str, int]  # SOP Instance UID and frame


def check_outlined(report: Report, run: Run, outcome: Outcome) -> None:
    """Each segment of outlines made again from those that the report has under its code and name.

    Patient coordinates that lie in several images (slices taken again in one place) say nothing of which it was.
    """
    outlines = _outlines_of(report)
    for path, ds in run.of_modality("SEG").items():
        for item in ds.SegmentSequence:
            label = str(item.SegmentLabel)
            if str(item.get("TrackingID", "")) != f"{label} segment"[:64]:
                continue  # it was segmented, and has a size to be computed
            key = value_of(item.SegmentedPropertyTypeCodeSequence[0]), label
            if None in (drawn := outlines.get(key, [])):
                continue
            outcome.recomputed += 1
            if not drawn or not _agree(ds, label, [outline for outline in drawn if outline is not None]):
                outcome.differs.append(f"{path.name}: segment {label} is not what {report.name} outlines")


def _outlines_of(report: Report) -> dict[tuple[str, str], list[Outline | None]]:
    """By the code of the finding and its name, in pixels of their images; None for one whose image is not known."""
    found: dict[tuple[str, str], list[Outline | None]] = {}
    for group in report.groups:
        for outline in group.outlines:
            placed: Outline | None = outline
            if len(outline.points[0]) == 3:
                images = in_planes(outline.points, report.planes, {})
                (uid, points), count = next(iter(images.items()), ("", [])), len(images)
                placed = Outline(outline.graphic_type, points, uid) if count == 1 else None
            words = group.name.split(" ")  # a region is called by its finding's name and a number or label
            for count in range(1, len(words) + 1):
                found.setdefault((group.finding, " ".join(words[:count])), []).append(placed)
    return found


def _agree(ds: Dataset, label: str, drawn: list[Outline]) -> bool:
    """Whether a pixel is set where its centre is inside, and nowhere else; either way within `_NEAR` of a line."""
    shown = _masks(ds, label)
    here = set(sources_of(ds))
    for image in {(o.sop_instance_uid, o.frame) for o in drawn if o.sop_instance_uid in here} | shown.keys():
        mask = shown.get(image, np.zeros((ds.Rows, ds.Columns), np.bool_))
        inside, outside = np.ones_like(mask), np.zeros_like(mask)
        for dx, dy in ((0, 0), (_NEAR, _NEAR), (-_NEAR, -_NEAR), (_NEAR, -_NEAR), (-_NEAR, _NEAR)):
            again = np.zeros_like(mask)
            for outline in (o for o in drawn if (o.sop_instance_uid, o.frame) == image):
                again |= mask_of([(x + dx, y + dy) for x, y in outline.points], ds.Rows, ds.Columns)
            inside, outside = inside & again, outside | again
        if (inside & ~mask).any() or (mask & ~outside).any():
            return False
    return True


def _masks(ds: Dataset, label: str) -> dict[Image, Mask]:
    """What all segments of that name show of each source image."""
    masks: dict[Image, Mask] = {}
    numbers = [int(item.SegmentNumber) for item in ds.SegmentSequence if str(item.SegmentLabel) == label]
    for number in numbers:
        for place, mask in masks_of(ds, number):
            source = ds.PerFrameFunctionalGroupsSequence[place].DerivationImageSequence[0].SourceImageSequence[0]
            frame = source.get("ReferencedFrameNumber") or 1
            image = str(source.ReferencedSOPInstanceUID), int(frame[0] if isinstance(frame, list) else frame)
            masks[image] = masks[image] | mask if image in masks else mask
    return masks
