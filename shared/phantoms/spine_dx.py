"""A made-up whole-spine radiograph of exactly known Cobb angle: what cobb_angle learns from and is measured on."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter, zoom

from shared.phantoms import thorax
from shared.phantoms.exposure import expose, texture
from shared.phantoms.spine import CURVES, Spine, Vertebra, cobb_angle, draw_spine
from shared.phantoms.strokes import Ellipsoid, Grid, Map, Points, Ribbon, draw_ellipsoid, draw_ribbons, pixel_grid

_WAIST = 0.1  # how far a body's sides curve in, of its half width
_EDGE_CM = 0.035
_DETAIL = (1.0, 2.0)  # consoles even out a whole spine's film more than a chest's


@dataclass(frozen=True)
class SpineRadiograph:
    """Pixels (rows, columns) uint16, 12 bits used, bright where dense, and the truth of T1 to L5.

    `corners` (17, 4, 2) are column, row from the top left corner of the top left pixel: upper left, upper right, lower
    left, lower right as seen. The angle holds in millimetres: column x spacing_mm[1], row x spacing_mm[0].
    """

    pixels: NDArray[np.uint16]
    corners: NDArray[np.float64]
    spacing_mm: tuple[float, float]
    curve: str
    cobb_degrees: float
    end_vertebrae: tuple[int, int]


class _Film(NamedTuple):
    """Height of the film, where T1 and the midline lie on it, in cm; its pixels' aspect."""

    height_cm: float
    top_cm: float
    middle_cm: float
    aspect: float


def spine_radiograph(
    seed: int,
    cobb_degrees: float | None = None,
    curve: str | None = None,
    size: tuple[int, int] = (1024, 464),
    aspect: float | None = None,
) -> SpineRadiograph:
    """Generate the antero-posterior whole-spine radiograph of one made-up person.

    Args:
        seed: the same seed gives the same person and noise at a given size.
        cobb_degrees: the angle, met exactly; None draws up to 10 for a straight spine and 10 to 70 for a curve.
        curve: one of `spine.CURVES`; None draws one.
        size: rows, columns.
        aspect: distance between columns over that between rows; None draws 1 for most and 0.7 to 1.4 for the others.

    Raises:
        ValueError: for an unknown curve, an angle outside 0 to 90, a side under 64 pixels or a strange aspect.
    """
    if min(size) < 64 or not 0.5 <= (aspect or 1.0) <= 2.0:
        raise ValueError(f"size must be at least 64 pixels and aspect 0.5 to 2, not {size} and {aspect}")
    person, body, noise = np.random.default_rng(seed).spawn(3)
    kind = str(person.choice(CURVES)) if curve is None else curve
    angle = float(person.uniform(0, 10) if kind == "straight" else person.uniform(10, 70))
    spine = draw_spine(person, kind, angle if cobb_degrees is None else cobb_degrees, person.normal(0, 1.5))
    film = _film(person, spine, aspect)
    columns = max(64, round(size[1] * film.aspect))
    grid = pixel_grid((size[0], columns), film.height_cm, (film.middle_cm, film.top_cm))
    pixels = expose(_tissue(spine, grid, body), grid, noise, _DETAIL)
    pixels = _collimated(pixels, grid, spine, noise)
    if columns != size[1]:
        pixels = np.clip(zoom(pixels.astype(np.float32), (1, size[1] / columns), order=1, grid_mode=True,
                              mode="nearest"), 0, 4095).astype(np.uint16)  # fmt: skip
    corners = np.stack([vertebra.corners for vertebra in spine.measured])
    found, ends = cobb_angle(corners)
    spacing_x = grid.spacing * columns / size[1]
    places = (corners - [grid.x[0, 0], grid.y[0, 0]]) / [spacing_x, grid.spacing]
    places += 0.5 * np.array([grid.spacing / spacing_x, 1.0])
    return SpineRadiograph(pixels, places, (grid.spacing * 10, spacing_x * 10), kind, found, ends)


