"""The volume that preprocessing steps pass on: its voxels, and the way back to the images that they came from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from shared.imaging.decode import Modality
from shared.imaging.frames import Frame
from shared.imaging.grid import Grid, NoVolume, Shape, SourceStack, Triple, step_matrix

Voxels = NDArray[np.float32]
Fact = TypeVar("Fact")
NOTHING = Modality()


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
        slices, rows, columns = array.shape[1:]
        grid = self.grid.moved((slices, rows, columns), step_matrix(scale, shift))
        return replace(self, array=np.ascontiguousarray(array, np.float32), grid=grid)

    def by_slice(self, facts: Sequence[Fact]) -> list[Fact]:
        """What holds for each slice of this volume, of what holds for each of the source; the nearest one's beyond.

        Raises:
            NoVolume: the slices lie across those of the source.
        """
        if len(facts) == 1:
            return [facts[0]] * self.shape[0]
        return [facts[index] for index in np.clip(self.grid.slice_indices, 0, len(facts) - 1).tolist()]
