"""Draws curved ribbons and ellipsoids onto an attenuation map: the brushes of the generated chest."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]
Points = NDArray[np.float64]


@dataclass(frozen=True)
class Grid:
    """Pixel grid in centimetres: x (1, columns) from the midline to the image's right, y (rows, 1) from the top."""

    x: Map
    y: Map
    spacing: float

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, columns."""
        return self.y.shape[0], self.x.shape[1]


@dataclass(frozen=True)
class Ribbon:
    """A tube seen from the side: path (n, 2) of x, y in cm; half width in cm and weight in cm of water per point.

    `rim` is the share of the weight that sits in the walls (bone cortex); 0 is a solid tube.
    """

    path: Points
    half_width: Points
    weight: Points
    rim: float = 0.0


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid seen from the front: centre, semi-axes in cm, angle in degrees, thickness in cm of water."""

    x: float
    y: float
    semi_x: float
    semi_y: float
    angle: float
    thickness: float


def pixel_grid(size: tuple[int, int], height_cm: float, shift_cm: tuple[float, float] = (0.0, 0.0)) -> Grid:
    """Grid of `size` (rows, columns) whose height spans `height_cm`, moved by x, y; pixels are square."""
    rows, columns = size
    spacing = height_cm / rows
    x = ((np.arange(columns) - (columns - 1) / 2) * spacing - shift_cm[0]).astype(np.float32)[None, :]
    y = ((np.arange(rows) + 0.5) * spacing - shift_cm[1]).astype(np.float32)[:, None]
    return Grid(x, y, spacing)


def draw_ellipsoid(canvas: Map, grid: Grid, shape: Ellipsoid) -> None:
    """Add the ellipsoid's chord length to `canvas`."""
    reach = max(shape.semi_x, shape.semi_y) / grid.spacing + 1
    row, column = _index(grid, shape.x, shape.y)
    rows = slice(max(0, int(row - reach)), max(0, int(row + reach) + 1))
    columns = slice(max(0, int(column - reach)), max(0, int(column + reach) + 1))
    turn = np.deg2rad(shape.angle)
    dx, dy = grid.x[:, columns] - shape.x, grid.y[rows] - shape.y
    along = (dx * np.cos(turn) + dy * np.sin(turn)) / shape.semi_x
    across = (dy * np.cos(turn) - dx * np.sin(turn)) / shape.semi_y
    canvas[rows, columns] += shape.thickness * np.sqrt(np.clip(1 - along**2 - across**2, 0, None))


def draw_ribbons(canvas: Map, grid: Grid, ribbons: Iterable[Ribbon]) -> None:
    """Add every ribbon's projected thickness to `canvas`."""
    samples = [_samples(ribbon, 0.5 * grid.spacing) for ribbon in ribbons]
    if samples:
        x, y, mass = (np.concatenate(part) for part in zip(*samples, strict=True))
        _splat(canvas, grid, x, y, mass / grid.spacing**2)


def _samples(ribbon: Ribbon, step: float) -> tuple[Points, Points, Points]:
    """Points that fill the ribbon, with weight × area each."""
    lengths = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(ribbon.path, axis=0).T))])
    count = max(2, int(lengths[-1] / step))
    at = np.linspace(0, lengths[-1], count)
    x, y = (np.interp(at, lengths, ribbon.path[:, axis]) for axis in (0, 1))
    half_width, weight = (np.interp(at, lengths, values) for values in (ribbon.half_width, ribbon.weight))
    tangent_x, tangent_y = np.gradient(x), np.gradient(y)
    norm = np.hypot(tangent_x, tangent_y) + 1e-9
    across = max(3, int(np.ceil(2 * half_width.max() / step)))
    offset = (np.arange(across) + 0.5) / across * 2 - 1
    chord = np.sqrt(1 - offset**2)
    inner = np.sqrt(np.clip(0.72**2 - offset**2, 0, None))
    profile = (1 - ribbon.rim) * chord + ribbon.rim * 1.5 * (chord - inner)
    sideways = half_width[:, None] * offset
    area = (lengths[-1] / count) * (2 * half_width / across)
    mass = (weight * area)[:, None] * profile
    points_x = x[:, None] - (tangent_y / norm)[:, None] * sideways
    points_y = y[:, None] + (tangent_x / norm)[:, None] * sideways
    return points_x.ravel(), points_y.ravel(), mass.ravel()


def _splat(canvas: Map, grid: Grid, x: Points, y: Points, mass: Points) -> None:
    """Share each point's mass between the four pixels around it."""
    rows, columns = grid.shape
    row, column = _index(grid, x, y)
    top, left = np.floor(row).astype(np.intp), np.floor(column).astype(np.intp)
    inside = (top >= 0) & (left >= 0) & (top < rows - 1) & (left < columns - 1)
    top, left, mass = top[inside], left[inside], mass[inside]
    down, right = row[inside] - top, column[inside] - left
    flat = top * columns + left
    total = np.bincount(flat, mass * (1 - down) * (1 - right), rows * columns)
    total += np.bincount(flat + 1, mass * (1 - down) * right, rows * columns)
    total += np.bincount(flat + columns, mass * down * (1 - right), rows * columns)
    total += np.bincount(flat + columns + 1, mass * down * right, rows * columns)
    canvas += total.reshape(rows, columns).astype(np.float32)


def _index(grid: Grid, x: "Points | float", y: "Points | float") -> "tuple[Points, Points]":
    """Row and column (fractional) of points in cm."""
    return (
        np.asarray((y - grid.y[0, 0]) / grid.spacing, dtype=np.float64),
        np.asarray((x - grid.x[0, 0]) / grid.spacing, dtype=np.float64),
    )
