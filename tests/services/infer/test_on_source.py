"""What a model gives on its own grid lies on the source where the grid says, whatever was cut, turned or resampled."""

import numpy as np
import pytest
from numpy.typing import NDArray

from services.infer.on_source import grid_of, labels_on_source, values_on_source
from shared.imaging.grid import Grid, SourceStack, step_matrix

STACK = SourceStack((5, 12, 14), spacing=(3.0, 1.0, 0.5))


def turned(grid: Grid) -> Grid:
    """Rows are the source's slices, slices its rows, back to front."""
    matrix = np.eye(4)[:, [0, 2, 1, 3]]
    matrix[1, 2], matrix[1, 3] = -1.0, 12.0
    return grid.moved((12, 5, 14), matrix)


def skewed(grid: Grid) -> Grid:
    matrix = np.eye(4)
    matrix[:3, :3] = [[0.9, 0.2, 0.1], [-0.2, 0.9, 0.0], [0.05, 0.0, 1.1]]
    matrix[:3, 3] = [0.7, 1.3, -0.4]
    return grid.moved((4, 9, 11), matrix)


GRIDS = {
    "as it is": Grid((5, 12, 14), STACK),
    "cut": Grid((3, 6, 6), STACK, step_matrix((1, 1, 1), (1, 3, 4))),
    "padded": Grid((5, 20, 20), STACK, step_matrix((1, 1, 1), (0, -4, -3))),
    "resampled": Grid((10, 7, 5), STACK, step_matrix((0.5, 12 / 7, 2.8), (0, 0, 0))),
    "turned": turned(Grid((5, 12, 14), STACK)),
    "skewed": skewed(Grid((5, 12, 14), STACK)),
}


def by_hand(labels: NDArray[np.uint8], grid: Grid) -> NDArray[np.uint8]:
    """Voxel by voxel."""
    found = np.zeros(grid.source.shape, np.uint8)
    inverse = np.linalg.inv(grid.to_source)
    for place in np.ndindex(grid.source.shape):
        slice_, row, column = place
        x, y, z, _ = np.floor(inverse @ (column + 0.5, row + 0.5, slice_ + 0.5, 1.0) + 1e-9).astype(int)
        if all(0 <= at < size for at, size in zip((z, y, x), grid.shape, strict=True)):
            found[place] = labels[z, y, x]
    return found


@pytest.mark.parametrize("name", GRIDS)
def test_a_label_is_that_of_the_voxel_which_holds_the_centre(name: str) -> None:
    grid = GRIDS[name]
    labels = np.random.default_rng(0).integers(0, 4, grid.shape, np.uint8)
    assert np.array_equal(labels_on_source(labels, grid), by_hand(labels, grid))


@pytest.mark.parametrize("name", GRIDS)
def test_a_ramp_comes_back_as_a_ramp(name: str) -> None:
    grid = GRIDS[name]
    z, y, x = np.meshgrid(*(np.arange(size) + 0.5 for size in grid.shape), indexing="ij")
    places = np.einsum("ij,jzyx->izyx", grid.to_source, np.stack([x, y, z, np.ones_like(x)]))
    found = values_on_source((places[0] + 2 * places[1] + 3 * places[2]).astype(np.float32), grid, beyond=-9.0)
    columns, rows, slices = np.arange(14) + 0.5, np.arange(12)[:, None] + 0.5, np.arange(5)[:, None, None] + 0.5
    expected = columns + 2 * rows + 3 * slices
    seen = by_hand(np.ones(grid.shape, np.uint8), grid) > 0
    assert (found[~seen] == -9.0).all()
    inner = by_hand(np.pad(np.ones([max(size - 2, 0) for size in grid.shape], np.uint8), 1), grid) > 0
    assert inner.any()
    assert np.allclose(found[inner], expected[inner], atol=1e-4)


def test_a_coarser_answer_covers_the_same_input() -> None:
    grid = grid_of(Grid((1, 8, 12), SourceStack((1, 8, 12))), (1, 2, 3))
    found = labels_on_source(np.arange(1, 7, dtype=np.uint8).reshape(1, 2, 3), grid)
    assert np.array_equal(found[0], np.kron(np.arange(1, 7).reshape(2, 3), np.ones((4, 4))))
