"""Changes of growing strength to a source image, by which the similarity must fall: strength 0 is none, 1 the most."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates, rotate, zoom

Pixels = NDArray[np.float32]
STRENGTHS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def _span(pixels: Pixels) -> tuple[float, float]:
    low, high = np.percentile(pixels, [1, 99])
    return float(low), max(float(high - low), 1e-6)


def rotation(pixels: Pixels, strength: float, _: np.random.Generator) -> Pixels:
    """By up to 60 degrees about the middle, the edges repeated."""
    return rotate(pixels, 60 * strength, reshape=False, order=1, mode="nearest")


def noise(pixels: Pixels, strength: float, rng: np.random.Generator) -> Pixels:
    """White, of up to half of the image's range (percentiles 1 to 99) as deviation."""
    return pixels + np.float32(0.5 * strength * _span(pixels)[1]) * rng.standard_normal(pixels.shape, np.float32)


def blur(pixels: Pixels, strength: float, _: np.random.Generator) -> Pixels:
    """By a Gaussian of up to 5 % of the shorter side."""
    return gaussian_filter(pixels, 0.05 * strength * min(pixels.shape), mode="nearest")


def deformation(pixels: Pixels, strength: float, rng: np.random.Generator) -> Pixels:
    """Elastic: a smooth random displacement of up to about a tenth of the shorter side, on a grid of 10 x 10."""
    side = min(pixels.shape)
    coarse = rng.uniform(-1, 1, (2, 10, 10)).astype(np.float32)
    factors = (pixels.shape[0] / 10, pixels.shape[1] / 10)
    moved = [
        axis + 0.1 * side * strength * zoom(field, factors, order=3, grid_mode=True, mode="nearest")
        for axis, field in zip(np.indices(pixels.shape, np.float32), coarse, strict=True)
    ]
    return map_coordinates(pixels, moved, order=1, mode="nearest")


def inversion(pixels: Pixels, strength: float, _: np.random.Generator) -> Pixels:
    """The brightest pixels, up to half of all, are mirrored at their level (the whole image, inverted, is as much a
    radiograph as before to whoever scales it)."""
    level = np.percentile(pixels, 100 - 50 * strength**2)
    return np.where(pixels > level, 2 * level - pixels, pixels).astype(np.float32)


def crop(pixels: Pixels, strength: float, _: np.random.Generator) -> Pixels:
    """To the middle, of down to 60 % of each side."""
    rows, columns = (int(size * (1 - 0.4 * strength)) for size in pixels.shape)
    top, left = (pixels.shape[0] - rows) // 2, (pixels.shape[1] - columns) // 2
    return np.ascontiguousarray(pixels[top : top + rows, left : left + columns])


DEFORMATIONS: dict[str, Callable[[Pixels, float, np.random.Generator], Pixels]] = {
    one.__name__: one for one in (rotation, noise, blur, deformation, inversion, crop)
}
