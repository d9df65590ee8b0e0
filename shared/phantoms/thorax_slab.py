"""The anatomy of the generated chest CT: body, lungs, heart, bones, airways and vessels in Hounsfield units.

Lengths are in mm, x to the patient's left, y to the back, z to the head; the middle of the lungs lies near the origin.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Point = NDArray[np.float64]
SIDES = (-1, 1)
AIR, LUNG, FAT, SOFT, BONE = -1000.0, -850.0, -100.0, 45.0, 420.0


@dataclass(frozen=True)
class Slab:
    """A block of voxels: x (columns,), y (rows,), z (layers,) in mm, and how soft an edge is there."""

    x: Array
    y: Array
    z: Array
    softness: float

    @property
    def shape(self) -> tuple[int, int, int]:
        """Layers, rows, columns."""
        return len(self.z), len(self.y), len(self.x)

    def ellipsoid(self, centre: tuple[float, float, float], radii: tuple[float, float, float]) -> Array:
        """Signed distance in mm to an ellipsoid, first order, negative inside; an infinite radius makes a cylinder."""
        x, y, z = (
            (axis - middle) / np.float32(radius)
            for axis, middle, radius in zip((self.x, self.y, self.z), centre, radii, strict=True)
        )
        level = np.sqrt(x[None, None, :] ** 2 + y[None, :, None] ** 2 + z[:, None, None] ** 2)
        return (level - 1) * np.float32(min(radii))

    def around(self, low: Point, high: Point) -> "tuple[tuple[slice, slice, slice], Slab] | None":
        """The part between two corners (x, y, z), as slices of an array and as a slab; None where there is nothing."""
        places = [
            slice(int(np.searchsorted(axis, a)), int(np.searchsorted(axis, b)))
            for axis, a, b in zip((self.x, self.y, self.z), low, high, strict=True)
        ]
        if any(place.start >= place.stop for place in places):
            return None
        columns, rows, layers = places
        return (layers, rows, columns), Slab(self.x[columns], self.y[rows], self.z[layers], self.softness)


@dataclass(frozen=True)
class Build:
    """One made-up person."""

    scale: float
    lung: tuple[float, float, float]
    heart: float
    fat: float
    lung_density: float
    enhancement: float
    rib_phase: float
    shift: tuple[float, float]


def draw_build(rng: np.random.Generator) -> Build:
    """A random build within ordinary adult proportions, with or without contrast medium."""
    return Build(
        scale=rng.uniform(0.9, 1.08),
        lung=(rng.uniform(54, 64), rng.uniform(78, 96), rng.uniform(125, 150)),
        heart=rng.uniform(0.85, 1.2),
        fat=rng.uniform(6, 24),
        lung_density=rng.uniform(-60, 60),
        enhancement=float(rng.choice([0.0, rng.uniform(60, 260)])),
        rib_phase=rng.uniform(0, 2 * np.pi),
        shift=(rng.uniform(-8, 8), rng.uniform(-8, 8)),
    )


def cover(distance: Array, softness: float) -> Array:
    """Share of a voxel inside a surface at the signed `distance`."""
    share: Array = 1 / (1 + np.exp(np.clip(distance / np.float32(softness), -20, 20)))
    return share


def paint(image: Array, share: Array, value: float | Array) -> None:
    """Mix `value` into `image` by `share`."""
    image += share * (value - image)


def lungs(build: Build, slab: Slab) -> Array:
    """Signed distance to both lungs: ellipsoids cut by the domes of the diaphragm and by the heart."""
    wide, deep, high = build.lung
    best: Array | None = None
    for side in SIDES:
        lung = slab.ellipsoid((side * 70.0, 4.0, 0.0), (wide, deep, high))
        dome = slab.ellipsoid((side * 74.0, 0.0, -150.0 + 6 * side), (72, 96, 72))
        one = np.maximum(lung, -dome)
        best = one if best is None else np.minimum(best, one)
    assert best is not None
    heart = slab.ellipsoid((16.0, -24.0, -48.0), (62 * build.heart, 50 * build.heart, 58))
    middle = slab.ellipsoid((2.0, 4.0, 0.0), (30, 74, np.inf))
    return np.maximum(best, np.maximum(-heart, -middle))


def body(build: Build, slab: Slab, lung: Array) -> Array:
    """Everything but the insides of the lungs, in HU, (layers, rows, columns)."""
    wide, deep, _ = build.lung
    skin = slab.ellipsoid((0.0, 4.0, 0.0), (70 + wide + 20 + build.fat, deep + 22 + build.fat, 420))
    image = np.full(slab.shape, AIR, np.float32)
    paint(image, cover(skin, slab.softness), FAT)
    paint(image, cover(skin + build.fat, slab.softness), SOFT)
    bed = slab.ellipsoid((0.0, deep + 175.0, 0.0), (260, 155, np.inf))
    paint(image, 0.35 * cover(np.abs(bed) - 3, slab.softness), 60.0)
    _paint_bones(build, slab, lung, image)
    blood = SOFT + build.enhancement
    for centre, radii in (
        ((16.0, -24.0, -48.0), (56 * build.heart, 44 * build.heart, 52.0)),
        ((26.0, 48.0, -40.0), (12.0, 12.0, 90.0)),
        ((2.0, -12.0, 48.0), (15.0, 30.0, 15.0)),
        ((-24.0, -14.0, 60.0), (9.0, 9.0, 70.0)),
    ):
        paint(image, cover(slab.ellipsoid(centre, radii), slab.softness), blood)
    return image


def _paint_bones(build: Build, slab: Slab, lung: Array, image: Array) -> None:
    """Spine, breastbone, and ribs as slanting hoops in the wall around the lungs."""
    wide, deep, high = build.lung
    back = deep + 4.0
    paint(image, cover(slab.ellipsoid((0, back, 0), (17, 15, np.inf)), slab.softness), 0.6 * BONE)
    paint(image, cover(slab.ellipsoid((0, back + 22, 0), (9, 7, np.inf)), slab.softness), 30.0)
    paint(image, cover(slab.ellipsoid((0, 2 - deep, 20), (16, 6, 90)), slab.softness), 0.7 * BONE)
    wall = np.full(slab.shape, np.inf, np.float32)
    for side in SIDES:
        hull = slab.ellipsoid((side * 62.0, 4.0, 0.0), (wide + 16, deep + 6, high + 10))
        outer = np.where(side * slab.x > 10, 0, np.inf).astype(np.float32)
        np.minimum(wall, np.abs(hull) - 4.5 + outer[None, None, :], out=wall)
    height = slab.z[:, None, None] + 0.45 * slab.y[None, :, None]
    hoop = np.cos(2 * np.pi * height / 26 + build.rib_phase).astype(np.float32)
    ribs = cover(wall, slab.softness) * cover(2 - lung, slab.softness) * cover((0.35 - hoop) * 4, 1.0)
    paint(image, ribs, BONE)


def airways(rng: np.random.Generator) -> list[tuple[Point, Point, float]]:
    """Trachea and main bronchi as capsules: from, to, radius."""
    carina = np.array([rng.uniform(-4, 4), 10.0, rng.uniform(18, 30)])
    tubes = [(np.array([0.0, 6.0, 170.0]), carina, 8.5)]
    return tubes + [(carina, carina + np.array([side * 42.0, 6.0, -26.0]), 6.0) for side in SIDES]


def vessels(rng: np.random.Generator) -> Iterator[tuple[Point, Point, float]]:
    """The vessel trees of both lungs, branching from the hila, as capsules: from, to, radius."""
    for side in SIDES:
        hilum = np.array([side * 38.0, 4.0, 0.0])
        for _ in range(11):
            direction = rng.normal(0, 1, 3) * [0.75, 1, 1.25] + [side * 0.9, 0, 0]
            start = hilum + rng.normal(0, 1, 3) * [4, 10, 16]
            yield from _branch(rng, start, direction / np.linalg.norm(direction), rng.uniform(2.6, 4.4), 0)


def _branch(
    rng: np.random.Generator, start: Point, direction: Point, radius: float, order: int
) -> Iterator[tuple[Point, Point, float]]:
    """One vessel from `start`, then its two children."""
    end = start + direction * rng.uniform(20, 34) * 0.88**order
    yield start, end, radius
    if order < 4 and radius > 0.7:
        for share in (0.85, 0.66):
            turned = direction + rng.normal(0, 0.42, 3)
            yield from _branch(rng, end, turned / np.linalg.norm(turned), radius * share, order + 1)


def draw_capsule(image: Array, slab: Slab, capsule: tuple[Point, Point, float], value: float, share: Array) -> None:
    """Paint a tube with round ends where `share` (the lung) lets it be seen."""
    start, end, radius = capsule
    reach = radius + 4 * slab.softness
    found = slab.around(np.minimum(start, end) - reach, np.maximum(start, end) + reach)
    if found is None:
        return
    place, part = found
    x, y, z = (axis - at for axis, at in zip((part.x, part.y, part.z), start, strict=True))
    run = end - start
    along = (x[None, None, :] * run[0] + y[None, :, None] * run[1] + z[:, None, None] * run[2]) / (run @ run)
    along = np.clip(along, 0, 1)
    squares = (
        (x[None, None, :] - along * run[0]) ** 2
        + (y[None, :, None] - along * run[1]) ** 2
        + (z[:, None, None] - along * run[2]) ** 2
    )
    distance = (np.sqrt(squares) - radius).astype(np.float32)
    paint(image[place], cover(distance, slab.softness) * share[place], value)
