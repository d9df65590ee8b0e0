"""The anatomy of the generated chest: where lungs, heart, bones and vessels lie, and how thick they are."""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from shared.phantoms.strokes import Ellipsoid, Grid, Map, Points, Ribbon

APEX = 4.6
SIDES = (-1, 1)  # patient's right lies at the image's left


@dataclass(frozen=True)
class Build:
    """One made-up person; lengths in cm, y counted from the top of the image."""

    lung_width: float
    apex_y: float
    dome_right: float
    dome_left: float
    depth: float
    heart: float
    heart_tilt: float
    rib_pitch: float
    rib_drop: float
    rib_density: float
    breast: float
    gastric_air: float
    lung_density: float
    border: float


def draw_build(rng: np.random.Generator) -> Build:
    """A random build within ordinary adult proportions."""
    dome = rng.uniform(23.0, 27.5)
    return Build(
        lung_width=rng.uniform(11.8, 14.2),
        apex_y=rng.uniform(2.6, 4.4),
        dome_right=dome,
        dome_left=dome + rng.uniform(0.3, 1.6),
        depth=rng.uniform(18.0, 25.0),
        heart=rng.uniform(0.85, 1.18),
        heart_tilt=rng.uniform(22.0, 48.0),
        rib_pitch=rng.uniform(2.2, 2.55),
        rib_drop=rng.uniform(6.5, 9.5),
        rib_density=rng.uniform(0.75, 1.3),
        breast=rng.choice([0.0, rng.uniform(1.0, 3.2)]),
        gastric_air=rng.uniform(0.0, 5.0),
        lung_density=rng.uniform(0.22, 0.34),
        border=rng.uniform(0, 2 * np.pi),
    )


def dome_of(build: Build, side: int) -> float:
    """Height of the diaphragm's dome on one side."""
    return build.dome_left if side > 0 else build.dome_right


def lung_thickness(build: Build, grid: Grid, side: int) -> Map:
    """Front-to-back extent of one lung, (rows, columns) in cm."""
    lateral_x = side * grid.x
    dome = dome_of(build, side)
    base = dome + 4.5
    level = np.clip((grid.y - build.apex_y) / (base - build.apex_y), 0, 1)
    lateral = APEX + (build.lung_width - APEX) * np.sqrt(1 - (1 - level) ** 3.4)
    medial = 2.1 + 0.45 * np.sin(grid.y / 2.6 + side * build.border) + (APEX - 2.0) * np.exp(-level / 0.05)
    bow = (lateral_x - 5.0) / (build.lung_width - 5.0)
    floor = dome + 4.6 * np.clip(bow, 0, None) ** 2.4 + 1.6 * np.clip(-bow, 0, None) ** 2
    wall = np.minimum(lateral_x - medial, lateral - lateral_x)
    thickest = (0.42 + 0.33 * level**0.7) * build.depth
    return thickest * _round(wall / 4.5) * _round((floor - grid.y) / 3.5) * (grid.y > build.apex_y)


def _round(depth: Map) -> Map:
    """Quarter ellipse: 0 at an edge, 1 from depth 1 inwards."""
    return np.sqrt(1 - (1 - np.clip(depth, 0, 1)) ** 2)


def body_thickness(build: Build, grid: Grid) -> Map:
    """Soft tissue from skin to skin, lungs included, (rows, columns) in cm."""
    wall = build.lung_width + 2.4
    heights = [-1, 0.8, 2.2, 3.6, 6, 11, 16, 21, 30, 41]
    widths = [6.4, 7.6, 11, 15.5, 19.5, 22, wall + 4.4, wall + 1.6, wall + 0.6, wall + 0.2]
    half_width = PchipInterpolator(heights, widths)(grid.y).astype(np.float32)
    flatness = PchipInterpolator([0, 4, 11, 21, 41], [0.6, 0.62, 0.9, 1.0, 1.05])(grid.y).astype(np.float32)
    return build.depth * flatness * np.sqrt(np.clip(1 - np.abs(grid.x / half_width) ** 2.5, 0, None))


