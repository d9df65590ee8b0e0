"""From tissue to pixels: beam, scatter, noise and look-up table of a generated radiograph, and its fine texture."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

from shared.phantoms.strokes import Grid, Map

ATTENUATION_PER_CM = 0.19  # water, filtered 120 kV beam
PHOTONS_PER_CM2 = 2.0e6


def texture(grid: Grid, rng: np.random.Generator) -> Map:
    """Interstitial texture of unit deviation at three scales."""
    total = np.zeros(grid.shape, np.float32)
    for scale_cm, share in ((0.3, 0.4), (0.8, 0.5), (2.5, 0.6)):
        coarse = tuple(int(side * grid.spacing / scale_cm) + 4 for side in grid.shape)
        field = rng.standard_normal(coarse, dtype=np.float32)
        factors = (grid.shape[0] / (coarse[0] - 1), grid.shape[1] / (coarse[1] - 1))
        total += share * zoom(field, factors, order=1)[: grid.shape[0], : grid.shape[1]]
    return total


def expose(
    tissue: Map, grid: Grid, rng: np.random.Generator, detail: tuple[float, float] = (0.4, 0.9)
) -> NDArray[np.uint16]:
    """Beam, scatter, quantum noise and the console's look-up: pixels for presentation, 12 bits.

    `detail` bounds the share by which the console lifts what is finer than 2 cm.
    """
    primary = np.exp(-ATTENUATION_PER_CM * tissue)
    step = max(1, grid.shape[0] // 128)
    scatter = gaussian_filter(primary[::step, ::step], 3.0 / (grid.spacing * step), mode="nearest")
    beam = primary + rng.uniform(0.15, 0.35) * np.minimum(_enlarge(scatter, grid.shape), 3 * primary)
    dose = PHOTONS_PER_CM2 * rng.uniform(0.4, 1.6) * grid.spacing**2
    counts = beam * dose
    counts += np.sqrt(counts) * rng.standard_normal(grid.shape, dtype=np.float32)
    density = -np.log(np.clip(counts / dose, 1e-4, None)) / ATTENUATION_PER_CM
    coarse = _enlarge(gaussian_filter(density[::step, ::step], 2.0 / (grid.spacing * step)), grid.shape)
    return _present(density + rng.uniform(*detail) * (density - coarse), rng)


def _enlarge(coarse: Map, shape: tuple[int, int]) -> Map:
    """`coarse` interpolated to `shape`."""
    return zoom(coarse, (shape[0] / coarse.shape[0], shape[1] / coarse.shape[1]), order=1)


def _present(density: Map, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Sigmoid look-up between lung and mediastinum, as a console would choose it."""
    low, high = np.percentile(density[density > 2.0][::16], [8, 92])
    middle = low + (high - low) * rng.uniform(0.42, 0.56)
    slope = rng.uniform(3.2, 4.2) / (high - low)
    shown = 1 / (1 + np.exp(-slope * (density - middle)))
    return np.clip(np.round(shown * 4095), 0, 4095).astype(np.uint16)