def _film(rng: np.random.Generator, spine: Spine, aspect: float | None) -> _Film:
    """How the film lies on the person: the whole spine is on it, with head and hips cut more or less."""
    height = spine.length * rng.uniform(1.4, 1.9)
    top = (height - spine.length) * rng.uniform(0.35, 0.55)
    drawn = rng.uniform(0.7, 1.4) if rng.random() < 0.25 else 1.0
    return _Film(height, top, rng.uniform(-1.5, 1.5), drawn if aspect is None else aspect)


def _tissue(spine: Spine, grid: Grid, rng: np.random.Generator) -> Map:
    """Water-equivalent path of the whole trunk, (rows, columns) in cm."""
    build, size = thorax.draw_build(rng), spine.measured[11].lower[1] / 27.0  # T1 to T12 of the thorax's own drawing
    height = np.clip(grid.y / size + build.apex_y - 1.0, -1, 41)
    chest = Grid(grid.x / size, height.astype(np.float32), grid.spacing / size)
    body = size * thorax.body_thickness(build, chest)
    lungs = size * (thorax.lung_thickness(build, chest, -1) + thorax.lung_thickness(build, chest, 1))
    tissue = body - np.minimum(lungs, 0.9 * body) * (1 - build.lung_density)
    organs, others = np.zeros(grid.shape, np.float32), np.zeros(grid.shape, np.float32)
    for organ in thorax.soft_organs(build, rng):
        y = size * (organ.y - build.apex_y + 1.0)
        semi_x, semi_y = size * organ.semi_x, size * organ.semi_y
        draw_ellipsoid(organs, grid, Ellipsoid(size * organ.x, y, semi_x, semi_y, organ.angle, organ.thickness))
    for other in _others(spine.length, rng):
        draw_ellipsoid(others, grid, other)
    organs = np.minimum(size * gaussian_filter(organs, 0.15 / grid.spacing), 0.72 * lungs + 1.0)
    tissue += 0.9 * organs + others + (0.2 + 0.01 * lungs) * texture(grid, rng)
    bones = np.zeros(grid.shape, np.float32)
    draw_ribbons(bones, grid, [*_ribs(spine, build, size, rng), *_pelvis(spine, rng)])
    density = rng.uniform(0.75, 1.25)
    oblique = rng.uniform(-0.25, 0.25, 2)  # the beam meets the upper and the lower end of the film at a slant
    for number, vertebra in enumerate(spine.vertebrae):
        slant = float(np.interp(number, [0, len(spine.vertebrae) - 1], oblique)) + rng.normal(0, 0.05)
        _draw_vertebra(bones, grid, vertebra, density * rng.uniform(0.9, 1.1), slant)
    return np.clip(tissue, 0.3, None) + bones * (body > 0)


def _others(length: float, rng: np.random.Generator) -> list[Ellipsoid]:
    """The skull's base, and bowel with gas in it."""
    drawn = [Ellipsoid(0.0, -15.5, 7.5, 7.0, 0, 9.0)]
    for _ in range(int(rng.integers(3, 9))):
        x, y = rng.uniform(-11, 11), length * rng.uniform(0.62, 1.1)
        wide, high = rng.uniform(1.0, 3.5, 2)
        drawn.append(Ellipsoid(x, y, float(wide), float(high), rng.uniform(0, 180), -rng.uniform(0.8, 3.0)))
    return drawn


