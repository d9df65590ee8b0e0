"""Films that show no whole spine: what must not be given an angle."""

import numpy as np
from numpy.typing import NDArray
from pool import COLUMNS, ROWS, preprocess
from scipy.ndimage import gaussian_filter

from shared.phantoms.brain_mr import brain_volume
from shared.phantoms.chest_dx import chest_radiograph

KINDS = ("chest", "head", "blank", "noise", "blots")


def strange_films(seed: int, count: int) -> NDArray[np.uint8]:
    """Inputs of the network that show a chest, a head, nothing, noise and blots in turn, (count, 1024, 512)."""
    heads = brain_volume(seed, slices=max(1, count // len(KINDS)), size=192)
    films = [_film(KINDS[number % len(KINDS)], seed + number, heads, number // len(KINDS)) for number in range(count)]
    return np.stack([np.round(preprocess(film).array[0, 0] * 255).astype(np.uint8) for film in films])


def _film(kind: str, seed: int, heads: NDArray[np.float32], number: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(400, ROWS)), int(rng.integers(300, COLUMNS)))
    if kind == "chest":
        return chest_radiograph(seed, size=(512, 448)).pixels.astype(np.float32)
    if kind == "head":
        return heads[number % len(heads)]
    if kind == "blank":
        return np.full(shape, rng.uniform(0, 4095), np.float32)
    noise = rng.standard_normal(shape).astype(np.float32)
    return noise if kind == "noise" else gaussian_filter(noise, rng.uniform(3, 40))
