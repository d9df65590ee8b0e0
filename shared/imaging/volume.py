"""The volume that preprocessing steps pass on: its voxels, and the way back to the images that they came from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from shared.imaging.decode import Modality
from shared.imaging.frames import Frame
from shared.imaging.grid import Grid, Matrix, NoVolume, Shape, SourceStack, Triple, step_matrix

Voxels = NDArray[np.float32]
Fact = TypeVar("Fact")
NOTHING = Modality()
MOST_VOXELS = 1 << 28
"""A GiB as float32: a step that would make more is refused before it does."""


def affordable(channels: int, shape: Shape) -> None:
    """Refuses a volume that can't be held.

    Raises:
        NoVolume: there would be more than MOST_VOXELS.
    """
    if channels * shape[0] * shape[1] * shape[2] > MOST_VOXELS:
        size = " × ".join(map(str, shape))
        raise NoVolume(f"preparation would make {size} voxels; at most {MOST_VOXELS} are held")


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels on their way to a model, (channels, slices, rows, columns) float32; a single image is one slice.

    There is one channel until a step makes more. `frames`, `modality` and `photometric_interpretation` are those of
    each slice of the source, in its order; the modality transform is the one that is not yet applied.
    """

    array: Voxels
    grid: Grid
    modality: tuple[Modality, ...]
    photometric_interpretation: tuple[str, ...]
    frames: tuple[Frame, ...] = ()  # none where the pixels come from no file

    @classmethod
    def of(cls, frames: Sequence[Frame]) -> Self:
        """The stored values of the frames as slices, in their order, with nothing applied.

        Raises:
            UndecodablePixels: the pixels can't be had.
            NoVolume: the frames differ in matrix.
        """
        return cls.stacked([cls._of_one(frame) for frame in frames])

    @classmethod
    def _of_one(cls, frame: Frame) -> Self:
        stored = frame.stored()
        photometric = str(frame.header.get("photometric_interpretation", "MONOCHROME2"))
        grid = Grid((1, frame.rows, frame.columns), SourceStack.of([frame]))
        return cls(stored.values[np.newaxis, np.newaxis], grid, (stored.modality,), (photometric,), (frame,))

    @classmethod
    def image(
        cls, pixels: NDArray[np.generic], spacing: tuple[float, float] | None = None, modality: Modality = NOTHING,
        photometric_interpretation: str = "MONOCHROME2",
    ) -> Self:  # fmt: skip
        """Pixels (rows, columns) that come from no file; `spacing` is mm between rows, between columns."""
        shape = (1, pixels.shape[0], pixels.shape[1])
        stack = SourceStack(shape, spacing=(None, *spacing) if spacing else None)
        array = np.asarray(pixels, np.float32)[np.newaxis, np.newaxis]
        return cls(array, Grid(shape, stack), (modality,), (photometric_interpretation,))

    @classmethod
    def stacked(cls, slices: Sequence[Self]) -> Self:
        """One volume of single slices that were made of frames and prepared alike.

        Raises:
            NoVolume: they differ in matrix, in shape or in where they lie on their images.
        """
        first = slices[0]
        if len(slices) == 1:
            return first
        other = next((one for one in slices if one.shape != first.shape), None)
        if other is not None:
            shapes = f"{first.shape[1:]} and {other.shape[1:]}"
            raise NoVolume(f"the prepared slices have different shapes ({shapes}): they are no volume")
        frames = tuple(frame for one in slices for frame in one.frames)
        source = SourceStack.of(frames)
        if any(not np.array_equal(one.grid.to_source, first.grid.to_source) for one in slices):
            raise NoVolume("the prepared slices show different parts of their images: they are no volume")
        return cls(
            np.concatenate([one.array for one in slices], axis=1),
            Grid((len(slices), *first.shape[1:]), source, first.grid.to_source),
            tuple(part for one in slices for part in one.modality),
            tuple(part for one in slices for part in one.photometric_interpretation),
            frames,
        )

    @property
    def shape(self) -> Shape:
        """Slices, rows and columns."""
        return self.grid.shape

    def with_array(self, array: NDArray[np.floating]) -> Self:
        """Other values at the same places."""
        return replace(self, array=np.ascontiguousarray(array, np.float32))

    def moved(
        self, array: NDArray[np.floating], scale: Triple = (1.0, 1.0, 1.0), shift: Triple = (0.0, 0.0, 0.0)
    ) -> Self:
        """Other places: a point p of the new volume lies at `scale` · p + `shift` of this one, both given as (slices,
        rows, columns)."""
        return self.turned(array, step_matrix(scale, shift))

    def turned(self, array: NDArray[np.floating], step: Matrix) -> Self:
        """Other places: a point p (column, row, slice) of the new volume lies at `step` · p of this one."""
        slices, rows, columns = array.shape[1:]
        grid = self.grid.moved((slices, rows, columns), step)
        return replace(self, array=np.ascontiguousarray(array, np.float32), grid=grid)

    def picked(self, slices: Sequence[int]) -> Self:
        """Those slices alone; their images are then the whole source.

        Raises:
            NoVolume: a slice is not one image.
        """
        indices = self.grid.slice_indices[list(slices)].tolist()
        return replace(
            self.with_array(self.array[:, list(slices)]),
            grid=self.grid.picked(slices),
            modality=tuple(self.modality[index] for index in indices),
            photometric_interpretation=tuple(self.photometric_interpretation[index] for index in indices),
            frames=tuple(self.frames[index] for index in indices if self.frames),
        )

    def mixable(self) -> None:
        """Refuses to make voxels of several slices whose stored values mean different things.

        Raises:
            NoVolume: the slices differ in what is not yet applied to them.
        """
        if _common(self.modality) is None or _common(self.photometric_interpretation) is None:
            raise NoVolume(
                "slices with different scales would be mixed: put modality_lut and invert_monochrome1 before"
            )

    def by_slice(self, facts: Sequence[Fact]) -> list[Fact]:
        """What holds for each slice of this volume, of what holds for each of the source; the nearest one's beyond.

        Raises:
            NoVolume: the slices lie across those of the source.
        """
        common = _common(facts)
        if common is not None:
            return [common] * self.shape[0]
        return [facts[index] for index in np.clip(self.grid.slice_indices, 0, len(facts) - 1).tolist()]


def _common(facts: Sequence[Fact]) -> Fact | None:
    """What holds for all slices, where one thing does."""
    first = facts[0]
    tables = any(isinstance(fact, Modality) and fact.table is not None for fact in facts)  # arrays don't compare
    same = all(fact is first or (not tables and fact == first) for fact in facts)
    return first if same else None
