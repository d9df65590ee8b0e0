"""Numbers from outlines, with nothing but what the report says of itself."""

from collections.abc import Mapping, Sequence

import numpy as np

from shared import geometry
from shared.geometry import Points, angle_between_lines, area, length
from shared.imaging.frames import normal_of
from shared.imaging.planes import Plane
from shared.verify.report_numbers import Outline, Point

COMPUTED = ("mm", "cm", "mm2", "cm2", "deg")  # UCUM units that say what is to be computed
_NEAR_MM = 0.01
_UNITS = {"cm": 10.0, "cm2": 100.0}
Spacings = Mapping[str, tuple[float, float]]


def compute(unit: str, outlines: Sequence[Outline], spacings: Spacings) -> float | None:
    """The length, angle or area of `outlines`, as `unit` says; None where they or the spacing don't give it."""
    if unit == "deg":
        lines = [line for o in outlines if (line := in_mm(o, spacings, square=True)) is not None and len(line) > 1]
        return angle_between_lines(*lines) if len(lines) == len(outlines) == 2 else None
    each = [in_mm(outline, spacings) for outline in outlines]
    known = [points for points in each if points is not None]
    if not known or len(known) < len(each):
        return None
    return sum(map(area if unit.endswith("2") else length, known)) / _UNITS.get(unit, 1.0)


def in_mm(outline: Outline, spacings: Spacings, square: bool = False) -> Points | None:
    """(points, 2 or 3) in mm; None where the image's spacing is not known.

    `square` pixels are taken then instead, for angles, which need only the aspect.
    """
    points = np.asarray(outline.points, np.float64)
    if points.shape[1] == 3:
        return points
    spacing = spacings.get(outline.sop_instance_uid, (1.0, 1.0) if square else None)
    return None if spacing is None else geometry.in_mm(points, spacing)


def places_in(outline: Outline, planes: Mapping[str, Plane], steps: Mapping[str, float]) -> list[Point]:
    """(column, row) of a point, as SCOORD counts: its own, or on each image to which it is nearest."""
    if len(outline.points[0]) == 2:
        return [outline.points[0]]
    return [pixels[0] for pixels in in_planes(outline.points[:1], planes, steps).values()]


def in_planes(
    points: Sequence[Point], planes: Mapping[str, Plane], steps: Mapping[str, float]
) -> dict[str, list[Point]]:  # fmt: skip
    """Patient coordinates as (column, row) of each image that they lie in, or within half a step of, by SOP Instance
    UID."""
    found: dict[str, list[Point]] = {}
    for uid, plane in planes.items():
        offsets = np.asarray(points, np.float64) - np.asarray(plane.position)
        if np.abs(offsets @ normal_of(plane.orientation)).max() <= steps.get(uid, 0.0) / 2 + _NEAR_MM:
            row, column = np.asarray(plane.orientation[:3]), np.asarray(plane.orientation[3:])
            pixels = np.column_stack([offsets @ row / plane.spacing[1], offsets @ column / plane.spacing[0]]) + 0.5
            found[uid] = [(float(x), float(y)) for x, y in pixels]
    return found
