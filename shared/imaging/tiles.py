"""Where the windows lie that slide over an image or a volume, and how much each of their pixels counts.

As MONAI's sliding_window_inference has it (tests hold the two against each other). Sizes and starts are in the order of
the array's axes.
"""

import math
from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

Sizes = tuple[int, ...]
Weights = NDArray[np.float32]
LEAST_WEIGHT = 1e-3
"""Of a pixel in a corner, so that one which no other tile holds is there at all."""


def tile_of(shape: Sizes, wanted: Sizes) -> Sizes:
    """`wanted`, with the whole axis where it says -1."""
    return tuple(have if want == -1 else want for have, want in zip(shape, wanted, strict=True))


def margins(shape: Sizes, tile: Sizes) -> list[tuple[int, int]]:
    """What is put before and behind each axis that is shorter than a tile."""
    missing = [max(want - have, 0) for have, want in zip(shape, tile, strict=True)]
    return [(count // 2, count - count // 2) for count in missing]


def starts(shape: Sizes, tile: Sizes, overlaps: Sequence[float]) -> list[Sizes]:
    """The first voxel of each tile, the last axis fastest. `shape` is nowhere shorter than `tile`; the last tile of an
    axis ends where the axis does, so it may share more with the one before."""
    return list(product(*(_along(*axis) for axis in zip(shape, tile, overlaps, strict=True))))


def _along(size: int, tile: int, overlap: float) -> list[int]:
    step = max(1, int(tile * (1 - overlap)))
    count = math.ceil((size - tile) / step) + 1
    return [min(index * step, size - tile) for index in range(count)]


def weights(tile: Sizes, blend: str, sigma: float) -> Weights:
    """(tile) how much each voxel counts: one, or a Gaussian around the middle with `sigma` of each axis' size."""
    if blend == "constant":
        return np.ones(tile, np.float32)
    found = np.ones((), np.float32)
    for size in tile:
        places = np.arange(size, dtype=np.float32) - np.float32((size - 1) / 2)
        found = found[..., np.newaxis] * np.exp(places**2 / np.float32(-2 * (sigma * size) ** 2))
    return np.maximum(found, max(float(found.min()), LEAST_WEIGHT)).astype(np.float32)
