"""Steps that make new voxels between the old ones."""

from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from pydantic import Field
from scipy import ndimage

from shared.imaging.grid import NoVolume, Shape
from shared.imaging.steps.register import step
from shared.imaging.steps.sizes import Sizes, padded, whole_shape
from shared.imaging.volume import Volume, Voxels, affordable

Mm = Annotated[float, Field(gt=0, le=1000)]
Spacing = Annotated[tuple[Mm, ...], Field(min_length=2, max_length=3)]


@step(by_slice=lambda parameters: len(parameters.shape) == 2)
def resize(volume: Volume, shape: Sizes) -> Volume:
    """Exactly `shape` (rows, columns; or slices, rows, columns), linear, each voxel the mean of what it covers
    where the volume shrinks.

    Raises:
        NoVolume: slices of different meaning would be mixed.
    """
    return _resized(volume, whole_shape(volume, shape))


@step(by_slice=lambda parameters: len(parameters.shape) == 2)
def fit(volume: Volume, shape: Sizes, value: float = 0.0) -> Volume:
    """Exactly `shape` (rows, columns; or slices, rows, columns): the whole image or volume as large as it fits with one
    scale in mm, in the middle.

    Without a spacing the pixels of an image count as square. The margins are equal on opposite sides, so a mirrored
    image becomes the mirrored result; for that a side may give up to one voxel.

    Raises:
        NoVolume: of a volume, the distance between its slices is not known, or slices of different meaning would be
            mixed.
    """
    first = 3 - len(shape)
    mm = _mm(volume, first)
    sides = [count * step for count, step in zip(volume.shape[first:], mm, strict=True)]
    factor = min(want / side for want, side in zip(shape, sides, strict=True))
    inner = [max(1, want - 2 * round((want - side * factor) / 2)) for want, side in zip(shape, sides, strict=True)]
    rows, columns = inner[-2:]
    inside = _resized(volume, (volume.shape[0] if first else inner[0], rows, columns))
    return padded(inside, whole_shape(volume, shape), value)


@step(by_slice=lambda parameters: len(parameters.spacing) == 2)
def resample(
    volume: Volume,
    spacing: Spacing,
    method: Literal["linear", "nearest"] = "linear",
) -> Volume:
    """Voxels of `spacing` mm (between rows, columns; or between slices, rows, columns), each the value at its middle:
    nothing is averaged. What is gained or lost by whole voxels is so on both sides alike.

    Raises:
        NoVolume: the present spacing is not known, or slices of different meaning would be mixed.
    """
    first = 3 - len(spacing)
    factors = [want / have for want, have in zip(spacing, _mm(volume, first, "resampled"), strict=True)]
    # a spacing that is meant to be the same differs by rounding: nothing is asked
    scale = np.array([1.0] * first + [1.0 if abs(factor - 1) < 1e-6 else factor for factor in factors])
    if (scale == 1).all():
        return volume
    shape = np.maximum(1, np.rint(np.array(volume.shape) / scale)).astype(int)
    shift = (np.array(volume.shape) - shape * scale) / 2
    slices, rows, columns = shape.tolist()
    affordable(volume.array.shape[0], (slices, rows, columns))
    if scale[0] != 1:
        volume.mixable()
    array = [_sampled(channel, scale, shift, (slices, rows, columns), method) for channel in volume.array]
    return volume.moved(np.stack(array), tuple(scale.tolist()), tuple(shift.tolist()))


def _sampled(
    channel: Voxels, scale: NDArray[np.float64], shift: NDArray[np.float64], shape: Shape, method: str
) -> NDArray[Any]:
    offset = 0.5 * scale + shift - 0.5  # between the middles of the first voxels
    order = 1 if method == "linear" else 0
    return np.asarray(
        ndimage.affine_transform(channel, scale, offset, shape, np.float32, order, mode="nearest", prefilter=False)
    )


def _resized(volume: Volume, shape: Shape) -> Volume:
    if shape == volume.shape:
        return volume
    affordable(volume.array.shape[0], shape)
    slices, rows, columns = shape
    array = volume.array
    if shape[1:] != volume.shape[1:]:
        array = np.array([[_scaled(plane, (rows, columns)) for plane in channel] for channel in array])
    if slices != volume.shape[0]:
        volume.mixable()
        flat = [_scaled(channel.reshape(len(channel), -1), (slices, rows * columns)) for channel in array]
        array = np.stack(flat).reshape(-1, *shape)
    old_slices, old_rows, old_columns = volume.shape
    return volume.moved(array, scale=(old_slices / slices, old_rows / rows, old_columns / columns))


def _scaled(plane: Voxels, shape: tuple[int, int]) -> Voxels:
    resized = Pillow.fromarray(plane).resize(shape[::-1], Pillow.Resampling.BILINEAR)
    return np.asarray(resized, np.float32)


def _mm(volume: Volume, first: int, done: str = "") -> list[float]:
    """mm of a voxel along rows and columns, with `first` = 0 along the slices too.

    Raises:
        NoVolume: it is not known, and needed: for a volume, or for what is `done`.
    """
    spacing = volume.grid.spacing
    if spacing is None and first and not done:
        return [1.0, 1.0]
    known = [mm for mm in (spacing or (None,))[first:] if mm is not None]
    if len(known) < 3 - first:
        raise NoVolume("the distance between pixels or slices is not known, so the size in mm is not")
    return known
