"""Sorts a series' frames into stacks: parallel slices, each place once or, in several phases, several times."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from shared.imaging.frames import Frame, normal_of

SAME_PLANE = 0.005
"""Planes whose cosines differ by less (about 0.3°) are parallel: scanners round."""
SAME_PLACE_MM = 0.05
"""Positions nearer than this are one place."""

# What may tell two frames at one place apart, so that they are phases and not copies.
PHASES = (
    "temporal_position_identifier", "temporal_position_index", "temporal_position_time_offset", "echo_numbers",
    "echo_time", "effective_echo_time", "inversion_time", "inversion_times", "flip_angle", "repetition_time",
    "diffusion_b_value", "diffusion_gradient_orientation", "diffusion_directionality", "trigger_time",
    "nominal_cardiac_trigger_delay_time", "nominal_percentage_of_cardiac_phase",
    "nominal_percentage_of_respiratory_phase", "image_type", "frame_type", "complex_image_component", "stack_id",
    "private_b_value", "private_gradient", "private_gradient_x", "private_gradient_y", "private_gradient_z",
    "private_phase", "convolution_kernel", "kvp", "phase_number", "velocity_encoding_direction", "energy_window_number",
    "chemical_shift_reference", "image_index", "dimension_index_values", "rescale_slope",
)  # fmt: skip


def phase_of(frame: Frame) -> tuple[object, ...]:
    """What distinguishes a frame from others at its place."""
    return tuple(frame.header.get(name) for name in PHASES)


@dataclass(frozen=True)
class Stack:
    """Parallel slices, by place along their normal; a place holds every frame that lies there."""

    normal: NDArray[np.float64]
    places: tuple[tuple[Frame, ...], ...]

    @property
    def frames(self) -> tuple[Frame, ...]:
        return tuple(frame for place in self.places for frame in place)

    @cached_property
    def positions(self) -> NDArray[np.float64]:
        """(places, 3) Image Position (Patient), mm."""
        return np.array([place[0].position for place in self.places], np.float64)

    @cached_property
    def steps(self) -> NDArray[np.float64]:
        """Distances between neighbouring places along the normal, mm."""
        return np.diff(self.positions @ self.normal)

    @property
    def usual_step(self) -> float:
        """The median distance, mm; 0 for a single place."""
        return float(np.median(self.steps)) if len(self.steps) else 0.0

    def gaps(self) -> list[tuple[int, int]]:
        """(index of the place before, number of slices that are missing) wherever slices are missing.

        A distance of several usual steps is a gap unless the instance numbers simply go on across it: then the scanner
        was told to space these slices wider.
        """
        if len(self.steps) < 2 or self.usual_step <= 0:
            return []
        jumps = self._number_jumps()
        usual_jump = float(np.median(jumps)) if jumps is not None else 0.0
        found: list[tuple[int, int]] = []
        for index, step in enumerate(self.steps):
            goes_on = jumps is not None and jumps[index] == usual_jump
            if step >= 1.5 * self.usual_step and not goes_on:
                found.append((index, round(float(step) / self.usual_step) - 1))
        return found

    def _number_jumps(self) -> NDArray[np.float64] | None:
        """Differences of instance numbers of neighbouring places; None where they say nothing."""
        numbers = [min((f.instance_number for f in place if f.instance_number is not None), default=None)
                   for place in self.places]  # fmt: skip
        if any(number is None for number in numbers) or len({*numbers}) < len(numbers):
            return None
        return np.abs(np.diff(np.array(numbers, np.float64)))


def stacks_of(frames: Sequence[Frame]) -> list[Stack]:
    """The stacks of those frames that have a plane and a place, the largest first."""
    planes: list[list[Frame]] = []
    for frame in frames:
        if frame.orientation is None or frame.position is None:
            continue
        home = next((plane for plane in planes if _parallel(plane[0], frame)), None)
        if home is None:
            planes.append([frame])
        else:
            home.append(frame)
    return sorted((_stack(plane) for plane in planes), key=lambda s: len(s.frames), reverse=True)


def _parallel(one: Frame, other: Frame) -> bool:
    assert one.orientation is not None
    assert other.orientation is not None
    return bool(np.allclose(one.orientation, other.orientation, atol=SAME_PLANE))


def _stack(plane: list[Frame]) -> Stack:
    assert plane[0].orientation is not None
    normal = normal_of(plane[0].orientation)
    places: list[list[Frame]] = []
    for frame in sorted(plane, key=lambda f: (round(float(np.dot(np.array(f.position), normal)), 1), f.position)):
        if places and _apart(places[-1][0], frame) < SAME_PLACE_MM:
            places[-1].append(frame)
        else:
            places.append([frame])
    return Stack(normal, tuple(tuple(place) for place in places))


def _apart(one: Frame, other: Frame) -> float:
    return float(np.linalg.norm(np.array(one.position) - np.array(other.position)))
