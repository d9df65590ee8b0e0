"""The image that preprocessing steps pass on: its pixels, and the way back to the pixels it came from."""

from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from shared.imaging.decode import Modality
from shared.imaging.frames import Frame

Point = tuple[float, float]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class ModelImage:
    """Pixels on their way to a model, (rows, columns) float32.

    `to_source` maps homogeneous (column, row, 1) of this image to those of the source image. Both count from the top
    left corner of the top left pixel, as SCOORD does (PS3.3 C.18.6.1.1), so the centre of the first pixel is 0.5\\0.5.
    """

    pixels: NDArray[np.float32]
    source_shape: tuple[int, int]
    to_source: NDArray[np.float64] = field(default_factory=lambda: np.eye(3))
    source_spacing: tuple[float, float] | None = None  # mm between rows, between columns of the source
    photometric_interpretation: str = "MONOCHROME2"
    modality: Modality = field(default_factory=Modality)  # not yet applied to the pixels

    @classmethod
    def of(cls, frame: Frame) -> Self:
        """The stored values of a frame, with nothing applied.

        Raises:
            UndecodablePixels: the pixels can't be had.
        """
        stored = frame.stored()
        return cls(
            pixels=stored.values,
            source_shape=(frame.rows, frame.columns),
            source_spacing=frame.pixel_spacing,
            photometric_interpretation=str(frame.header.get("photometric_interpretation", "MONOCHROME2")),
            modality=stored.modality,
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.pixels.shape[0], self.pixels.shape[1]

    @property
    def spacing(self) -> tuple[float, float] | None:
        """mm between rows and between columns of this image."""
        if self.source_spacing is None:
            return None
        return (
            self.source_spacing[0] * abs(float(self.to_source[1, 1])),
            self.source_spacing[1] * abs(float(self.to_source[0, 0])),
        )

    def with_pixels(self, pixels: NDArray[np.float32]) -> Self:
        """Other values at the same places."""
        return replace(self, pixels=np.ascontiguousarray(pixels, np.float32))

    def moved(self, pixels: NDArray[np.float32], scale: Point, shift: Point) -> Self:
        """Other places: a point p (column, row) of the new image lies at `scale` · p + `shift` of this one."""
        step = np.array([[scale[0], 0.0, shift[0]], [0.0, scale[1], shift[1]], [0.0, 0.0, 1.0]])
        moved = replace(self, pixels=np.ascontiguousarray(pixels, np.float32))
        return replace(moved, to_source=self.to_source @ step)

    def source_point(self, column: float, row: float) -> Point:
        """Where a point of this image lies on the source image."""
        x, y, _ = self.to_source @ np.array([column, row, 1.0])
        return float(x), float(y)

    def source_box(self) -> Box:
        """Left, top, right, bottom of this whole image on the source; beyond it where the image was padded."""
        left, top = self.source_point(0.0, 0.0)
        right, bottom = self.source_point(float(self.shape[1]), float(self.shape[0]))
        return left, top, right, bottom
