"""Outlines of what a patch map marks, as closed polylines in source pixels."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from shared.findings import PatchMap, Region

Corner = tuple[int, int]  # (column, row) of the grid's lines
Edges = dict[Corner, Corner]


def outlines(patch_map: PatchMap, threshold_logit: float, source_shape: tuple[int, int]) -> list[Region]:
    """One closed polyline for each group of patches that touch by an edge and whose logits reach `threshold_logit`, the
    largest first, cut to the image (rows, columns). Holes are not drawn.
    """
    logits = np.asarray(patch_map.logits, np.float64)
    lines = _grid_lines(patch_map, logits.shape, source_shape)
    marked = (logits >= threshold_logit) & _inside(*lines)
    labels, count = ndimage.label(marked)
    groups = sorted((labels == label for label in range(1, count + 1)), key=lambda g: -int(g.sum()))
    return [_region(patch_map, _outer(group), *lines) for group in groups]


def _grid_lines(
    patch_map: PatchMap, grid: tuple[int, ...], source_shape: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the grid's lines lie in source pixels (columns, rows), cut to the image."""
    left, top, right, bottom = patch_map.box
    columns = np.clip(np.linspace(left, right, grid[1] + 1), 0.0, source_shape[1])
    rows = np.clip(np.linspace(top, bottom, grid[0] + 1), 0.0, source_shape[0])
    return columns, rows


def _inside(columns: NDArray[np.float64], rows: NDArray[np.float64]) -> NDArray[Any]:
    """Patches of which some part lies on the image, not in its padding."""
    return (np.diff(rows) > 1e-6)[:, np.newaxis] & (np.diff(columns) > 1e-6)[np.newaxis, :]


def _region(
    patch_map: PatchMap, corners: Sequence[Corner], columns: NDArray[np.float64], rows: NDArray[np.float64]
) -> Region:
    points = tuple((float(columns[column]), float(rows[row])) for column, row in corners)
    return Region(image=patch_map.image, graphic_type="POLYLINE", points=points)


def _outer(group: NDArray[Any]) -> list[Corner]:
    """The outer border of patches that touch by edges, clockwise, corners only; the first is repeated at the end."""
    edges = _border(ndimage.binary_fill_holes(group))
    start = min(edges, key=lambda corner: (corner[1], corner[0]))
    loop = list(_walk(edges, start))
    turns = [
        corner for before, corner, after in zip([loop[-1], *loop[:-1]], loop, [*loop[1:], loop[0]], strict=True)
        if (corner[0] - before[0], corner[1] - before[1]) != (after[0] - corner[0], after[1] - corner[1])
    ]  # fmt: skip
    return [*turns, turns[0]]


def _border(group: NDArray[Any]) -> Edges:
    """Every edge between a patch of the group and another, with the group on its right, by where it begins.

    A group without holes meets itself at no corner, so only one edge begins at each.
    """
    edges: Edges = {}
    padded = np.pad(group, 1)
    for row, column in np.argwhere(group).tolist():
        above, below = padded[row, column + 1], padded[row + 2, column + 1]
        left, right = padded[row + 1, column], padded[row + 1, column + 2]
        sides = (
            (above, (column, row), (column + 1, row)), (right, (column + 1, row), (column + 1, row + 1)),
            (below, (column + 1, row + 1), (column, row + 1)), (left, (column, row + 1), (column, row)),
        )  # fmt: skip
        edges.update({begin: end for covered, begin, end in sides if not covered})
    return edges


def _walk(edges: Edges, start: Corner) -> Iterator[Corner]:
    """Along the border and back to where it started."""
    here = start
    while True:
        yield here
        here = edges[here]
        if here == start:
            return
