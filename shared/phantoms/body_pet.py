"""A made-up FDG PET from the thighs to the head, with lesions planted among what takes up glucose in everybody."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d

Array = NDArray[np.float32]
Point = tuple[float, float, float]

FIELD_MM = 500.0
LENGTH_MM = 1050.0
"""From the middle of the thighs to the top of the head."""
_EDGE_MM = 4.0
_RESOLUTION_MM = 6.5  # full width at half maximum
_SIDES = (-1, 1)

# Where lesions are planted: centre and spread in mm, x to the patient's left, y to the back, z to the head.
_STATIONS: tuple[tuple[Point, Point], ...] = (
    ((45, 5, 850), (12, 15, 35)),  # cervical
    ((75, 10, 775), (20, 15, 10)),  # supraclavicular
    ((120, 20, 720), (10, 12, 20)),  # axillary
    ((10, -10, 700), (20, 25, 40)),  # mediastinal
    ((45, 20, 690), (8, 10, 20)),  # hilar
    ((12, 40, 480), (15, 10, 60)),  # para-aortic
    ((55, 30, 330), (10, 15, 30)),  # iliac
    ((75, -40, 215), (12, 10, 15)),  # inguinal
    ((0, 75, 560), (5, 5, 180)),  # bone marrow of the spine
)  # fmt: skip


@dataclass(frozen=True)
class Lesion:
    """One planted lesion: its centre (slice, row, column) in the volume's indices, its radius in mm, its SUV."""

    place: Point
    radius_mm: float
    suv: float


@dataclass(frozen=True)
class BodyPet:
    """Axial slices, feet first, with rows to the back and columns to the patient's left.

    `volume` is (slices, rows, columns) float32 of SUV by body weight; `spacing_mm` is between slices and between
    pixels; `shows` (slices,) is where a lesion takes at least a third of the slice's thickness.
    """

    volume: Array
    lesions: list[Lesion]
    spacing_mm: tuple[float, float]
    shows: NDArray[np.bool_]


@dataclass(frozen=True)
class _Grid:
    """Places of the voxels in mm of an average person, each shaped to stretch over the volume."""

    x: Array
    y: Array
    z: Array

    @classmethod
    def of(cls, slices: int, pixels: int, size: float) -> "_Grid":
        """`size` makes the person large or small across."""
        across = ((np.arange(pixels) + 0.5) * FIELD_MM / pixels - FIELD_MM / 2).astype(np.float32)
        up = ((np.arange(slices) + 0.5) * LENGTH_MM / slices).astype(np.float32)
        wide = np.asarray(across / np.float32(size))
        return cls(wide[None, None, :], wide[None, :, None], up[:, None, None])

    def inside(self, centre: Point, radii: Point) -> Array:
        """1 within an ellipsoid, 0 outside, soft at its edge."""
        x, y, z = ((axis - c) / r for axis, c, r in zip((self.x, self.y, self.z), centre, radii, strict=True))
        distance = (np.sqrt(x * x + y * y + z * z) - 1) * np.float32(min(radii))
        return np.clip(0.5 - distance / np.float32(_EDGE_MM), 0, 1)


def body_pet(seed: int, lesions: int | None = None, slices: int = 150, size: int = 96) -> BodyPet:
    """Generate the PET of one made-up person.

    Args:
        seed: the same seed gives the same person, scan, lesions and noise at given slices and size.
        lesions: how many to plant; None draws none in one of four people, else 1 to 8.
        slices: from the middle of the thighs to the top of the head, 1050 mm.
        size: rows and columns; the field is always 500 mm.

    Raises:
        ValueError: for a negative count, fewer than 8 slices, or a size under 32 pixels.
    """
    if (lesions is not None and lesions < 0) or slices < 8 or size < 32:
        raise ValueError(f"lesions must be 0 or more, slices at least 8, size at least 32: {lesions}, {slices}, {size}")
    anatomy, planting, noise = np.random.default_rng(seed).spawn(3)
    grid = _Grid.of(slices, size, anatomy.uniform(0.88, 1.1))
    image = _person(grid, anatomy)
    count = int(planting.integers(1, 9)) * int(planting.random() > 0.25) if lesions is None else lesions
    planted = [_plant(image, grid, planting) for _ in range(count)]
    shows = np.zeros(slices, np.bool_)
    for centre, radius, _ in planted:
        shows |= _shown(grid, centre[2], radius, LENGTH_MM / slices)
    found = [Lesion(_in_voxels(grid, centre), radius, suv) for centre, radius, suv in planted]
    return BodyPet(_acquired(image, noise), found, (LENGTH_MM / slices, FIELD_MM / size), shows)


