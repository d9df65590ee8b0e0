"""Lengths, angles, areas and volumes from points: how a finding's number is made, and how anyone computes it again.

Points are rows of 2 (mm on a flat image) or 3 coordinates (mm in the patient).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Points = NDArray[np.float64]
SAME_HEIGHT_MM = 1e-3  # positions are written with few decimals: slices nearer than this lie in one plane


def in_mm(points: ArrayLike, spacing: tuple[float, float]) -> Points:
    """(points, 2) mm of (column, row) `points` in pixels; `spacing` is (between rows, between columns)."""
    return np.asarray(np.asarray(points, np.float64) * (spacing[1], spacing[0]), np.float64)


def length(points: ArrayLike) -> float:
    """mm along an open line."""
    return float(np.linalg.norm(np.diff(np.asarray(points, np.float64), axis=0), axis=1).sum())


def area(points: ArrayLike) -> float:
    """mm² of a flat polygon (half the length of the summed cross products); the first point may be repeated."""
    corners = np.asarray(points, np.float64)
    if corners.shape[1] == 2:
        corners = np.column_stack([corners, np.zeros(len(corners))])
    centred = corners - corners[0]
    return float(np.linalg.norm(np.cross(centred, np.roll(centred, -1, axis=0)).sum(axis=0)) / 2)


def angle_between_lines(one: ArrayLike, other: ArrayLike) -> float:
    """Degrees, 0 to 180, between the directions of two lines, each from its first point to its last.

    So two end plates that are both given from left to right have their Cobb angle, beyond 90° too.

    Raises:
        ValueError: a line has no length.
    """
    directions = [np.asarray(line, np.float64)[-1] - np.asarray(line, np.float64)[0] for line in (one, other)]
    sizes = [float(np.linalg.norm(direction)) for direction in directions]
    if min(sizes) == 0:
        raise ValueError("a line without length has no direction")
    first, second = (direction / size for direction, size in zip(directions, sizes, strict=True))
    # of the half angle's tangent: exact for lines that are nearly parallel, where the cosine is not
    half = np.arctan2(np.linalg.norm(first - second), np.linalg.norm(first + second))
    return float(np.degrees(2 * half))


def slice_step(positions: Sequence[ArrayLike], orientation: Sequence[float]) -> float:
    """mm from slice to slice along their normal, the mean over the stack; 0 for less than two heights.

    A tilted gantry moves the slices sideways too, which adds nothing to a volume; nor do slices that are taken again.
    """
    if len(positions) < 2:
        return 0.0
    normal = np.cross(np.asarray(orientation[:3], np.float64), np.asarray(orientation[3:], np.float64))
    heights = np.sort(np.asarray(positions, np.float64) @ (normal / np.linalg.norm(normal)))
    steps = int(np.count_nonzero(np.diff(heights) > SAME_HEIGHT_MM))
    return float((heights[-1] - heights[0]) / steps) if steps else 0.0
