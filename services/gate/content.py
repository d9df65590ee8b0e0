"""Looks into every frame of a series, once for all gates: can it be decoded, is there a picture, is it clipped?"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from shared.imaging.frames import Frame, UndecodablePixels

_THREADS = 2
_FEW_LEVELS = 4
"""A picture has more grey values than this; a mask or a test pattern has not."""
_LOOK_CLOSER = 0.02
"""Shares of clipped pixels below this are not worth finding out where they lie."""


@dataclass(frozen=True)
class Content:
    """What is wrong with the pixels of a series, by index into its frames.

    `clipped` is the part of each frame's pixels at the bright end of its values, padding and what touches the image's
    border (collimation, masks) aside. The dark end tells nothing: where there is no signal there is none.
    """

    blank: frozenset[int] = frozenset()
    undecodable: tuple[tuple[int, str], ...] = ()  # with the reason
    flat: frozenset[int] = frozenset()  # no blank ones, but of a few grey values only
    clipped: tuple[float, ...] = ()


@dataclass(frozen=True)
class _Look:
    wrong: str = ""
    blank: bool = False
    flat: bool = False
    clipped: float = 0.0


def look_into(frames: Sequence[Frame]) -> Content:
    """Decodes every frame, one at a time per thread, and keeps no pixels."""
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="look") as pool:
        said = list(pool.map(_look, frames))
    return Content(
        blank=frozenset(index for index, look in enumerate(said) if look.blank),
        undecodable=tuple((index, look.wrong) for index, look in enumerate(said) if look.wrong),
        flat=frozenset(index for index, look in enumerate(said) if look.flat),
        clipped=tuple(look.clipped for look in said),
    )


def _look(frame: Frame) -> _Look:
    try:
        values = frame.stored().values
    except UndecodablePixels as error:
        return _Look(str(error))
    if values.min() == values.max():
        return _Look(blank=True)
    real = ~_padding(values, frame)
    inside = values[real]
    if not inside.size or inside.min() == inside.max():
        return _Look(flat=True)
    low, high = inside.min(), inside.max()
    few = high - low < 2**12 and len(np.unique(inside)) <= _FEW_LEVELS
    bright = low if frame.header.get("photometric_interpretation") == "MONOCHROME1" else high
    return _Look(flat=few, clipped=_within(values == bright, real))


def _padding(values: NDArray[np.float32], frame: Frame) -> NDArray[np.bool_]:
    """Pixel Padding Value (0028,0120) to Pixel Padding Range Limit (0028,0121)."""
    ends = [frame.header.get(name) for name in ("pixel_padding_value", "pixel_padding_range_limit")]
    numbers = [end for end in ends if isinstance(end, int | float)]
    if not numbers:
        return np.zeros(values.shape, bool)
    return np.asarray((values >= min(numbers)) & (values <= max(numbers)))


def _within(extreme: NDArray[np.bool_], real: NDArray[np.bool_]) -> float:
    """The part of the real pixels that are extreme in patches that do not touch the image's border."""
    extreme = extreme & real
    total = max(1, int(real.sum()))
    if extreme.sum() / total < _LOOK_CLOSER:
        return float(extreme.sum() / total)
    labels, count = ndimage.label(extreme)
    edges = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[edges], sizes[0] = 0, 0
    return float(sizes.sum() / total)
