"""Arrays of findings over the layers of their source images."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.report.facts import CannotBuild, RunFacts
from services.report.plates import Plates
from shared.findings import Placed
from shared.geometry import slice_step

Box = tuple[float, float, float, float]


def read_placed(facts: RunFacts, placed: Placed) -> NDArray[Any]:
    """(images, rows, columns) as the package gave it.

    Raises:
        CannotBuild: the array is not one plane for each image.
    """
    array = facts.read(placed.array)
    if array.ndim != 3 or len(array) != len(placed.images) or len(placed.boxes) not in (0, len(placed.images)):
        raise CannotBuild(f"{placed.array.path} does not have one plane for each of {len(placed.images)} images")
    return array


def on_layers(facts: RunFacts, placed: Placed, plates: Plates) -> NDArray[Any]:
    """(layers, rows, columns): the array on the source's own grid; zero where it says nothing."""
    array = read_placed(facts, placed)
    layers = {image: index for index, image in enumerate(plates.layers)}
    pixels = np.zeros((len(layers), plates.rows, plates.columns), array.dtype)
    for index, image in enumerate(placed.images):
        if image in layers:
            box = placed.boxes[index] if placed.boxes else None
            pixels[layers[image]] = on_grid(array[index], box, plates.rows, plates.columns)
    return pixels


def on_grid(plane: NDArray[Any], box: Box | None, rows: int, columns: int) -> NDArray[Any]:
    """One plane on the grid of its image: the value of the cell that holds each pixel's centre, so none is made up.

    Raises:
        CannotBuild: a plane without a box is not of the image's size.
    """
    if box is None:
        if plane.shape != (rows, columns):
            raise CannotBuild(f"a plane of {plane.shape} does not fit an image of {rows} by {columns}")
        return plane
    left, top, right, bottom = box
    across = np.floor((np.arange(columns) + 0.5 - left) * plane.shape[1] / (right - left)).astype(int)
    down = np.floor((np.arange(rows) + 0.5 - top) * plane.shape[0] / (bottom - top)).astype(int)
    inside_x, inside_y = (across >= 0) & (across < plane.shape[1]), (down >= 0) & (down < plane.shape[0])
    pixels = np.zeros((rows, columns), plane.dtype)
    pixels[np.ix_(inside_y, inside_x)] = plane[np.ix_(down[inside_y], across[inside_x])]
    return pixels


def step_of(facts: RunFacts, placed: Placed) -> float | None:
    """mm from slice to slice of the whole stack, along its normal; None for a single image or one without a place."""
    planes = [facts.planes[image] for image in placed.images if image in facts.planes]
    if len(planes) < 2 or len(planes) < len(placed.images):
        return None
    return slice_step([plane.position for plane in planes], planes[0].orientation) or None
