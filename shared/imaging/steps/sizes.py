"""Steps that leave out or add rows, columns and slices at the borders."""

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from shared.imaging.grid import Shape
from shared.imaging.steps.register import step
from shared.imaging.volume import Volume, affordable

Size = Annotated[int, Field(ge=1, le=16384)]
Sizes = Annotated[tuple[Size, ...], Field(min_length=2, max_length=3)]


def whole_shape(volume: Volume, shape: Sequence[int]) -> Shape:
    """Slices, rows and columns of a `shape` that gives two or three: where it gives two, the slices stay."""
    slices, rows, columns = (*volume.shape[: 3 - len(shape)], *shape)
    return slices, rows, columns


def _in_plane(parameters: Any) -> bool:
    return len(parameters.shape) == 2


@step()
def pad_square(volume: Volume, value: float = 0.0) -> Volume:
    """Square, with the image in its middle."""
    side = max(volume.shape[1:])
    return padded(volume, (volume.shape[0], side, side), value)


@step(by_slice=lambda parameters: isinstance(parameters.of, int) or len(parameters.of) == 2)
def pad_to_multiple(volume: Volume, of: Size | Sizes, value: float = 0.0) -> Volume:
    """Rows and columns, or with three numbers also slices, to the next multiple, with the image in the middle."""
    multiples = whole_shape(volume, (of, of) if isinstance(of, int) else of)
    slices, rows, columns = (-(-size // n) * n for size, n in zip(volume.shape, multiples, strict=True))
    return padded(volume, (slices, rows, columns), value)


@step(_in_plane)
def pad(volume: Volume, shape: Sizes, value: float = 0.0) -> Volume:
    """At least `shape` (rows, columns; or slices, rows, columns), with the image or volume in the middle."""
    slices, rows, columns = map(max, whole_shape(volume, shape), volume.shape)
    return padded(volume, (slices, rows, columns), value)


@step(_in_plane)
def crop(volume: Volume, shape: Sizes) -> Volume:
    """At most `shape` (rows, columns; or slices, rows, columns), from the middle."""
    slices, rows, columns = map(min, whole_shape(volume, shape), volume.shape)
    if (slices, rows, columns) == volume.shape:
        return volume
    front, top, left = ((have - want) // 2 for have, want in zip(volume.shape, (slices, rows, columns), strict=True))
    array = volume.array[:, front : front + slices, top : top + rows, left : left + columns]
    return volume.moved(array, shift=(float(front), float(top), float(left)))


def padded(volume: Volume, shape: Shape, value: float) -> Volume:
    """Exactly `shape`, which is nowhere smaller, with the volume in its middle.

    Raises:
        NoVolume: that is more than can be held.
    """
    if shape == volume.shape:
        return volume
    affordable(volume.array.shape[0], shape)
    before = [(want - have) // 2 for want, have in zip(shape, volume.shape, strict=True)]
    around = [(first, want - have - first) for first, want, have in zip(before, shape, volume.shape, strict=True)]
    front, top, left = before
    array = np.pad(volume.array, ((0, 0), *around), constant_values=value)
    return volume.moved(array, shift=(-float(front), -float(top), -float(left)))
