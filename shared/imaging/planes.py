"""Where frames lie in the patient: the plane of one, and the way from a stack of them to the patient's coordinates."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from shared.imaging.frames import SAME_DIRECTION, Frame, Pair, Sextuple, Triple, normal_of

EVEN_MM = 0.05
"""How far a slice may lie from its place in an even stack: scanners round positions to a tenth."""
_SAME_SPACING = 1e-3  # of the smaller one

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Plane:
    """A frame's plane (PS3.3 C.7.6.2.1.1); `spacing` is (between rows, between columns) in mm."""

    position: Triple
    orientation: Sextuple
    spacing: Pair

    @classmethod
    def of(cls, frame: Frame) -> Self | None:
        """The plane of a frame; None where its header does not tell it."""
        if not (frame.position and frame.orientation and frame.pixel_spacing):
            return None
        return cls(frame.position, frame.orientation, frame.pixel_spacing)

    @property
    def axes(self) -> NDArray[np.float64]:
        """(3, 2) mm in the patient from one column to the next, and from one row to the next."""
        along_row, along_column = np.asarray(self.orientation[:3]), np.asarray(self.orientation[3:])
        return np.column_stack([self.spacing[1] * along_row, self.spacing[0] * along_column])

    def points_mm(self, points: Sequence[tuple[float, float]]) -> Points:
        """(column, row) points, counted as SCOORD does, in patient coordinates: (points, 3) in mm.

        Image Position (Patient) is the centre of the first pixel, which SCOORD calls 0.5\\0.5.
        """
        return np.asarray(self.position) + (np.asarray(points, np.float64) - 0.5) @ self.axes.T

    def to_patient(self, step: NDArray[np.float64]) -> NDArray[np.float64]:
        """4 × 4 from homogeneous (column, row, slice) to the patient in mm, where the next slice lies `step` further.

        All three count from the first voxel's corner, so the plane itself is at slice 0.5.
        """
        matrix = np.eye(4)
        matrix[:3, :3] = np.column_stack([self.axes, step])
        matrix[:3, 3] = np.asarray(self.position) - matrix[:3, :3] @ (0.5, 0.5, 0.5)
        return matrix


def stack_to_patient(frames: Sequence[Frame]) -> NDArray[np.float64] | None:
    """4 × 4 from (column, row, slice) of a stack to the patient; None where its slices are not one even, straight
    stack of equal planes, or have no places.

    A tilted gantry moves the slices sideways too: the third column is then not along the normal. That of a single
    slice is, and as long as its Slice Thickness, or 1 mm.
    """
    planes = [plane for plane in map(Plane.of, frames) if plane]
    if not planes or len(planes) < len(frames) or not all(_alike(planes[0], plane) for plane in planes):
        return None
    normal = normal_of(planes[0].orientation)
    if len(planes) == 1:
        return planes[0].to_patient(normal * (thickness_of(frames[0]) or 1.0)) if normal.any() else None
    positions = np.array([plane.position for plane in planes])
    step = (positions[-1] - positions[0]) / (len(planes) - 1)
    uneven = np.linalg.norm(positions - positions[0] - np.arange(len(planes))[:, np.newaxis] * step, axis=1).max()
    if uneven > EVEN_MM or abs(float(step @ normal)) <= EVEN_MM:
        return None
    return planes[0].to_patient(step)


def thickness_of(frame: Frame) -> float | None:
    """Slice Thickness in mm, where it says one."""
    value = frame.header.get("slice_thickness")
    return value if isinstance(value, float) and value > 0 else None


def _alike(one: Plane, other: Plane) -> bool:
    return bool(
        np.allclose(one.orientation, other.orientation, atol=SAME_DIRECTION, rtol=0)
        and np.allclose(one.spacing, other.spacing, atol=0, rtol=_SAME_SPACING)
    )
