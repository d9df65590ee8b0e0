"""Draws a made-up axial head MR, so that the demo and the training recipes have a brain that is nobody's."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Array = NDArray[np.float32]
Contrast = Literal["t1", "t2"]

# Relative signal of each tissue; white matter in T1 and liquor in T2 give the scale.
_SIGNAL: dict[Contrast, dict[str, float]] = {
    "t1": {
        "skin": 0.42, "fat": 0.98, "muscle": 0.40, "bone": 0.05, "marrow": 0.52, "dura": 0.34, "csf": 0.13,
        "grey": 0.50, "deep": 0.56, "white": 0.76, "vitreous": 0.14, "mucosa": 0.46, "vessel": 0.10,
    },
    "t2": {
        "skin": 0.34, "fat": 0.62, "muscle": 0.22, "bone": 0.04, "marrow": 0.36, "dura": 0.16, "csf": 0.98,
        "grey": 0.56, "deep": 0.47, "white": 0.38, "vitreous": 0.98, "mucosa": 0.80, "vessel": 0.06,
    },
}  # fmt: skip


@dataclass(frozen=True)
class _Head:
    """Coordinates in mm (x to the left, y to the back, z to the vertex) and the random stream of one head."""

    x: Array
    y: Array
    z: Array
    rng: np.random.Generator

    def ellipsoid(self, centre: tuple[float, float, float], radii: tuple[float, float, float]) -> Array:
        """Signed distance in mm to an ellipsoid, first order, negative inside."""
        parts = [(c - m) / r for c, m, r in zip((self.x, self.y, self.z), centre, radii, strict=True)]
        level = np.sqrt(parts[0] ** 2 + parts[1] ** 2 + parts[2] ** 2)
        slope = np.sqrt(sum((p / r) ** 2 for p, r in zip(parts, radii, strict=True)))
        return (level * (level - 1.0) / np.maximum(slope, 1e-4)).astype(np.float32)


def brain_volume(
    seed: int,
    slices: int = 24,
    size: int = 256,
    spacing_mm: tuple[float, float] = (5.0, 0.9),
    contrast: Contrast = "t1",
    noise: float = 0.015,
) -> Array:
    """An axial head of the given seed, from the skull base (first slice) to the vertex.

    `spacing_mm` is (between slices, between pixels); the slices are centred 12 mm above the
    middle of the third ventricle. `noise` is the standard deviation of the complex noise relative to the
    brightest tissue (Rician magnitude). Returns float32 of shape (slices, rows, columns), rows to the back,
    columns to the patient's left, in arbitrary units of 0 to about 1000.
    """
    rng = np.random.default_rng(seed)
    head = _head_grid(rng, slices, size, spacing_mm)
    signal = _paint(head, _SIGNAL[contrast])
    signal *= _bias_field(signal.shape, rng)
    return _acquire(signal, noise, rng) * np.float32(1000.0)


def _head_grid(rng: np.random.Generator, slices: int, size: int, spacing_mm: tuple[float, float]) -> _Head:
    between, within = spacing_mm
    z, y, x = np.meshgrid(
        (np.arange(slices) - (slices - 1) / 2) * between + 12.0,
        (np.arange(size) - (size - 1) / 2) * within,
        (np.arange(size) - (size - 1) / 2) * within,
        indexing="ij",
        sparse=True,
    )
    turn, nod = np.deg2rad(rng.uniform(-4, 4)), rng.uniform(-0.06, 0.06)
    shift_x, shift_y = rng.uniform(-5, 5), rng.uniform(-6, 6)
    scale = rng.uniform(0.92, 1.06)
    x, y = x - shift_x, y - shift_y
    rolled_x, rolled_y = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
    flat = np.zeros((slices, size, size))
    xs, ys, zs = flat + rolled_x, flat + rolled_y, flat + z + nod * rolled_y
    warps = [_smooth_noise(flat.shape, (between, within), 75.0, rng) for _ in range(3)]
    wx, wy, wz = (np.asarray(c / scale + 1.5 * w, np.float32) for c, w in zip((xs, ys, zs), warps, strict=True))
    return _Head(wx, wy, wz, rng)


def _smooth_noise(
    shape: tuple[int, ...], spacing_mm: tuple[float, float], wavelength_mm: float, rng: np.random.Generator
) -> Array:
    """Unit-variance noise whose features are about `wavelength_mm` across, drawn on a coarse grid."""
    extent = (shape[0] * spacing_mm[0], shape[1] * spacing_mm[1], shape[2] * spacing_mm[1])
    coarse = rng.standard_normal([max(4, int(np.ceil(e / wavelength_mm * 2)) + 3) for e in extent])
    at = [np.linspace(1, c - 2, n) for c, n in zip(coarse.shape, shape, strict=True)]
    grid = np.meshgrid(*at, indexing="ij")
    field = ndimage.map_coordinates(ndimage.gaussian_filter(coarse, 0.7), grid, order=1 if wavelength_mm < 10 else 2)
    return (field / max(float(field.std()), 1e-6)).astype(np.float32)


def _folds(head: _Head, wavelength_mm: float, radial: float) -> Array:
    """Distance in mm to the nearest wall of a labyrinth that stands upright on the surface of the brain.

    The zero set of band-passed noise, looked up mostly by direction, meanders as sulci do.
    """
    cells = 96
    noise = head.rng.standard_normal((cells, cells, cells)).astype(np.float32)
    step = wavelength_mm / 6.0
    band = ndimage.gaussian_filter(noise, 1.5, mode="wrap") - ndimage.gaussian_filter(noise, 2.4, mode="wrap")
    slopes = np.gradient(band)
    steep = np.sqrt(sum(s**2 for s in slopes)) / step
    radius = np.sqrt(head.x**2 + head.y**2 + (head.z * 1.1) ** 2 + 12.0**2)
    stretch = (60.0 + radial * (radius - 60.0)) / radius
    at = np.stack([head.z * 1.1 * stretch, head.y * stretch, head.x * stretch]) / step
    value = ndimage.map_coordinates(band, at, order=1, mode="grid-wrap")
    slope = ndimage.map_coordinates(steep, at, order=1, mode="grid-wrap")
    return (np.abs(value) / np.maximum(slope, 0.35 * float(steep.mean()))).astype(np.float32)


def _over(signal: Array, distance: NDArray[np.floating], value: float | Array, softness_mm: float = 0.45) -> None:
    """Paint `value` where `distance` is negative, with an edge as soft as the scanner's point spread."""
    cover = 1.0 / (1.0 + np.exp(np.clip(distance / softness_mm, -30, 30)))
    signal += cover * (value - signal)


