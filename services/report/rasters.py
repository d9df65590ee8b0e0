"""Regions as pixels: what a segmentation stores."""

from shared import rasters
from shared.findings import Region
from shared.rasters import Mask


def mask_of(region: Region, rows: int, columns: int) -> Mask:
    """(rows, columns): the pixels whose centre lies in the region, or the one that holds its point."""
    return rasters.mask_of(region.points, rows, columns)
