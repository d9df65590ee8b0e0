"""Where the voxels of a volume lie: on the images that they came from, and in the patient.

Points are (column, row, slice), shapes and spacings (slices, rows, columns), as arrays have them. On all three axes the
first voxel reaches from 0 to 1: its centre is 0.5, in the plane as SCOORD counts (PS3.3 C.18.6.1.1) and along the
slices likewise.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from shared.findings import SourceImage
from shared.imaging.frames import Frame
from shared.imaging.planes import stack_to_patient, thickness_of

Shape = tuple[int, int, int]
Spacing = tuple[float | None, float, float]
Box = tuple[float, float, float, float]
Matrix = NDArray[np.float64]
Triple = tuple[float, float, float]


class NoVolume(ValueError):
    """The slices make up no volume that could be prepared as asked; the text is the reason in words."""


@dataclass(frozen=True, eq=False)
class SourceStack:
    """The images that a volume came from, one a slice, as they lie in the files.

    `spacing` is in mm between slices (along their normal; None where it is not known), rows and columns. `to_patient`
    leads from points of the stack to the patient (PS3.3 C.7.6.2.1.1); None where the slices have no even places.
    """

    shape: Shape
    images: tuple[SourceImage, ...] = ()  # none where the pixels come from no file
    spacing: Spacing | None = None
    to_patient: Matrix | None = None

    @classmethod
    def of(cls, frames: Sequence[Frame]) -> Self:
        """The stack of `frames` in their order.

        Raises:
            NoVolume: their matrices differ.
        """
        first = frames[0]
        other = next((f for f in frames if (f.rows, f.columns) != (first.rows, first.columns)), None)
        if other is not None:
            sizes = f"{first.rows} × {first.columns} and {other.rows} × {other.columns}"
            raise NoVolume(f"the slices have different matrices ({sizes}): they are no volume")
        to_patient = stack_to_patient(frames)
        return cls(
            (len(frames), first.rows, first.columns), tuple(frame.source for frame in frames),
            _spacing(frames, to_patient), to_patient,
        )  # fmt: skip

    def picked(self, indices: Sequence[int]) -> Self:
        """The stack of those slices alone, which has places where they follow each other evenly."""
        steps = set(np.diff(indices).tolist()) or {1}
        shape, images = (len(indices), *self.shape[1:]), tuple(self.images[index] for index in indices if self.images)
        if len(steps) > 1:
            return type(self)(shape, images, (None, *self.spacing[1:]) if self.spacing else None)
        step = float(steps.pop())
        spacing = self.spacing
        if spacing and spacing[0] is not None:
            spacing = (spacing[0] * abs(step), *spacing[1:])
        move = step_matrix((step, 1.0, 1.0), (indices[0] + 0.5 - 0.5 * step, 0.0, 0.0))
        return type(self)(shape, images, spacing, None if self.to_patient is None else self.to_patient @ move)


def _spacing(frames: Sequence[Frame], to_patient: Matrix | None) -> Spacing | None:
    if len({frame.pixel_spacing for frame in frames}) > 1 and to_patient is None:
        return None
    in_plane = frames[0].pixel_spacing
    if in_plane is None:
        return None
    if len(frames) == 1 or to_patient is None:
        return (thickness_of(frames[0]) if len(frames) == 1 else None), *in_plane
    normal = np.cross(to_patient[:3, 0], to_patient[:3, 1])
    return abs(float(to_patient[:3, 2] @ normal / np.linalg.norm(normal))), *in_plane


@dataclass(frozen=True, eq=False)
class Grid:
    """The places of `shape` voxels; `to_source` (4 × 4) leads from homogeneous points of it to points of the source."""

    shape: Shape
    source: SourceStack
    to_source: Matrix = field(default_factory=lambda: np.eye(4))

    def moved(self, shape: Shape, step: Matrix) -> Self:
        """Another grid: a point p of it lies at `step` · p of this one."""
        return type(self)(shape, self.source, self.to_source @ step)

    def picked(self, slices: Sequence[int]) -> Self:
        """The grid of those slices alone, on the stack of their images alone.

        Raises:
            NoVolume: a slice is not one image.
        """
        indices = self.slice_indices[list(slices)].tolist()
        if abs(self.to_source[2, 2]) != 1 or min(indices) < 0 or max(indices) >= self.source.shape[0]:
            raise NoVolume("slices can't be picked once they are resampled or padded: pick them before")
        to_source = self.to_source.copy()
        to_source[2] = 0.0, 0.0, 1.0, 0.0
        return type(self)((len(indices), *self.shape[1:]), self.source.picked(indices), to_source)

    def source_point(self, column: float, row: float, slice_: float = 0.5) -> Triple:
        """Where a point of this grid lies in the source."""
        x, y, z, _ = self.to_source @ (column, row, slice_, 1.0)
        return float(x), float(y), float(z)

    def image_at(self, column: float, row: float, slice_: float = 0.5) -> tuple[SourceImage, float, float] | None:
        """The source image on which a point lies, with its column and row there; None beyond the stack."""
        x, y, z = self.source_point(column, row, slice_)
        index = math.floor(z)
        return (self.source.images[index], x, y) if 0 <= index < len(self.source.images) else None

    @property
    def keeps_slices(self) -> bool:
        """Whether each slice lies within one source image's plane."""
        return not (self.to_source[2, :2].any() or self.to_source[:2, 2].any())

    @property
    def slice_indices(self) -> NDArray[np.int64]:
        """(slices,) the source slice that holds each slice's middle; beyond the stack where there is none.

        Raises:
            NoVolume: the slices lie across those of the source.
        """
        if not self.keeps_slices:
            raise NoVolume("the slices of the model's input lie across those of the images")
        middles = np.arange(self.shape[0]) + 0.5
        return np.floor(self.to_source[2, 2] * middles + self.to_source[2, 3]).astype(np.int64)

    @property
    def slice_images(self) -> tuple[SourceImage | None, ...]:
        """The image that each slice lies on, None beyond the stack.

        Raises:
            NoVolume: the slices lie across those of the source.
        """
        images = self.source.images
        return tuple(images[index] if 0 <= index < len(images) else None for index in self.slice_indices.tolist())

    @property
    def images(self) -> tuple[SourceImage, ...]:
        """Every image that the voxels were made of."""
        if not self.keeps_slices or abs(self.to_source[2, 2]) != 1:
            return self.source.images
        return tuple(dict.fromkeys(image for image in self.slice_images if image))

    @property
    def box(self) -> Box:
        """Left, top, right, bottom of a whole slice on its source image; beyond it where it was padded.

        Raises:
            NoVolume: its rows and columns don't run along those of the images.
        """
        along = self.keeps_slices and min(self.to_source[0, 0], self.to_source[1, 1]) > 0
        if not along or self.to_source[0, 1] or self.to_source[1, 0]:
            raise NoVolume("the rows and columns of the model's input are not those of the images")
        left, top, _ = self.source_point(0.0, 0.0)
        right, bottom, _ = self.source_point(float(self.shape[2]), float(self.shape[1]))
        return left, top, right, bottom

    @property
    def spacing(self) -> Spacing | None:
        """mm between slices (None where it is not known), rows and columns; None where no size is known."""
        if self.source.spacing is None:
            return None
        slices, rows, columns = (self._step_mm(axis) for axis in (2, 1, 0))
        return None if rows is None or columns is None else (slices, rows, columns)

    def _step_mm(self, axis: int) -> float | None:
        assert self.source.spacing is not None
        parts = [
            None if mm is None else float(step) * mm
            for step, mm in zip(self.to_source[:3, axis], reversed(self.source.spacing), strict=True)
            if step
        ]
        return None if None in parts else math.hypot(*(part for part in parts if part is not None))

    @property
    def to_patient(self) -> Matrix | None:
        """4 × 4 from points of this grid to the patient in mm; None where the source has no even places."""
        return None if self.source.to_patient is None else self.source.to_patient @ self.to_source

    @property
    def orientation(self) -> Matrix | None:
        """(3, 3) unit vectors in the patient along columns, rows and slices, as columns."""
        matrix = self.to_patient
        return None if matrix is None else matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0)

    @property
    def origin(self) -> Triple | None:
        """The centre of the first voxel in the patient, mm."""
        matrix = self.to_patient
        if matrix is None:
            return None
        x, y, z, _ = (matrix @ (0.5, 0.5, 0.5, 1.0)).tolist()
        return x, y, z


def step_matrix(scale: Triple = (1.0, 1.0, 1.0), shift: Triple = (0.0, 0.0, 0.0)) -> Matrix:
    """For `Grid.moved`: p → `scale` · p + `shift`, both given as (slices, rows, columns)."""
    matrix = np.diag([*reversed(scale), 1.0])
    matrix[:3, 3] = shift[::-1]
    return matrix