def soft_organs(build: Build, rng: np.random.Generator) -> list[Ellipsoid]:
    """Heart, great vessels, hila and breasts."""
    bottom = min(build.dome_right, build.dome_left)
    size = build.heart
    organs = [
        Ellipsoid(2.7 * size, bottom - 1.9 * size, 6.9 * size, 4.5 * size, build.heart_tilt, 9.5),
        Ellipsoid(-0.9, bottom - 3.2 * size, 3.1 * size, 5.2 * size, -6, 5.5),
        Ellipsoid(1.9, build.apex_y + rng.uniform(6.8, 8.2), 2.0, 2.1, 0, 4.5),
        Ellipsoid(2.7, build.apex_y + rng.uniform(10.2, 11.6), 2.1, 2.5, 15, 4.0),
        Ellipsoid(-1.5, build.apex_y + 6.5, 1.5, 7.5, 2, 3.0),
        Ellipsoid(1.9, bottom - 4.0, 1.4, 12.0, -2, 2.6),
    ]
    for side in SIDES:
        hilum_x, hilum_y = hilum(build, side)
        organs.append(Ellipsoid(hilum_x, hilum_y, 1.3, 2.3, -side * 18, rng.uniform(1.2, 2.2)))
        organs.append(Ellipsoid(side * 8.2, bottom + 0.5, 6.2, 5.2, side * 12, build.breast))
    return organs


def hilum(build: Build, side: int) -> tuple[float, float]:
    """Where a lung's vessels enter, x and y in cm."""
    return side * 3.9, build.apex_y + (11.3 if side > 0 else 12.1)


def airways(build: Build, rng: np.random.Generator) -> list[Ribbon]:
    """Trachea and main bronchi, as missing tissue."""
    carina = build.apex_y + 9.2
    bend = rng.uniform(-0.5, 0.3)
    trachea = np.array([[0.0, -1.0], [0.0, build.apex_y], [bend, build.apex_y + 5], [bend / 2, carina]])
    tubes = [_tube(trachea, 0.85, -1.5)]
    for side, angle in zip(SIDES, (28, 42), strict=True):
        reach = 4.6 * np.array([side * np.sin(np.deg2rad(angle)), np.cos(np.deg2rad(angle))])
        tubes.append(_tube(np.array([trachea[-1], trachea[-1] + reach]), 0.6, -0.9))
    return tubes


def skeleton(build: Build, rng: np.random.Generator) -> list[Ribbon]:
    """Ribs, clavicles and scapula borders, in cm of water beyond soft tissue."""
    bones: list[Ribbon] = []
    for side in SIDES:
        bones += [_rib(build, rng, side, number) for number in range(10)]
        inner, outer = build.apex_y + rng.uniform(2.8, 4.2), build.apex_y + rng.uniform(-0.6, 1.4)
        clavicle = _smooth([(1.9, inner), (5.0, inner - 0.9), (9.5, outer - 0.5), (13.0, outer), (16.5, outer - 0.6)])
        bones.append(_tube(clavicle * [side, 1], 0.62, 2.1 * build.rib_density, rim=0.6))
        edge = build.lung_width + rng.uniform(-1.2, 1.4)
        scapula = _smooth(
            [(edge + 2.5, 5.5), (edge + 0.4, 9.0), (edge - 0.3, 12.5), (edge + 0.4, 16.0), (edge + 2.4, 17.5)]
        )
        taper = np.sin(np.linspace(0.15, np.pi - 0.1, len(scapula)))
        bones.append(Ribbon(scapula * [side, 1], 0.2 + 0.35 * taper, 0.75 * build.rib_density * taper))
    return bones


