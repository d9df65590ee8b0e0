"""Arrays that a model gives on a grid of its own, back on the grid of the source images."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from shared.imaging.grid import Grid, step_matrix

Plain = NDArray[np.float32]
Labels = NDArray[np.uint8]


def grid_of(reading_grid: Grid, shape: tuple[int, ...]) -> Grid:
    """The places of an array (slices, rows, columns) that covers the model's whole input, with steps of its own."""
    steps = [have / want for have, want in zip(reading_grid.shape, shape, strict=True)]
    slices, rows, columns = shape
    return reading_grid.moved((slices, rows, columns), step_matrix((steps[0], steps[1], steps[2])))


def labels_on_source(labels: Labels, grid: Grid) -> Labels:
    """(images, rows, columns) of the source: the label of the voxel that holds each pixel's centre, 0 beyond."""
    return np.asarray(_sampled(labels, grid, order=0), np.uint8)


def values_on_source(values: Plain, grid: Grid, beyond: float) -> Plain:
    """(images, rows, columns) of the source, linear between centres; where the model saw nothing, `beyond`."""
    found = np.asarray(_sampled(values, grid, order=1), np.float32)
    seen = labels_on_source(np.ones(values.shape, np.uint8), grid)
    return np.where(seen > 0, found, np.float32(beyond))


def _sampled(array: NDArray[np.generic], grid: Grid, order: int) -> NDArray[np.generic]:
    """`array` at the centres of the source's voxels. Scipy counts from centres, in the order of the axes."""
    if grid.shape == grid.source.shape and np.array_equal(grid.to_source, np.eye(4)):
        return array
    inverse = np.linalg.inv(grid.to_source)
    matrix = inverse[:3, :3][::-1, ::-1]
    offset = inverse[:3, 3][::-1] + matrix @ np.full(3, 0.5) - 0.5
    mode = "grid-constant" if order == 0 else "nearest"
    return np.asarray(
        ndimage.affine_transform(array, matrix, offset, grid.source.shape, order=order, mode=mode, cval=0.0)
    )
