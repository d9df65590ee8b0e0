"""Lengths and angles of lines that no single image shows, from the points on the images nearest to their ends.

Each point is the foot of the perpendicular on its image: the end itself lies within half a slice's step of it, along
the normal. So the report's points don't give the number, but what it may be.
"""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np

from shared.geometry import Points, angle_between_lines
from shared.imaging.frames import normal_of
from shared.imaging.planes import Plane
from shared.verify.report_numbers import Outline

_SAMPLES = 81
_UNITS = {"mm": 1.0, "cm": 10.0}
Line = tuple[Points, Points]  # (2, 3) mm; and how far, along the normal, its direction may be another: (3,)


def is_between(outlines: Sequence[Outline]) -> bool:
    """Whether a line of which each end is a point on its own image is among them."""
    return any(outline.graphic_type == "POINT" and len(outline.points[0]) == 2 for outline in outlines)


def bounds(
    unit: str, outlines: Sequence[Outline], planes: Mapping[str, Plane], steps: Mapping[str, float]
) -> tuple[float, float] | None:  # fmt: skip
    """The least and the most that a length or an angle of these lines may be; None where the report does not say where
    the images lie."""
    known = all(o.sop_instance_uid in planes and steps.get(o.sop_instance_uid) for o in outlines)
    if unit not in (*_UNITS, "deg") or not known:
        return None
    lines = _lines(outlines, planes, steps)
    if unit == "deg":
        return _angles(lines) if len(lines) == 2 else None
    (ends, reach) = lines[0]
    way, most = ends[1] - ends[0], float(np.linalg.norm(reach))
    normal = reach / most if most else reach
    along = float(way @ normal)
    across = float(np.linalg.norm(way - along * normal))
    least = max(0.0, abs(along) - most)
    return float(np.hypot(across, least)) / _UNITS[unit], float(np.hypot(across, abs(along) + most)) / _UNITS[unit]


def _lines(outlines: Sequence[Outline], planes: Mapping[str, Plane], steps: Mapping[str, float]) -> list[Line]:
    found: list[Line] = []
    ends: list[Points] = []
    for outline in outlines:
        plane = planes[outline.sop_instance_uid]
        points = plane.points_mm([(point[0], point[1]) for point in outline.points])
        if outline.graphic_type != "POINT":
            found.append((points[[0, -1]], np.zeros(3)))
            continue
        ends.append(points[0])
        if len(ends) == 2:
            reach = steps[outline.sop_instance_uid] * normal_of(plane.orientation)
            found.append((np.array(ends), reach))
            ends = []
    return found


def _angles(lines: Sequence[Line]) -> tuple[float, float]:
    """Over what each line's direction may be; between two of the tries it changes by no more than it does there."""
    tries = []
    for ends, reach in lines:
        shifts = np.linspace(-1, 1, _SAMPLES) if reach.any() else [0.0]
        tries.append([np.array([ends[0], ends[1] + shift * reach]) for shift in shifts])
    found = [angle_between_lines(one, other) for one, other in product(*tries)]
    table = np.array(found).reshape([len(one) for one in tries])
    between = max((float(np.abs(np.diff(table, axis=axis)).max(initial=0.0)) for axis in (0, 1)), default=0.0)
    return float(table.min()) - between, float(table.max()) + between