def _ribs(spine: Spine, build: thorax.Build, size: float, rng: np.random.Generator) -> list[Ribbon]:
    """Twelve pairs of ribs, each from its own vertebra around the chest, and the clavicles."""
    bones = []
    for number, vertebra in enumerate(spine.measured[:12]):
        start = (vertebra.upper + vertebra.lower) / 2
        wall = size * build.lung_width * (0.45 + 0.55 * min(1.0, (number + 1) / 6) - 0.06 * max(0, number - 8))
        turn = np.deg2rad(np.linspace(0, 150 if number < 10 else 80 - 20 * (number - 10), 70))
        drop = size * build.rib_drop * min(1.0, 0.35 + 0.1 * number)
        for side in thorax.SIDES:
            head = vertebra.half_width[0] * np.cos(vertebra.upper_tilt)
            x = start[0] * np.cos(turn / 2) + side * (head + (wall - head) * np.sin(turn) ** 0.95)
            y = start[1] + side * head * vertebra.upper_tilt + drop * (1 - np.cos(turn)) / 2 - 0.6 * np.sin(2 * turn)
            front = np.clip((turn - 1.3) / 0.6, 0, 1)
            weight = build.rib_density * (1.5 - 0.9 * front) * np.clip((turn[-1] - turn) / 0.3, 0, 1)
            bones.append(Ribbon(np.stack([x, y], axis=1), 0.48 + 0.15 * front, weight, rim=0.55))
    lift = rng.uniform(-2.5, 0.5)
    for side in thorax.SIDES:
        path = np.array([[1.8, 2.5], [6.0, 1.2], [10.5, 0.6 + lift / 2], [15.0, lift]]) * [side * size, size]
        bones.append(Ribbon(path, np.full(4, 0.6), np.full(4, 1.8 * build.rib_density), rim=0.6))
    return bones


def _pelvis(spine: Spine, rng: np.random.Generator) -> list[Ribbon]:
    """The wings of the ilium, the rest of the sacrum and the heads of the femora."""
    x, y = spine.vertebrae[-1].lower
    wide, bones = rng.uniform(0.9, 1.1), []
    for side in thorax.SIDES:
        crest, blade, femur = (
            _smooth(np.array(path) * [side * wide, 1] + [x, y])
            for path in (
                [[3.0, 2.0], [4.6, -0.8], [7.5, -3.0], [11.0, -2.6], [13.0, 0.0], [13.0, 4.0], [11.0, 8.5]],
                [[3.5, 1.0], [6.5, 1.5], [9.0, 5.0], [10.0, 9.0]],
                [[9.8, 11.0], [10.6, 12.0], [13.0, 14.0], [14.6, 17.0], [15.0, 30.0]],
            )
        )
        bones.append(Ribbon(crest, np.full(len(crest), 0.5), np.full(len(crest), 1.3), rim=0.4))
        bones.append(Ribbon(blade, np.interp(blade[:, 1] - y, [1, 4, 9], [2.2, 3.2, 1.6]), np.full(len(blade), 0.9)))
        widths = np.interp(femur[:, 1] - y, [11, 13, 14, 18], [2.3, 1.7, 1.8, 1.5])
        bones.append(Ribbon(femur, widths, np.full(len(femur), 2.0), rim=0.3))
    sacrum = np.array([[x, y], [x, y + 4.0], [x, y + 8.5]])
    return [*bones, Ribbon(sacrum, np.array([3.4, 2.6, 1.0]), np.array([1.4, 1.2, 0.8]))]


def _smooth(points: Points) -> Points:
    """A smooth path of 60 points through the given ones."""
    return PchipInterpolator(np.arange(len(points)), points)(np.linspace(0, len(points) - 1, 60))


