"""Steps that bring rows and columns to a size."""

from typing import Annotated

import numpy as np
from PIL import Image as Pillow
from pydantic import Field

from shared.imaging.steps.register import step
from shared.imaging.volume import Volume

Size = Annotated[int, Field(ge=1, le=16384)]


@step()
def pad_square(volume: Volume, value: float = 0.0) -> Volume:
    """Square, with the image in its middle."""
    side = max(volume.shape[1:])
    return _padded(volume, (side, side), value)


@step()
def pad_to_multiple(volume: Volume, of: Size, value: float = 0.0) -> Volume:
    """Rows and columns to the next multiple, with the image in the middle."""
    rows, columns = (-(-size // of) * of for size in volume.shape[1:])
    return _padded(volume, (rows, columns), value)


@step()
def pad(volume: Volume, shape: tuple[Size, Size], value: float = 0.0) -> Volume:
    """At least `shape` (rows, columns), with the image in the middle."""
    return _padded(volume, (max(shape[0], volume.shape[1]), max(shape[1], volume.shape[2])), value)


@step()
def crop(volume: Volume, shape: tuple[Size, Size]) -> Volume:
    """At most `shape` (rows, columns), from the middle."""
    rows, columns = (min(have, want) for have, want in zip(volume.shape[1:], shape, strict=True))
    top, left = (volume.shape[1] - rows) // 2, (volume.shape[2] - columns) // 2
    return volume.moved(
        volume.array[:, :, top : top + rows, left : left + columns], shift=(0.0, float(top), float(left))
    )


@step()
def resize(volume: Volume, shape: tuple[Size, Size]) -> Volume:
    """Exactly `shape` (rows, columns), linear, each new pixel the mean of what it covers where the image shrinks."""
    rows, columns = shape
    if (rows, columns) == volume.shape[1:]:
        return volume
    resized = [
        [Pillow.fromarray(plane).resize((columns, rows), Pillow.Resampling.BILINEAR) for plane in channel]
        for channel in volume.array
    ]
    array = np.array([[np.asarray(plane, np.float32) for plane in channel] for channel in resized])
    return volume.moved(array, scale=(1.0, volume.shape[1] / rows, volume.shape[2] / columns))


@step()
def fit(volume: Volume, shape: tuple[Size, Size], value: float = 0.0) -> Volume:
    """Exactly `shape` (rows, columns): the whole image as large as it fits with one scale in mm, in the middle.

    Without a spacing the pixels count as square. The margins are equal on opposite sides, so a mirrored image becomes
    the mirrored result; for that a side may give up to one pixel.
    """
    spacing = volume.grid.spacing
    mm = spacing[1:] if spacing else (1.0, 1.0)
    sides = [count * step for count, step in zip(volume.shape[1:], mm, strict=True)]
    factor = min(want / side for want, side in zip(shape, sides, strict=True))
    rows, columns = (
        max(1, want - 2 * round((want - side * factor) / 2)) for want, side in zip(shape, sides, strict=True)
    )
    return _padded(resize(volume, (rows, columns)), shape, value)


def _padded(volume: Volume, shape: tuple[int, int], value: float) -> Volume:
    if shape == volume.shape[1:]:
        return volume
    top, left = (shape[0] - volume.shape[1]) // 2, (shape[1] - volume.shape[2]) // 2
    around = ((0, 0), (0, 0), (top, shape[0] - volume.shape[1] - top), (left, shape[1] - volume.shape[2] - left))
    padded = np.pad(volume.array, around, constant_values=value)
    return volume.moved(padded, shift=(0.0, -float(top), -float(left)))
