"""Where a made-up reading's input lies on its images."""

from shared.findings import SourceImage
from shared.imaging.grid import Box, Grid, SourceStack, step_matrix


def grid_on(
    *images: SourceImage, shape: tuple[int, int] = (8, 8), box: Box | None = None, size: tuple[int, int] | None = None,
    spacing: tuple[float, float] | None = None,
) -> Grid:  # fmt: skip
    """`size` (rows, columns) voxels a slice that cover `box` (left, top, right, bottom) of images of `shape`; without
    these, the images as they are."""
    source = SourceStack((len(images), *shape), images, (None, *spacing) if spacing else None)
    left, top, right, bottom = box or (0.0, 0.0, float(shape[1]), float(shape[0]))
    rows, columns = size or (round(bottom - top), round(right - left))
    step = step_matrix((1.0, (bottom - top) / rows, (right - left) / columns), (0.0, top, left))
    return Grid((len(images), rows, columns), source, step)
