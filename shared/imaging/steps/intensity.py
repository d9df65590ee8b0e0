"""Steps that change values and leave every voxel where it is."""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from shared.imaging.display import window as window_of
from shared.imaging.display import windowed
from shared.imaging.grid import NoVolume
from shared.imaging.steps.register import step
from shared.imaging.volume import NOTHING, Volume, Voxels

Percent = Annotated[float, Field(ge=0, le=100)]
Over = Literal["slice", "volume"]
"""Whose values a statistic is of: each slice's own, or the whole volume's."""


def _by_slice(parameters: Any) -> bool:
    return bool(parameters.over == "slice")


def _over(volume: Volume, over: Over, function: Callable[[Voxels], Voxels]) -> Volume:
    """`function` of the whole volume, or of each slice of each channel by itself."""
    if over == "volume" or volume.array.shape[:2] == (1, 1):
        return volume.with_array(function(volume.array))
    planes = [[function(plane) for plane in channel] for channel in volume.array]
    return volume.with_array(np.array(planes, np.float32))


@step()
def modality_lut(volume: Volume) -> Volume:
    """Stored values in the modality's unit, by each image's own table or slope and intercept (PS3.3 C.11.1)."""
    transforms = volume.by_slice(volume.modality)
    applied = [transform.apply(volume.array[:, index]) for index, transform in enumerate(transforms)]
    return replace(volume.with_array(np.stack(applied, axis=1)), modality=(NOTHING,) * len(volume.modality))


@step()
def invert_monochrome1(volume: Volume) -> Volume:
    """MONOCHROME1, in which small values are bright, mirrored in the slice's own range; others stay as they are."""
    if "MONOCHROME1" not in volume.photometric_interpretation:
        return volume
    said = volume.by_slice(volume.photometric_interpretation)
    array = volume.array.copy()
    for index, photometric in enumerate(said):
        if photometric == "MONOCHROME1":
            plane = array[:, index]
            array[:, index] = plane.max() + plane.min() - plane
    seen = tuple("MONOCHROME2" if one == "MONOCHROME1" else one for one in volume.photometric_interpretation)
    return replace(volume.with_array(array), photometric_interpretation=seen)


@step(_by_slice)
def scale_percentile(
    volume: Volume, percentile: Percent = 99.0, low: Percent | None = None, over: Over = "slice"
) -> Volume:
    """To [0, 1], clipped: the percentile `low` (without it, the value zero) becomes 0, `percentile` becomes 1.

    What has no such range becomes zero.
    """

    def scaled(values: Voxels) -> Voxels:
        bottom = 0.0 if low is None else float(np.percentile(values, low))
        span = float(np.percentile(values, percentile)) - bottom
        if not span > 0:
            return np.zeros_like(values)
        return np.clip((values - np.float32(bottom)) / np.float32(span), 0.0, 1.0)

    return _over(volume, over, scaled)


@step()
def window(volume: Volume, center: float, width: Annotated[float, Field(gt=0)]) -> Volume:
    """To [0, 1] by a linear window as viewers apply it (PS3.3 C.11.2.1.2); of CT after `modality_lut`, in HU."""
    return volume.with_array(window_of(volume.array, center, width) / np.float32(255))


@step()
def voi_window(volume: Volume) -> Volume:
    """To [0, 1] as viewers show each image: by its own first VOI LUT or window (PS3.3 C.11.2), by percentiles where it
    has none. That is of values after the modality LUT, which is applied where it is not yet.

    Raises:
        NoVolume: the pixels come from no file, or the slices were turned.
    """
    if not volume.frames:
        raise NoVolume("the pixels come from no file, so there is no window")
    measured = modality_lut(volume)
    frames = volume.by_slice(volume.frames)
    shown = [[windowed(frame, plane) for frame, plane in zip(frames, c, strict=True)] for c in measured.array]
    return measured.with_array(np.array(shown, np.float32) / np.float32(255))


@step()
def scale_range(volume: Volume, low: float, high: float) -> Volume:
    """To [0, 1], clipped: `low` becomes 0, `high` becomes 1."""
    if not high > low:
        raise NoVolume(f"scale_range: high ({high:g}) must be above low ({low:g})")
    return volume.with_array(np.clip((volume.array - np.float32(low)) / np.float32(high - low), 0.0, 1.0))


@step(_by_slice)
def normalise(
    volume: Volume, subtract: float | None = None, divide: float | None = None, over: Over = "slice"
) -> Volume:
    """Mean 0 and standard deviation 1, by the image's own, or by those of the training data."""

    def normal(values: Voxels) -> Voxels:
        wide = values.astype(np.float64)
        mean = wide.mean() if subtract is None else subtract
        deviation = wide.std() if divide is None else divide
        return ((wide - mean) / (deviation if deviation > 0 else 1.0)).astype(np.float32)

    return _over(volume, over, normal)
