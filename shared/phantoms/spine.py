"""The anatomy of the generated spine: a curve of known Cobb angle, and the vertebrae that lie along it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.phantoms.strokes import Points

LEVELS = tuple([f"T{n}" for n in range(1, 13)] + [f"L{n}" for n in range(1, 6)])
CURVES = ("straight", "thoracic", "thoracolumbar", "lumbar", "double")
_ABOVE, _BELOW = 3, 1  # C5 to C7 and S1: drawn beside the 17 as they are in a patient, and never measured

# Body height, disc below it and width at the end plates in cm of an adult, C5 to S1.
_AT = (-3, -1, 0, 3, 7, 11, 14, 16, 17)
_HEIGHT = (1.25, 1.4, 1.6, 1.85, 2.05, 2.4, 2.7, 2.75, 2.8)
_DISC = (0.4, 0.4, 0.4, 0.4, 0.5, 0.65, 0.9, 1.0, 0.3)
_WIDTH = (2.2, 2.6, 3.1, 2.75, 3.0, 3.9, 4.4, 5.0, 5.0)


@dataclass(frozen=True)
class Vertebra:
    """One vertebral body: centres of its end plates in cm, their tilt in radians (clockwise positive), half widths."""

    upper: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper_tilt: float
    lower_tilt: float
    half_width: tuple[float, float]  # of the upper and of the lower end plate
    rotation: float  # about its own axis, in radians: the pedicles move to one side

    @property
    def corners(self) -> Points:
        """Upper left, upper right, lower left, lower right as seen on the image: x, y in cm, (4, 2)."""
        upper, lower = (
            half * np.array([np.cos(tilt), np.sin(tilt)])
            for tilt, half in zip((self.upper_tilt, self.lower_tilt), self.half_width, strict=True)
        )
        return np.stack([self.upper - upper, self.upper + upper, self.lower - lower, self.lower + lower])


@dataclass(frozen=True)
class Spine:
    """All that is drawn, from C5 to S1, around x = 0 and with T1's upper end plate at y = 0."""

    vertebrae: tuple[Vertebra, ...]
    curve: str

    @property
    def measured(self) -> tuple[Vertebra, ...]:
        """T1 to L5."""
        return self.vertebrae[_ABOVE:-_BELOW]

    @property
    def length(self) -> float:
        """From T1's upper to L5's lower end plate along y, in cm."""
        return float(self.measured[-1].lower[1] - self.measured[0].upper[1])