def _paint(head: _Head, tissue: dict[str, float]) -> Array:
    signal = np.zeros(head.x.shape, np.float32)
    brain = np.minimum(
        head.ellipsoid((0, 0, 12), (66, 82, 63)),
        np.maximum(head.ellipsoid((0, 14, -20), (64, 66, 46)), -head.z - 64.0),
    )
    _paint_shell(head, brain, signal, tissue)
    _paint_face(head, signal, tissue)
    _over(signal, brain - 1.2, tissue["csf"])
    _paint_cerebrum(head, brain, signal, tissue)
    _paint_hindbrain(head, signal, tissue)
    _paint_ventricles(head, signal, tissue)
    texture = ndimage.gaussian_filter(head.rng.standard_normal(signal.shape), (0.3, 1.1, 1.1))
    signal *= 1.0 + 0.05 * texture.astype(np.float32)
    return signal


def _paint_shell(head: _Head, brain: Array, signal: Array, tissue: dict[str, float]) -> None:
    """Scalp, muscle, the two tables of the skull with marrow between, and dura: skins around the brain."""
    thick = head.rng.uniform(0.85, 1.2)
    wavy = 0.8 * _smooth_noise(brain.shape, (5.0, 0.9), 40.0, head.rng)
    scalp = brain - (6.0 + 7.0 * thick) - wavy - 1.5 * np.maximum(0.0, head.y / 60.0)
    face = np.maximum(head.ellipsoid((0, -52, -58), (62, 50, 42)), head.z + 26.0)
    outer = np.minimum(scalp, face)
    _over(signal, outer, tissue["skin"])
    _over(signal, outer + 1.8, tissue["fat"])
    temple = np.maximum(np.abs(head.y + 18.0) - 34.0, head.z - 26.0)
    _over(signal, np.maximum(scalp + 3.2, temple), tissue["muscle"], 1.0)
    _over(signal, np.maximum(face + 6.0, 34.0 - np.abs(head.x)), tissue["muscle"], 1.5)
    _over(signal, brain - 8.2 * thick - 0.4 * wavy, tissue["bone"])
    marrow = np.maximum(brain - 6.3 * thick, 4.2 * thick - brain) + 0.5 * wavy
    _over(signal, marrow, tissue["marrow"], 0.7)
    _over(signal, brain - 2.6, tissue["dura"])