def _draw_vertebra(bones: Map, grid: Grid, vertebra: Vertebra, density: float, slant: float) -> None:
    """Add one vertebra: body between its two end plates, cortex, pedicles, spinous and transverse processes."""
    middle, reach = (vertebra.upper + vertebra.lower) / 2, 2.2 * max(vertebra.half_width)
    rows, columns = (
        slice(*np.clip(np.searchsorted(axis.ravel(), [centre - reach, centre + reach]), 0, axis.size))
        for axis, centre in ((grid.y, middle[1]), (grid.x, middle[0]))
    )
    x, y = np.broadcast_arrays(grid.x[:, columns], grid.y[rows])
    if not x.size:
        return
    below, along_upper = _from_plate(x, y, vertebra.upper, vertebra.upper_tilt)
    above, along_lower = _from_plate(x, y, vertebra.lower, vertebra.lower_tilt)
    above = -above
    height = np.linalg.norm(vertebra.lower - vertebra.upper)
    share = np.clip(below / height, -0.5, 1.5)
    half = vertebra.half_width[0] * (1 - share) + vertebra.half_width[1] * share
    across = (along_upper * (1 - share) + along_lower * share) / half  # -1 and 1 at the corners
    side = across / (1 - _WAIST * np.clip(4 * share * (1 - share), 0, 1))
    inside = _soft(below) * _soft(above)
    chord = np.sqrt(np.clip(1 - side**2, 0, 1))
    shell = chord - np.sqrt(np.clip(0.86**2 - side**2, 0, 1))
    rims = sum(
        _plate(below - sign * slant * chord) + _plate(above + sign * slant * chord) for sign in (0, 1)
    ) * (np.abs(across) < 1)  # fmt: skip
    drawn = inside * (0.9 * np.sqrt(chord) + 0.8 * shell) + 0.4 * rims * (0.3 + 0.7 * (chord > 0))
    drawn += _processes(across - 0.5 * vertebra.rotation, across, share, half / height)
    bones[rows, columns] += density * drawn.astype(np.float32)


def _from_plate(x: Map, y: Map, centre: NDArray[np.float64], tilt: float) -> tuple[Points, Points]:
    """Distance below the line of an end plate, and along it from its middle, in cm."""
    dx, dy = x - centre[0], y - centre[1]
    return dy * np.cos(tilt) - dx * np.sin(tilt), dx * np.cos(tilt) + dy * np.sin(tilt)


def _soft(depth: Points) -> Points:
    """From 0 outside to 1 inside over the focal spot's blur."""
    return 1 / (1 + np.exp(-np.clip(depth / _EDGE_CM, -30, 30)))


def _plate(distance: Points) -> Points:
    """The bright line of an end plate."""
    return np.exp(-((distance / 0.09) ** 2))


def _processes(turned: Points, across: Points, share: Points, flatness: Points) -> Points:
    """Pedicles as rings, the spinous process as a drop, the transverse processes as faint bars."""
    total = np.zeros_like(across)
    for side in thorax.SIDES:
        ring = np.hypot((turned - 0.62 * side) / 0.17, (share - 0.32) / (0.2 * np.clip(flatness * 1.6, 0.8, 1.4)))
        total += 0.75 * np.exp(-(((ring - 1) / 0.3) ** 2)) + 0.25 * (ring < 1)
        bar = np.exp(-(((share - 0.35) / 0.13) ** 2))
        total += 0.35 * bar * _soft((across * side - 0.9) * 0.5) * _soft((1.55 - across * side) * 0.5)
    drop = np.hypot((turned + 0.7 * (turned - across)) / 0.12, (share - 0.75) / 0.38)
    return total + 0.7 * np.exp(-(drop**4))


def _collimated(pixels: NDArray[np.uint16], grid: Grid, spine: Spine, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Some films with a black shutter outside the spine, most with a letter at the side."""
    corners = np.concatenate([vertebra.corners for vertebra in spine.measured])
    shown = pixels.copy()
    x, y = grid.x[0], grid.y[:, 0]
    if rng.random() < 0.7:
        left, top = x[-1] - rng.uniform(3, 5), y[0] + rng.uniform(2, 8)
        shown[np.ix_((y > top) & (y < top + 1.6), (x > left) & (x < left + 0.35))] = 4095
        shown[np.ix_((y > top + 1.3) & (y < top + 1.6), (x > left) & (x < left + 1.1))] = 4095
    if rng.random() < 0.4:
        low, high = corners.min(0) - rng.uniform(1, 9, 2), corners.max(0) + rng.uniform(1, 9, 2)
        shown[(y < low[1]) | (y > high[1])] = 0
        shown[:, (x < low[0]) | (x > high[0])] = 0
    return shown
