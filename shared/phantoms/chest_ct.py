"""A made-up chest CT with solid nodules planted at known places, among vessels, scars and specks that are none."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from shared.phantoms import thorax_slab
from shared.phantoms.thorax_slab import AIR, FAT, LUNG, SOFT, Array, Slab, cover, draw_capsule, paint

FIELD_MM = 350.0
_LAYER_MM = 2.5  # a slice is the mean of layers of about this thickness
_FREE_MM = 3.0  # lung around a nodule, at least


@dataclass(frozen=True)
class Nodule:
    """One planted nodule: its centre in slices, rows and columns of the volume (0.0 is the centre of the first), its
    radius in mm, and its contrast to the lung in HU."""

    slice: float
    row: float
    column: float
    radius_mm: float
    contrast: float


@dataclass(frozen=True)
class ChestCt:
    """Axial slices, feet first, with rows to the back and columns to the patient's left.

    `volume` is (slices, rows, columns) int16 in HU; `spacing_mm` is between slices and between pixels; `shows`
    (slices,) is where a nodule is to be seen: in a third of the slice's thickness or more, and where it is largest.
    """

    volume: NDArray[np.int16]
    nodules: list[Nodule]
    spacing_mm: tuple[float, float]
    shows: NDArray[np.bool_]


def chest_ct(seed: int, nodules: int | None = None, slices: int | None = None, size: int = 256) -> ChestCt:
    """Generate the CT of one made-up person, all of the lungs or a part of them.

    Args:
        seed: the same seed gives the same person, scan, nodules and noise at given slices and size.
        nodules: how many to plant (0 to 3 are sensible); None draws none half of the time, else 1 to 3.
        slices: how many, 2.5 to 8 mm apart; None draws 8 to 60.
        size: rows and columns; the field is always 350 mm.

    Raises:
        ValueError: for a negative count, no slice, or a size under 64 pixels.
    """
    if (nodules is not None and nodules < 0) or (slices is not None and slices < 1) or size < 64:
        raise ValueError(
            f"nodules must be 0 or more, slices 1 or more and size at least 64: {nodules}, {slices}, {size}"
        )
    anatomy, lesions, scan, noise = np.random.default_rng(seed).spawn(4)
    count = int(np.exp(scan.uniform(np.log(8), np.log(61)))) if slices is None else slices
    between = float(np.clip(scan.uniform(90, 270) / count, 2.5, 8.0))
    rest = max(0.0, 230 - count * between) / 2
    middle = scan.uniform(-rest, rest)
    build = thorax_slab.draw_build(anatomy)
    layers = max(1, round(between / _LAYER_MM))
    slab = _slab(count * layers, between / layers, middle, size, build.shift)
    image, lung = _person(build, slab, anatomy)
    wanted = int(lesions.integers(1, 4)) * int(lesions.integers(0, 2)) if nodules is None else nodules
    planted = _plant(image, slab, lung, wanted, lesions)
    thick = image.reshape(count, layers, size, size).mean(1)
    centres = slab.z.reshape(count, layers).mean(1)
    found = [_in_voxels(nodule, slab, centres, between) for nodule in planted]
    shows = _shows([nodule[0][2] for nodule in planted], [nodule[1] for nodule in planted], centres, between)
    return ChestCt(_acquire(thick, FIELD_MM / size, between, noise), found, (between, FIELD_MM / size), shows)


_Planted = tuple[NDArray[np.float64], float, float]  # centre x, y, z; radius; contrast


def _slab(layers: int, step: float, middle: float, size: int, shift: tuple[float, float]) -> Slab:
    """The scanned block; `shift` is how far the person lies off the middle of the field."""
    pixel = FIELD_MM / size
    across = (np.arange(size) - (size - 1) / 2) * pixel
    up = (np.arange(layers) - (layers - 1) / 2) * step + middle
    x, y, z = (axis.astype(np.float32) for axis in (across - shift[0], across - shift[1], up))
    return Slab(x, y, z, 0.4 * max(pixel, 1.0))


def _person(build: thorax_slab.Build, slab: Slab, rng: np.random.Generator) -> tuple[Array, Array]:
    """HU (layers, rows, columns) of somebody without nodules, and the signed distance to their lungs in mm."""
    lung = thorax_slab.lungs(build, slab)
    image = thorax_slab.body(build, slab, lung)
    inside = cover(lung, slab.softness)
    gravity = np.float32(0.4) * slab.y[None, :, None]
    paint(image, inside, LUNG + build.lung_density + gravity)
    seen = cover(lung + 1.0, slab.softness)
    for capsule in thorax_slab.vessels(rng):
        draw_capsule(image, slab, capsule, SOFT + 0.5 * build.enhancement, seen)
    for tube in thorax_slab.airways(rng):
        draw_capsule(image, slab, tube, AIR + 20, np.ones_like(image))
    _distract(image, slab, lung, rng)
    return image, lung


def _distract(image: Array, slab: Slab, lung: Array, rng: np.random.Generator) -> None:
    """What may be taken for a nodule: calcified specks, flat scars, and fat or fluid along the pleura."""
    for _ in range(rng.integers(0, 5)):
        _blob(image, slab, _place(slab, lung, 2.0, rng), np.full(3, rng.uniform(1.2, 2.2)), rng.uniform(100, 600), rng)
    for _ in range(rng.integers(0, 4)):
        flat = np.array([rng.uniform(1.2, 2.0), rng.uniform(8, 18), rng.uniform(8, 18)])
        _blob(image, slab, _place(slab, lung, 3.0, rng), flat, SOFT - 60, rng)
    if rng.random() < 0.4:
        thick, low = rng.uniform(2, 7), rng.uniform(20, 70)
        rind = cover(lung, slab.softness) * cover(-thick - lung, slab.softness)
        paint(image, rind * cover(low - slab.y, 4.0)[None, :, None], rng.choice([FAT, SOFT - 20]))


def _place(slab: Slab, lung: Array, depth: float, rng: np.random.Generator) -> NDArray[np.float64] | None:
    """Somewhere in the lung at least `depth` mm from its surface, (x, y, z); None where nothing is that deep."""
    layers, rows, columns = np.nonzero(lung[:, ::2, ::2] < -depth)
    if not len(layers):
        return None
    n = int(rng.integers(len(layers)))
    pixel = float(slab.x[1] - slab.x[0])
    corner = np.array([slab.x[2 * columns[n]], slab.y[2 * rows[n]], slab.z[layers[n]]], np.float64)
    return corner + [*rng.uniform(-0.5, 0.5, 2) * pixel, 0.0]


def _blob(
    image: Array,
    slab: Slab,
    centre: NDArray[np.float64] | None,
    radii: NDArray[np.float64],
    value: float,
    rng: np.random.Generator,
    opaque: float = 1.0,
) -> None:
    """Paint an ellipsoid of any direction with a wavy surface; `opaque` is its share against what it covers."""
    found = None if centre is None else slab.around(centre - 1.4 * radii.max() - 4, centre + 1.4 * radii.max() + 4)
    if centre is None or found is None:
        return
    place, part = found
    axes = np.linalg.qr(rng.normal(size=(3, 3)))[0] / radii[:, None]
    x, y, z = np.meshgrid(part.x - centre[0], part.y - centre[1], part.z - centre[2], indexing="ij", sparse=True)
    along = [axis[0] * x + axis[1] * y + axis[2] * z for axis in axes]
    level = np.sqrt(along[0] ** 2 + along[1] ** 2 + along[2] ** 2)
    waves = 0.08 * np.sin(3 * along[0] + rng.uniform(0, 6)) * np.sin(3 * along[1] + rng.uniform(0, 6))
    distance = ((level * (1 + waves) - 1) * radii.min()).transpose(2, 1, 0).astype(np.float32)
    paint(image[place], opaque * cover(distance, slab.softness), value)


def _plant(image: Array, slab: Slab, lung: Array, count: int, rng: np.random.Generator) -> list[_Planted]:
    """Draw nodules into free lung; fewer than `count` where the scan holds too little of it."""
    planted: list[_Planted] = []
    for _ in range(count):
        radius, solid = rng.uniform(5.0, 12.0), rng.uniform(0.6, 1.0)
        centre = _place(slab, lung, radius + _FREE_MM, rng)
        if centre is None:
            continue
        _blob(image, slab, centre, radius * rng.uniform(0.85, 1.15, 3), SOFT, rng, solid)
        planted.append((centre, radius, solid * (SOFT - LUNG)))
    return planted


def _in_voxels(planted: _Planted, slab: Slab, centres: Array, between: float) -> Nodule:
    """The nodule as the volume's indices count."""
    (x, y, z), radius, contrast = planted
    pixel = float(slab.x[1] - slab.x[0])
    row, column = (y - slab.y[0]) / pixel, (x - slab.x[0]) / pixel
    return Nodule(float((z - centres[0]) / between), float(row), float(column), radius, contrast)


def _shows(heights: list[float], radii: list[float], centres: Array, between: float) -> NDArray[np.bool_]:
    """Which slices show a nodule, by how much of their thickness its inner 80 % take."""
    shows = np.zeros(len(centres), np.bool_)
    for height, radius in zip(heights, radii, strict=True):
        low = np.maximum(centres - between / 2, height - 0.8 * radius)
        high = np.minimum(centres + between / 2, height + 0.8 * radius)
        taken = high - low
        shows |= (taken >= between / 3) | (taken == taken.max())
    return shows


def _acquire(image: Array, pixel: float, between: float, rng: np.random.Generator) -> NDArray[np.int16]:
    """Blur by the kernel and add its grainy noise, stronger in thin slices."""
    blur = rng.uniform(0.7, 1.3) / pixel
    grain = gaussian_filter(rng.standard_normal(image.shape, np.float32), (0, *[0.9 / pixel] * 2))
    strength = rng.uniform(12, 40) * np.sqrt(5 / between)
    seen = gaussian_filter(image, (0, blur, blur)) + grain * np.float32(strength / max(float(grain.std()), 1e-6))
    return np.clip(np.round(seen), -1024, 3071).astype(np.int16)