def _paint_face(head: _Head, signal: Array, tissue: dict[str, float]) -> None:
    """Orbits with fat, globes and optic muscles, and air cells between them, below the frontal lobes."""
    for side in (-1.0, 1.0):
        _over(signal, head.ellipsoid((side * 31, -72, -42), (20, 24, 16)) - 1.5, tissue["bone"])
        _over(signal, head.ellipsoid((side * 31, -72, -42), (20, 24, 16)), tissue["fat"])
        _over(signal, head.ellipsoid((side * 32, -83, -42), (12.5, 12.5, 12.5)), tissue["grey"])
        _over(signal, head.ellipsoid((side * 32, -83, -42), (11.3, 11.3, 11.3)), tissue["vitreous"])
        _over(signal, head.ellipsoid((side * 32, -91.5, -42), (4.5, 2.0, 4.5)), tissue["muscle"])
        _over(signal, head.ellipsoid((side * 24, -60, -42), (2.2, 16, 2.4)), tissue["white"])
        _over(signal, head.ellipsoid((side * 15, -66, -42), (2.0, 18, 5.0)), tissue["muscle"])
    _over(signal, head.ellipsoid((0, -70, -48), (11, 26, 20)), tissue["mucosa"])
    cells = np.abs(np.sin(head.y / 3.6) * np.sin(head.z / 4.0)) * 4.0 - 2.6
    _over(signal, np.maximum(head.ellipsoid((0, -70, -48), (9, 24, 18)), cells), 0.01)


def _cerebrum(head: _Head, brain: Array) -> Array:
    """Signed distance to the cerebrum: above the floor of the skull, temporal poles below it."""
    floor = -(head.z + 20.0)
    for side in (-1.0, 1.0):
        floor = np.minimum(floor, head.ellipsoid((side * 41, -4, -20), (24, 42, 27)))
    return np.maximum(brain, floor)


def _sulci(head: _Head, brain: Array) -> Array:
    """Distance in mm to the nearest sulcus: labyrinth near the surface, midline, insula, Sylvian fissure."""
    deep_to = 17.0 + 3.5 * np.tanh(_smooth_noise(brain.shape, (5.0, 0.9), 35.0, head.rng))
    sulcus = _folds(head, head.rng.uniform(15.0, 17.5), 0.30) - 0.50 + 0.45 * np.maximum(0.0, -brain - deep_to)
    midline = np.abs(head.x + 0.8 * np.sin(head.y / 17.0)) - 0.9
    callosum = np.hypot((head.y - 4.0) / 1.55, head.z - 4.0)
    fissure = midline + 0.5 * np.maximum(0.0, 22.0 - callosum)
    across = np.abs(head.x)
    level = np.maximum(-12.0 - head.z, head.z - 24.0)
    bow = 0.012 * (head.y + 4.0) ** 2 + 1.2 * np.sin(head.y / 3.1)
    insula = np.maximum(np.maximum(np.abs(across - 38.5 + bow) - 0.7, np.abs(head.y + 4.0) - 19.0), level)
    sylvian = np.abs(head.y + 8.0 - 0.45 * (across - 45.0) + 0.5 * head.z + 2.5 * np.sin(across / 5.0)) * 0.85 - 0.9
    sylvian = np.maximum(np.maximum(sylvian, 37.0 - across), level)
    return np.minimum(np.minimum(sulcus, fissure), np.minimum(insula, sylvian))


def _paint_cerebrum(head: _Head, brain: Array, signal: Array, tissue: dict[str, float]) -> None:
    """Cortex as a ribbon along the surface and the sulci, white matter inside it, basal nuclei."""
    inside = _cerebrum(head, brain)
    sphenoid = np.maximum(np.maximum(brain + 1.5, head.z + 19.0), head.y + 14.0 + 0.05 * head.x**2 / 10.0)
    _over(
        signal,
        sphenoid,
        0.55 * tissue["marrow"] * (1.0 + 0.25 * _smooth_noise(brain.shape, (5.0, 0.9), 9.0, head.rng)),
    )
    walls = _sulci(head, brain)
    _over(signal, np.maximum(inside, -walls), tissue["grey"])
    ribbon = head.rng.uniform(2.4, 2.9) + 0.5 * _smooth_noise(brain.shape, (5.0, 0.9), 12.0, head.rng)
    _over(signal, np.maximum(inside + ribbon, ribbon - walls), tissue["white"], 0.6)
    for side in (-1.0, 1.0):
        _over(signal, head.ellipsoid((side * 26, -2, 6), (6.5, 19, 12)), tissue["deep"], 0.9)
        _over(signal, head.ellipsoid((side * 12, 14, 9), (9.0, 15, 10)), tissue["deep"], 1.1)
        _over(signal, head.ellipsoid((side * 15.5, -20, 16), (5.5, 11, 14)), tissue["deep"], 0.8)
        _over(signal, head.ellipsoid((side * 34, -3, 4), (1.0, 18, 13)), tissue["grey"], 0.7)


