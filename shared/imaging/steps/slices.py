"""Steps that choose among slices and put them beside each other."""

from typing import Annotated, Literal

import numpy as np
from pydantic import AfterValidator, Field

from shared.imaging.grid import NoVolume
from shared.imaging.steps.register import step
from shared.imaging.volume import Volume

Count = Annotated[int, Field(ge=1, le=4096)]


def _odd(count: int) -> int:
    """As many slices on either side."""
    if count % 2 == 0:
        raise ValueError("write an odd number: the slice itself and as many on either side")
    return count


@step(by_slice=lambda _: False)
def pick_slices(
    volume: Volume, every: Count = 1, count: Count | None = None, which: Literal["uniform", "middle"] = "uniform"
) -> Volume:
    """Every `every`-th slice from the first on, and of these at most `count`: spread from the first to the last, or the
    ones in the middle.

    Raises:
        NoVolume: slices were already mixed or turned.
    """
    indices = np.arange(0, volume.shape[0], every)
    if count is not None and count < len(indices):
        start = (len(indices) - count) // 2
        spread = np.rint(np.linspace(0, len(indices) - 1, count)).astype(int) if count > 1 else [len(indices) // 2]
        indices = indices[spread] if which == "uniform" else indices[start : start + count]
    return volume if len(indices) == volume.shape[0] else volume.picked(indices.tolist())


@step(by_slice=lambda _: False)
def stack_planes(volume: Volume, count: Annotated[int, Field(ge=1, le=99), AfterValidator(_odd)]) -> Volume:
    """Each slice with its neighbours as `count` channels, itself in the middle; at the ends the last slice is repeated.

    Raises:
        NoVolume: there are several channels already.
    """
    if len(volume.array) != 1:
        raise NoVolume("the volume has several channels already: its planes are stacked once")
    reach = count // 2
    places = np.clip(np.arange(-reach, reach + 1)[:, np.newaxis] + np.arange(volume.shape[0]), 0, volume.shape[0] - 1)
    return volume.with_array(volume.array[0][places])
