"""Regions as pixels: what a segmentation stores."""

import numpy as np
from numpy.typing import NDArray

from shared.findings import Region

Mask = NDArray[np.bool_]


def mask_of(region: Region, rows: int, columns: int) -> Mask:
    """(rows, columns): the pixels whose centre lies in the polygon (even-odd rule), or the one that holds the point."""
    mask = np.zeros((rows, columns), np.bool_)
    if region.graphic_type == "POINT":
        column, row = (int(np.floor(v)) for v in region.points[0])
        mask[min(max(row, 0), rows - 1), min(max(column, 0), columns - 1)] = True
        return mask
    across, down = np.arange(columns) + 0.5, np.arange(rows) + 0.5
    for (x0, y0), (x1, y1) in zip(region.points, (*region.points[1:], region.points[0]), strict=True):
        crossed = np.flatnonzero((y0 <= down) != (y1 <= down))
        at = x0 + (down[crossed] - y0) * (x1 - x0) / (y1 - y0) if crossed.size else crossed
        mask[crossed] ^= across[np.newaxis, :] < at[:, np.newaxis]
    return mask