def _paint_hindbrain(head: _Head, signal: Array, tissue: dict[str, float]) -> None:
    """Brain stem and cerebellum, whose leaves run crosswise and close together."""
    _over(signal, np.maximum(head.ellipsoid((0, 0, -42), (21, 19, 30)), head.z + 22.0), tissue["csf"], 0.8)
    cerebellum = np.maximum(head.ellipsoid((0, 44, -47), (50, 31, 30)), head.z + 22.0 - 0.12 * head.y)
    _over(signal, cerebellum - 1.6, tissue["csf"])
    _over(signal, cerebellum, tissue["grey"])
    leaves = np.abs(np.sin((head.y + 0.012 * head.x**2 - 0.6 * head.z) / 2.1)) * 2.4 - 0.45
    _over(signal, np.maximum(cerebellum + 0.4, leaves), 0.6 * tissue["csf"] + 0.4 * tissue["grey"])
    for side in (-1.0, 1.0):
        core = head.ellipsoid((side * 19, 40, -46), (19, 13, 13))
        arbor = core - 4.0 * np.maximum(0.0, np.cos((head.y + 0.5 * side * head.x) / 2.4))
        _over(signal, arbor, tissue["white"], 0.9)
    stem = np.maximum(head.ellipsoid((0, 4, -40), (15.5, 14, 34)), head.z + 10.0)
    _over(signal, stem, 0.8 * tissue["white"] + 0.2 * tissue["grey"], 0.7)
    _over(signal, head.ellipsoid((0, -12.5, -42), (2.0, 2.0, 22)), tissue["vessel"], 0.6)


def _paint_ventricles(head: _Head, signal: Array, tissue: dict[str, float]) -> None:
    """Lateral ventricles as bent horns, the third as a slit, the fourth behind the pons."""
    wide = head.rng.uniform(0.9, 1.7)
    for side in (-1.0, 1.0):
        frontal = head.ellipsoid((side * (7.0 + 1.5 * wide), -24, 16), (4.6 * wide, 14, 10))
        body = head.ellipsoid((side * (8.5 + 2.0 * wide), 6, 25), (5.2 * wide, 30, 7.0))
        trigone = head.ellipsoid((side * (21 + 1.5 * wide), 36, 14), (5.8 * wide, 13, 11))
        temporal = head.ellipsoid((side * 32, 8, -14), (2.4 * wide, 17, 3.5))
        for horn in (frontal, body, trigone, temporal):
            _over(signal, horn, tissue["csf"], 0.6)
        _over(signal, head.ellipsoid((side * 22, 33, 13), (2.0, 6, 4)), tissue["grey"], 0.8)
    _over(signal, head.ellipsoid((0, 4, 2), (1.8 * wide, 13, 12)), tissue["csf"], 0.6)
    _over(signal, head.ellipsoid((0, 18, -40), (5.0, 4.0 * wide, 11)), tissue["csf"], 0.6)


def _bias_field(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Receive-coil shading: a smooth field within about 15 % of one."""
    field = 1.0 + 0.055 * np.clip(_smooth_noise(shape, (5.0, 0.9), 110.0, rng), -2.7, 2.7)
    return field.astype(np.float32)


def _acquire(signal: Array, noise: float, rng: np.random.Generator) -> Array:
    """Sample a finite, apodised k-space (slight Gibbs ringing), add complex noise, keep the magnitude."""
    rows, columns = signal.shape[1:]
    k_rows, k_columns = np.meshgrid(np.fft.fftfreq(rows), np.fft.fftfreq(columns), indexing="ij")
    window = 1.0 / (1.0 + np.exp((np.maximum(np.abs(k_rows), np.abs(k_columns)) - 0.44) / 0.012))
    images = np.fft.ifft2(np.fft.fft2(signal, axes=(1, 2)) * window, axes=(1, 2))
    images = images + noise * (rng.standard_normal(signal.shape) + 1j * rng.standard_normal(signal.shape))
    return np.abs(images).astype(np.float32)
