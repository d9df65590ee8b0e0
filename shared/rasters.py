"""Outlines as pixels: what a segmentation stores of them, and what is held against it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def mask_of(points: Sequence[tuple[float, ...]], rows: int, columns: int) -> Mask:
    """(rows, columns): the pixels whose centre lies in the polygon (even-odd rule), or the one that holds a point."""
    mask = np.zeros((rows, columns), np.bool_)
    if len(points) == 1:
        column, row = (int(np.floor(v)) for v in points[0])
        mask[min(max(row, 0), rows - 1), min(max(column, 0), columns - 1)] = True
        return mask
    across, down = np.arange(columns) + 0.5, np.arange(rows) + 0.5
    for (x0, y0), (x1, y1) in zip(points, (*points[1:], points[0]), strict=True):
        crossed = np.flatnonzero((y0 <= down) != (y1 <= down))
        at = x0 + (down[crossed] - y0) * (x1 - x0) / (y1 - y0) if crossed.size else crossed
        mask[crossed] ^= across[np.newaxis, :] < at[:, np.newaxis]
    return mask