def tilts(corners: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Tilt in degrees of the upper and of the lower end plates, each (n,), from corners (n, 4, 2) in square units."""
    steps = corners[:, (1, 3)] - corners[:, (0, 2)]
    angles = np.degrees(np.arctan2(steps[..., 1], steps[..., 0]))
    return angles[:, 0], angles[:, 1]


def cobb_angle(corners: NDArray[np.float64]) -> tuple[float, tuple[int, int]]:
    """The Cobb angle in degrees and its two end vertebrae, by number from the top.

    The largest angle between the upper end plate of a vertebra and the lower one of a vertebra further down.
    `corners` is (n, 4, 2) in square units, ordered as `Vertebra.corners`.
    """
    upper, lower = tilts(corners)
    between = np.triu(np.abs(upper[:, None] - lower[None, :]), 1)
    first, last = np.unravel_index(int(between.argmax()), between.shape)
    return float(between[first, last]), (int(first), int(last))


def draw_spine(rng: np.random.Generator, curve: str, cobb_degrees: float, lean_degrees: float = 0.0) -> Spine:
    """A random spine whose Cobb angle is exactly `cobb_degrees`, the whole leaning by `lean_degrees`.

    Raises:
        ValueError: for an unknown curve or an angle outside 0 to 90.
    """
    if curve not in CURVES or not 0 <= cobb_degrees <= 90:
        raise ValueError(f"a curve is one of {', '.join(CURVES)} and its angle 0 to 90, not {curve!r}, {cobb_degrees}")
    level = np.arange(-_ABOVE, 17 + _BELOW)
    size, width = rng.uniform(0.8, 1.05), rng.uniform(0.9, 1.1)
    height, disc, widths = (np.interp(level, _AT, table) * size for table in (_HEIGHT, _DISC, _WIDTH))
    height, disc = (part * rng.uniform(0.95, 1.05, len(level)) for part in (height, disc))
    plates = np.stack([(level + 0.04) / 17, (level + 0.96) / 17])  # along the spine: 0 at T1's top, 1 at L5's bottom
    profile = _profile(rng, curve, 0.25 * plates + 0.75 * plates.mean(0)) + rng.normal(0, 0.012, plates.shape)
    unit = np.triu(np.abs(profile[0, _ABOVE:-_BELOW, None] - profile[1, None, _ABOVE:-_BELOW]), 1).max()
    tilt = np.radians(profile * cobb_degrees / unit + lean_degrees)
    half = widths * width / 2
    vertebrae, place = [], np.zeros(2)
    for number in range(len(level)):
        middle = tilt[:, number].mean()
        lower = place + height[number] * _down(middle)
        halves = (float(half[number] * rng.uniform(0.96, 1.0)), float(half[number] * rng.uniform(1.0, 1.04)))
        turned = float(0.7 * (tilt[:, number].mean() - np.radians(lean_degrees)) + rng.normal(0, 0.06))
        vertebrae.append(Vertebra(place, lower, float(tilt[0, number]), float(tilt[1, number]), halves, turned))
        following = tilt[0, min(number + 1, len(level) - 1)]
        place = lower + disc[number] * _down((tilt[1, number] + following) / 2)
    origin = vertebrae[_ABOVE].upper
    middle_x = np.mean([v.upper[0] for v in vertebrae[_ABOVE:-_BELOW]])
    shift = np.array([middle_x, origin[1]])
    return Spine(tuple(_moved(vertebra, -shift) for vertebra in vertebrae), curve)


def _down(tilt: float) -> NDArray[np.float64]:
    """Unit vector across an end plate of this tilt, towards the feet."""
    return np.array([-np.sin(tilt), np.cos(tilt)])


def _moved(vertebra: Vertebra, by: NDArray[np.float64]) -> Vertebra:
    return Vertebra(
        vertebra.upper + by,
        vertebra.lower + by,
        vertebra.upper_tilt,
        vertebra.lower_tilt,
        vertebra.half_width,
        vertebra.rotation,
    )


def _profile(rng: np.random.Generator, curve: str, at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Tilt along the spine in any unit: the slope of one or more bulges to the side, (the shape of `at`)."""
    side = rng.choice([-1.0, 1.0])
    bulges = {
        "straight": [(rng.uniform(0.3, 0.8), rng.uniform(0.12, 0.3), side)],
        "thoracic": [(rng.uniform(0.36, 0.52), rng.uniform(0.13, 0.17), side)],
        "thoracolumbar": [(rng.uniform(0.58, 0.7), rng.uniform(0.13, 0.17), side)],
        "lumbar": [(rng.uniform(0.74, 0.84), rng.uniform(0.09, 0.13), side)],
        "double": [
            (rng.uniform(0.34, 0.44), rng.uniform(0.1, 0.13), side),
            (rng.uniform(0.74, 0.82), rng.uniform(0.08, 0.11), -side * rng.uniform(0.6, 1.0)),
        ],
    }[curve]
    if curve != "double":  # the small curve that brings the head back over the pelvis
        away = bulges[0][0] - 0.4 if bulges[0][0] > 0.55 else bulges[0][0] + 0.4
        bulges.append((away, rng.uniform(0.1, 0.15), -side * rng.uniform(0.0, 0.35)))
    total = np.zeros_like(at)
    for centre, spread, amplitude in bulges:
        distance = (at - centre) / spread
        total += amplitude * distance * np.exp(0.5 - distance**2 / 2)
    return total / 2
