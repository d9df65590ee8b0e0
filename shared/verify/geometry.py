"""Areas and lengths from nothing but coordinates and spacing."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shared.verify.report_numbers import Outline


def in_mm(outline: Outline, spacings: dict[str, tuple[float, float]]) -> NDArray[np.float64] | None:
    """The points in mm, (points, 3); None where the image's spacing is not known."""
    points = np.asarray(outline.points, np.float64)
    if points.shape[1] == 3:
        return points
    if outline.sop_instance_uid not in spacings:
        return None
    row, column = spacings[outline.sop_instance_uid]
    return np.column_stack([points[:, 0] * column, points[:, 1] * row, np.zeros(len(points))])


def area(points: NDArray[np.float64]) -> float:
    """mm² of a flat polygon in space (half the length of the summed cross products)."""
    centred = points - points[0]
    return float(np.linalg.norm(np.cross(centred, np.roll(centred, -1, axis=0)).sum(axis=0)) / 2)


def length(points: Sequence[Sequence[float]] | NDArray[np.float64]) -> float:
    """mm along an open line."""
    return float(np.linalg.norm(np.diff(np.asarray(points), axis=0), axis=1).sum())