def _rib(build: Build, rng: np.random.Generator, side: int, number: int) -> Ribbon:
    """One rib: a hoop that leaves the spine, rounds the chest wall and falls forward."""
    head = build.apex_y + 0.3 + build.rib_pitch * number + rng.normal(0, 0.08)
    drop = build.rib_drop * min(1.0, 0.45 + 0.14 * number)
    level = np.clip((head + drop / 2 - build.apex_y) / (build.dome_right + 4.5 - build.apex_y), 0.05, 1)
    wall = APEX + (build.lung_width - APEX) * np.sqrt(1 - (1 - level) ** 3.4) + 0.45
    turn = np.deg2rad(np.linspace(4, 148 - 3 * number, 90))
    x = 1.7 + (wall - 1.7) * np.sin(turn) ** 0.92
    y = head + drop * (1 - np.cos(turn)) / 2 - 0.75 * np.sin(2 * turn) * np.exp(-turn)
    front = np.clip((turn - 1.35) / 0.6, 0, 1)
    fade = np.clip((turn[-1] - turn) / 0.25, 0, 1) * np.clip(0.3 + turn * 2.5, 0, 1)
    density = build.rib_density * (1.7 - 0.8 * front) * (0.25 + 0.75 * fade) * (1.0 if number < 8 else 0.8)
    return Ribbon(np.stack([side * x, y], axis=1), 0.52 + 0.16 * front, density, rim=0.55)


def spine_and_shoulders(build: Build, rng: np.random.Generator) -> tuple[list[Ellipsoid], list[Ribbon]]:
    """Vertebrae with their pedicles and end plates, and the heads of the humeri."""
    solids: list[Ellipsoid] = []
    plates: list[Ribbon] = []
    for level in range(19):
        y, half = -0.6 + 2.25 * level, 1.25 + 0.03 * level
        for side in SIDES:
            solids.append(Ellipsoid(side * (half - 0.35), y - 0.35, 0.32, 0.5, 0, 0.9))
        solids.append(Ellipsoid(rng.normal(0, 0.08), y + 0.3, 0.28, 0.85, 0, 0.8))
        for edge in (-0.92, 0.92):
            plates.append(_tube(np.array([[-half, y + edge], [half, y + edge]]), 0.16, 0.7))
    spine = np.array([[0.0, -2.0], [rng.normal(0, 0.25), 15.0], [0.0, 42.0]])
    plates.append(_tube(_smooth(spine), 1.5, 1.2))
    solids += [Ellipsoid(side * 18.6, build.apex_y + 2.4, 2.5, 2.7, 0, 3.0) for side in SIDES]
    return solids, plates


def vessels(build: Build, rng: np.random.Generator, side: int) -> list[Ribbon]:
    """One lung's vessel tree, branching from the hilum."""
    x, y = hilum(build, side)
    branches: list[Ribbon] = []
    for angle in np.linspace(-78, 82, 8) + rng.normal(0, 7, 8):
        start = (x + side * rng.uniform(-0.6, 0.8), y + 1.4 * np.sin(np.deg2rad(angle)) + rng.normal(0, 0.3))
        _branch(branches, rng, start, side, float(angle), rng.uniform(0.24, 0.4), 0)
    return branches


def _branch(
    into: list[Ribbon],
    rng: np.random.Generator,
    start: tuple[float, float],
    side: int,
    angle: float,
    radius: float,
    order: int,
) -> None:
    """Draw one vessel from `start`, then its two children."""
    length = rng.uniform(2.0, 3.4) * 0.9**order
    bends = np.deg2rad(angle + np.linspace(0, rng.normal(0, 16), 6))
    steps = np.stack([side * np.cos(bends), np.sin(bends)], axis=1) * length / 6
    path = np.concatenate([[start], np.asarray(start) + np.cumsum(steps, axis=0)])
    widths = np.linspace(radius, 0.82 * radius, len(path))
    into.append(Ribbon(path, widths, 2.6 * widths))
    if order < 4 and radius > 0.07:
        fork = rng.uniform(14, 30)
        for turn, share in ((fork * 0.6, 0.84), (-fork, 0.68)):
            flip = turn if order % 2 else -turn
            _branch(into, rng, (path[-1, 0], path[-1, 1]), side, angle + flip, radius * share, order + 1)


def _tube(path: Points, half_width: float, weight: float, rim: float = 0.0) -> Ribbon:
    """A ribbon of constant width and weight."""
    return Ribbon(path, np.full(len(path), half_width), np.full(len(path), weight), rim)


def _smooth(points: "list[tuple[float, float]] | Points") -> Points:
    """A smooth path of 240 points through the given ones."""
    given = np.asarray(points, dtype=np.float64)
    at = np.linspace(0, len(given) - 1, 240)
    return PchipInterpolator(np.arange(len(given)), given)(at)
