"""A made-up PA chest radiograph with opacities planted at known places: what the demo sends and models train on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter

from shared.phantoms import thorax
from shared.phantoms.exposure import expose, texture
from shared.phantoms.strokes import Ellipsoid, Grid, Map, draw_ellipsoid, draw_ribbons, pixel_grid

FIELD_HEIGHT_CM = 36.0


@dataclass(frozen=True)
class Opacity:
    """One planted opacity: centre and radius in pixels, peak contrast in cm of water."""

    row: float
    column: float
    radius_px: float
    contrast: float


@dataclass(frozen=True)
class ChestRadiograph:
    """Pixels (rows, columns) uint16, 12 bits used, bright where dense; opacities' truth; spacing in mm; the person."""

    pixels: NDArray[np.uint16]
    opacities: list[Opacity]
    spacing_mm: float
    build: thorax.Build


def chest_radiograph(seed: int, opacities: int | None = None, size: tuple[int, int] = (1024, 1024)) -> ChestRadiograph:
    """Generate the radiograph of one made-up person.

    Args:
        seed: the same seed gives the same person, opacities and noise at a given size.
        opacities: how many to plant (0 to 3 are sensible); None draws none half of the time, else 1 to 3.
        size: rows, columns; the height always spans 36 cm.

    Raises:
        ValueError: for a negative count or a side under 64 pixels.
    """
    if (opacities is not None and opacities < 0) or min(size) < 64:
        raise ValueError(f"opacities must be 0 or more and size at least 64 pixels, not {opacities} and {size}")
    anatomy, lesions, noise = np.random.default_rng(seed).spawn(3)
    build = thorax.draw_build(anatomy)
    grid = pixel_grid(size, FIELD_HEIGHT_CM, (anatomy.uniform(-1.2, 1.2), anatomy.uniform(-0.5, 2.0)))
    lungs = thorax.lung_thickness(build, grid, -1) + thorax.lung_thickness(build, grid, 1)
    tissue, organs = _tissue(build, grid, lungs, anatomy)
    count = int(lesions.integers(1, 4)) * int(lesions.integers(0, 2)) if opacities is None else opacities
    planted = _plant(tissue, grid, (lungs > 5.0) & (organs < 1.5), count, lesions)
    return ChestRadiograph(expose(tissue, grid, noise), planted, grid.spacing * 10, build)


def _tissue(build: thorax.Build, grid: Grid, lungs: Map, rng: np.random.Generator) -> tuple[Map, Map]:
    """Water-equivalent path of the whole chest and of its soft organs, (rows, columns) in cm."""
    organs = np.zeros(grid.shape, np.float32)
    for organ in thorax.soft_organs(build, rng):
        draw_ellipsoid(organs, grid, organ)
    organs = gaussian_filter(organs, 0.15 / grid.spacing)  # the heart beats during the exposure
    in_lung = np.clip(lungs / 6.0, 0, 1)
    body = thorax.body_thickness(build, grid)
    tissue = body - np.minimum(lungs, 0.9 * body) * (1 - build.lung_density)
    trees = np.zeros(grid.shape, np.float32)
    for side in thorax.SIDES:
        draw_ribbons(trees, grid, thorax.vessels(build, rng, side))
    tissue += np.minimum(organs, 0.72 * lungs + 2.0) * 0.9 + trees * in_lung
    tissue += texture(grid, rng) * (0.3 * in_lung + 0.25)
    solids, plates = thorax.spine_and_shoulders(build, rng)
    bones = np.zeros(grid.shape, np.float32)
    for solid in solids:
        draw_ellipsoid(bones, grid, solid)
    draw_ribbons(bones, grid, [*plates, *thorax.skeleton(build, rng)])
    draw_ribbons(tissue, grid, thorax.airways(build, rng))
    stomach = Ellipsoid(5.5, build.dome_left + 2.6, 3.0, 1.5, -8, -build.gastric_air)
    draw_ellipsoid(tissue, grid, stomach)
    return np.clip(tissue, 0, None) + bones * (body > 0), organs


def _plant(
    tissue: Map, grid: Grid, free_lung: NDArray[np.bool_], count: int, rng: np.random.Generator
) -> list[Opacity]:
    """Add `count` opacities to `tissue` where the lung is free of heart and vessels; return their truth."""
    planted: list[Opacity] = []
    step = max(1, grid.shape[0] // 256)
    room = distance_transform_edt(free_lung[::step, ::step]) * step * grid.spacing
    for _ in range(count):
        radius = float(np.exp(rng.uniform(np.log(0.8), np.log(2.6))))
        contrast = float(rng.uniform(1.3, 3.4) * (0.75 + 0.25 * radius))
        rows, columns = np.nonzero(room >= min(0.9 * radius, room.max()))
        pick = int(rng.integers(len(rows)))
        row, column = rows[pick] * step + rng.uniform(0, step), columns[pick] * step + rng.uniform(0, step)
        planted.append(Opacity(float(row), float(column), radius / grid.spacing, contrast))
        _draw_opacity(tissue, grid, planted[-1], rng)
        rows, columns = np.indices(room.shape) * step
        room = np.where(np.hypot(rows - row, columns - column) * grid.spacing > 4.5, room, 0)
    return planted


def _draw_opacity(tissue: Map, grid: Grid, opacity: Opacity, rng: np.random.Generator) -> None:
    """Add a round, soft-edged density with an uneven outline to `tissue`."""
    reach = int(2.5 * opacity.radius_px) + 1
    top, left = max(0, int(opacity.row) - reach), max(0, int(opacity.column) - reach)
    window = tissue[top : int(opacity.row) + reach, left : int(opacity.column) + reach]
    rows = (np.arange(window.shape[0], dtype=np.float32) + top - opacity.row)[:, None]
    columns = (np.arange(window.shape[1], dtype=np.float32) + left - opacity.column)[None, :]
    angle = np.arctan2(rows, columns)
    outline = np.ones_like(angle)
    for order in (2, 3, 5):
        outline += rng.normal(0, 0.12 / order) * np.cos(order * angle + rng.uniform(0, 2 * np.pi))
    distance = np.hypot(rows, columns) / (opacity.radius_px * outline)
    mottle = 1 + 0.1 * texture(Grid(columns, rows, grid.spacing), rng)
    window += opacity.contrast * np.exp(-(distance ** rng.uniform(2.2, 5.0))) * mottle