def _person(grid: _Grid, rng: np.random.Generator) -> Array:
    """SUV of somebody without lesions."""
    body = _body(grid)
    image = body * np.float32(rng.uniform(0.5, 0.9))

    def paint(centre: Point, radii: Point, suv: float) -> None:
        x, y, z = centre + rng.normal(0, 3, 3)
        a, b, c = radii * rng.uniform(0.85, 1.15, 3)
        cover = grid.inside((x, y, z), (a, b, c))
        image[...] = image * (1 - cover) + np.float32(suv) * cover

    for side in _SIDES:
        paint((side * 75, 0, 690), (55, 75, 110), rng.uniform(0.25, 0.45))  # lung
    paint((-70, 5, 560), (75, 70, 60), rng.uniform(1.8, 2.8))  # liver
    paint((85, 35, 575), (30, 35, 45), rng.uniform(1.4, 2.2))  # spleen
    heart = rng.choice([rng.uniform(1.0, 2.0), rng.uniform(3.0, 11.0)])
    paint((30, -25, 640), (40, 38, 40), heart)
    paint((30, -25, 645), (22, 20, 24), 1.8)  # blood in it
    for side in _SIDES:
        paint((side * 55, 45, 490), (22, 22, 48), rng.uniform(2.0, 4.0))  # kidney
        paint((side * 50, 40, 490), (8, 8, 22), rng.uniform(4.0, 14.0))  # its pelvis
        if rng.random() < 0.4:
            paint((side * 35, 40, rng.uniform(300, 430)), (4, 4, 18), rng.uniform(4.0, 12.0))  # urine in a ureter
        paint((side * 22, 5, 870), (8, 10, 14), rng.uniform(1.5, 4.5))  # tonsil
    paint((0, -10, 250), (35, 30, 28), rng.uniform(6.0, 35.0))  # bladder
    paint((0, 0, 985), (65, 80, 58), rng.uniform(6.0, 12.0))  # brain
    paint((0, -25, 600), (25, 20, 20), rng.uniform(1.0, 3.0))  # stomach
    for _ in range(rng.integers(4, 14)):  # gut
        place = (rng.uniform(-90, 90), rng.uniform(-70, 10), rng.uniform(300, 500))
        paint(place, (rng.uniform(8, 25), rng.uniform(8, 18), rng.uniform(8, 30)), rng.uniform(1.2, 4.5))
    if rng.random() < 0.3:  # brown fat
        for side in _SIDES:
            for height in (770, 800):
                paint((side * rng.uniform(50, 90), 35, height), (14, 10, 10), rng.uniform(2.0, 6.0))
    return np.asarray(image * body, np.float32)


def _body(grid: _Grid) -> Array:
    """1 within the skin: thighs, trunk, neck and head, each an ellipsoid much longer than its part."""
    parts = [grid.inside((0, 0, 480), (175, 110, 400)), grid.inside((0, 5, 850), (62, 65, 140))]
    parts += [grid.inside((0, 0, 980), (80, 98, 90))]
    parts += [grid.inside((side * 90, 0, 60), (80, 85, 330)) for side in _SIDES]
    return np.maximum.reduce(parts)


def _plant(image: Array, grid: _Grid, rng: np.random.Generator) -> tuple[Point, float, float]:
    """Adds one lesion to the image; its centre in mm of the person, its radius and its SUV."""
    (x, y, z), (across, deep, high) = _STATIONS[int(rng.integers(len(_STATIONS)))]
    side = float(rng.choice(_SIDES))
    centre = (side * x + rng.normal(0, across), y + rng.normal(0, deep), z + rng.normal(0, high))
    radius, suv = float(rng.uniform(6, 18)), float(rng.uniform(3.5, 14))
    a, b, c = radius * rng.uniform(0.8, 1.2, 3)
    np.maximum(image, np.float32(suv) * grid.inside(centre, (a, b, c)), out=image)
    return centre, radius, suv


def _shown(grid: _Grid, height: float, radius: float, thickness: float) -> NDArray[np.bool_]:
    centres = grid.z[:, 0, 0]
    low = np.maximum(centres - thickness / 2, height - 0.8 * radius)
    high = np.minimum(centres + thickness / 2, height + 0.8 * radius)
    return np.asarray(high - low >= thickness / 3)


def _in_voxels(grid: _Grid, centre: Point) -> Point:
    pixel, between = float(grid.x[0, 0, 1] - grid.x[0, 0, 0]), float(grid.z[1, 0, 0] - grid.z[0, 0, 0])
    x, y, z = (c - float(axis.flat[0]) for c, axis in zip(centre, (grid.x, grid.y, grid.z), strict=True))
    return z / between, y / pixel, x / pixel


def _acquired(image: Array, rng: np.random.Generator) -> Array:
    """Blurred as the camera does, with noise that grows with the uptake."""
    sigma = _RESOLUTION_MM / 2.355
    pixel = FIELD_MM / image.shape[1]
    seen = gaussian_filter(image, (0, sigma / pixel, sigma / pixel))
    seen = gaussian_filter1d(seen, sigma * image.shape[0] / LENGTH_MM, axis=0)
    grain = gaussian_filter(rng.standard_normal(image.shape, np.float32), (0, 0.8, 0.8))
    strength = rng.uniform(0.05, 0.16) / max(float(grain.std()), 1e-6)
    return np.maximum(seen + grain * np.float32(strength) * np.sqrt(seen + 0.05), 0).astype(np.float32)
