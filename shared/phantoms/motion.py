"""Moves a still head during its k-space acquisition: the demo's spoilt series, the motion gate's training."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

Array = NDArray[np.float32]

SEVERITIES: Final[dict[str, float]] = {"none": 0.0, "mild": 0.2, "moderate": 0.45, "strong": 0.8}
"""Names for points of the severity scale of 0 (still) to 1 (unreadable)."""

_LARGEST_TURN_DEG = 7.0
_LARGEST_SHIFT = 0.035  # of the field of view
_LARGEST_GHOST = 0.35  # modulation of every n-th line


@dataclass(frozen=True)
class _Course:
    """Motion at full severity: which line belongs to which pose, and how far each pose strays."""

    phase_axis: int
    pose_of_line: NDArray[np.int64]
    turns_deg: NDArray[np.float64]
    shifts: NDArray[np.float64]
    ghost: NDArray[np.complex128]


def corrupt(image: NDArray[np.floating], severity: float | str, rng: np.random.Generator) -> Array:
    """The magnitude image or stack as it would have come out had the head moved.

    `image` is (rows, columns) or (slices, rows, columns); every slice of a stack moves on a course of its own,
    as in a two-dimensional multi-slice acquisition, along one common phase-encoding axis. `severity` is a name
    of `SEVERITIES` or a number of 0 to 1; it only scales the course that `rng` draws, so that equal generators
    give the same motion, larger. Between the movements the pose is constant; the pose in which the middle of
    k-space is acquired is the reference, so that nothing is shifted as a whole. Severity 0 returns the image
    unchanged. Raises ValueError for an unknown name, a number outside 0 to 1, or another number of dimensions.
    """
    strength, pixels = _strength(severity), np.asarray(image, np.float32)
    if pixels.ndim not in (2, 3):
        raise ValueError(f"corrupt takes a slice or a stack of slices, not an array of {pixels.ndim} dimensions")
    phase_axis = int(rng.integers(2))
    courses = [_draw_course(one.shape, phase_axis, rng) for one in np.atleast_3d(pixels.T).T]
    if strength == 0.0:
        return pixels.copy()
    moved = [_acquire(one, course, strength) for one, course in zip(np.atleast_3d(pixels.T).T, courses, strict=True)]
    return moved[0] if pixels.ndim == 2 else np.stack(moved)


def still_in_each_pose(image: NDArray[np.floating], severity: float | str, rng: np.random.Generator) -> list[Array]:
    """The still slice (rows, columns) as it lies in each pose of the motion that `corrupt` gives for an equal `rng`.

    A moved picture whose k-space is mostly of one pose shows the head sharp, but there: not where the reference lies.
    """
    strength, pixels = _strength(severity), np.asarray(image, np.float32)
    course = _draw_course(pixels.shape, int(rng.integers(2)), rng)
    return [
        np.abs(fft.ifft2(fft.ifftshift(_posed(pixels, course, pose, strength)))).astype(np.float32)
        for pose in np.unique(course.pose_of_line)
    ]


def _strength(severity: float | str) -> float:
    if isinstance(severity, str):
        if severity not in SEVERITIES:
            raise ValueError(f"severity {severity!r} is none of {', '.join(SEVERITIES)}")
        return SEVERITIES[severity]
    if not 0.0 <= severity <= 1.0:
        raise ValueError(f"severity {severity} is outside 0 to 1")
    return float(severity)


def _draw_course(shape: tuple[int, ...], phase_axis: int, rng: np.random.Generator) -> _Course:
    lines = shape[phase_axis]
    movements = int(rng.integers(2, 7))
    time_of_line = _acquisition_order(lines, rng)
    pose_of_line = np.searchsorted(np.sort(rng.uniform(0, lines, movements)), time_of_line)
    jumps = rng.normal(size=(movements + 1, 3)) * rng.choice([0.5, 1.0], size=(movements + 1, 1))
    path = np.cumsum(jumps, axis=0) if rng.random() < 0.4 else jumps
    path = path - path[pose_of_line[lines // 2]]
    return _Course(
        phase_axis=phase_axis,
        pose_of_line=pose_of_line,
        turns_deg=_LARGEST_TURN_DEG * np.clip(path[:, 0], -2, 2) / 2,
        shifts=_LARGEST_SHIFT * np.clip(path[:, 1:], -2, 2) / 2,
        ghost=_draw_ghost(lines, rng),
    )


def _acquisition_order(lines: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """When each line, from edge to edge of k-space, is acquired: in sequence, or in a few interleaves."""
    shots = int(rng.choice([1, 1, 1, 2, 3, 4]))
    order = np.concatenate([np.arange(first, lines, shots) for first in range(shots)])
    when = np.empty(lines, np.int64)
    when[order] = np.arange(lines)
    return when


def _draw_ghost(lines: int, rng: np.random.Generator) -> NDArray[np.complex128]:
    """Periodic change from line to line, as flow or breathing gives; none in half the draws."""
    amplitude = _LARGEST_GHOST * rng.random() * float(rng.random() < 0.5)
    period, start, lead = rng.uniform(2.0, 9.0), rng.uniform(0, 2 * np.pi), rng.uniform(0, 2 * np.pi)
    wave = np.sin(2 * np.pi * (np.arange(lines) - lines // 2) / period + start)
    return amplitude * np.exp(1j * lead) * wave


def _acquire(image: Array, course: _Course, strength: float) -> Array:
    """Fill each pose's lines from the Fourier transform of the head in that pose."""
    axis = course.phase_axis
    lines = image.shape[axis]
    kspace = np.empty(image.shape, np.complex64)
    for pose in np.unique(course.pose_of_line):
        posed = _posed(image, course, pose, strength)
        chosen = (slice(None),) * axis + (course.pose_of_line == pose,)
        kspace[chosen] = posed[chosen]
    weight = (1.0 + strength * course.ghost).astype(np.complex64).reshape((lines, 1) if axis == 0 else (1, lines))
    return np.abs(fft.ifft2(fft.ifftshift(kspace * weight))).astype(np.float32)


def _posed(image: Array, course: _Course, pose: int, strength: float) -> NDArray[np.complex64]:
    return _transform(_turned(image, strength * course.turns_deg[pose]), strength * course.shifts[pose])


def _turned(image: Array, degrees: float) -> Array:
    if abs(degrees) < 1e-3:
        return image
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    matrix = np.array([[cos, -sin], [sin, cos]])
    middle = (np.array(image.shape) - 1) / 2
    return ndimage.affine_transform(image, matrix, middle - matrix @ middle, order=3, mode="constant")


def _transform(image: Array, shift: NDArray[np.float64]) -> NDArray[np.complex64]:
    """Centred k-space of the image moved by `shift` (fractions of the field of view), by a phase ramp."""
    rows, columns = image.shape
    ramp_rows = np.exp(-2j * np.pi * np.arange(-(rows // 2), rows - rows // 2) * shift[0])
    ramp_columns = np.exp(-2j * np.pi * np.arange(-(columns // 2), columns - columns // 2) * shift[1])
    return (fft.fftshift(fft.fft2(image)) * np.outer(ramp_rows, ramp_columns)).astype(np.complex64)
