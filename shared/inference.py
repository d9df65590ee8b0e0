"""Frames → rows → model → raw outputs, the same for gate packages and readers."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared import metrics
from shared.findings import SourceImage
from shared.imaging.features import NO_ORDER, OrderValues
from shared.imaging.frames import Frame
from shared.imaging.grid import Box, Grid, NoVolume
from shared.packages.folder import Package
from shared.rows import Nonsense, Row, Unreadable, image_batches, series_row, study_row
from shared.serving.models import Models
from shared.tiling import Tile, read_tiles

__all__ = ["Nonsense", "Reading", "Unreadable", "read_images", "read_series", "read_study"]


@dataclass(frozen=True)
class Reading:
    """What the model says of one row.

    `grid` is where the voxels of its input lie on the images and in the patient, of several series the first's; `grids`
    has each by its name. `blank` is whether the images had no contrast at all, so that no answer means much.
    """

    grid: Grid
    blank: bool
    outputs: Mapping[str, NDArray[np.float32]]  # by tensor, without the row's dimension
    missing: tuple[str, ...] = ()  # series, and features that neither header nor order says
    decided: Mapping[str, tuple[tuple[Tile, ...], ...]] = field(default_factory=dict)  # by tensor, of each number
    grids: Mapping[str, Grid] = field(default_factory=dict)

    def of(self, series: str) -> "Reading | None":
        """The same on the images of a named series, None where it is missing; of the only one as it is."""
        if not series:
            return self
        return replace(self, grid=self.grids[series]) if series in self.grids else None

    @property
    def source(self) -> SourceImage:
        """The image that the row was made of, of several the first."""
        return self.grid.source.images[0]

    @property
    def sources(self) -> tuple[SourceImage, ...]:
        """Every image that the row was made of."""
        return self.grid.images

    @property
    def source_shape(self) -> tuple[int, int]:
        """Rows and columns of a source image."""
        return self.grid.source.shape[1:]

    @property
    def input_shape(self) -> tuple[int, int]:
        """Rows and columns of the model's input, which lies on `box`."""
        return self.grid.shape[1:]

    @property
    def spacing(self) -> tuple[float, float] | None:
        """mm between rows and between columns of the source."""
        return self.grid.source.spacing[1:] if self.grid.source.spacing else None

    @property
    def box(self) -> Box:
        """Where the model's whole input lies on the source image: left, top, right, bottom in source pixels, beyond the
        image where it was padded.

        Raises:
            Unreadable: its rows and columns are not those of the image.
        """
        try:
            return self.grid.box
        except NoVolume as error:
            raise Unreadable(str(error)) from None


def read_images(
    package: Package, frames: Sequence[Frame], models: Models, timeout_s: float, order: OrderValues = NO_ORDER
) -> Iterator[Reading]:
    """One reading per frame, in the order of `frames`.

    Raises:
        Unreadable: the package groups by more than an image, its steps are unknown, the prepared input does not fit
            its tensor, or an output is missing, of a wrong shape or not finite.
        UndecodablePixels: a frame's pixels can't be had.
        ModelUnavailable: the model does not answer now.
        ModelRefused: the model can't take this input.
    """
    if package.manifest.grouping.by != "image":
        raise Unreadable(f"{package.name} reads a whole {package.manifest.grouping.by}, not single images")
    for batch in image_batches(package, frames, order):
        yield from _read(package, batch, models, timeout_s)


def read_series(
    package: Package, frames: Sequence[Frame], models: Models, timeout_s: float, order: OrderValues = NO_ORDER
) -> Reading:
    """The reading of one series as a whole; `frames` are its slices in their order.

    The pixels go in as [1, channels, slices, rows, columns], the mask of real slices, where the model takes one, as
    ones: nothing is padded.

    Raises:
        Unreadable, UndecodablePixels, ModelUnavailable, ModelRefused: as `read_images`; and where the slices have no
            common shape, or are more than can be sent.
    """
    if package.manifest.grouping.by != "series":
        raise Unreadable(f"{package.name} reads a whole {package.manifest.grouping.by}, not a series")
    (reading,) = _read(package, [series_row(package, frames, order)], models, timeout_s)
    return reading


def read_study(
    package: Package, series: Mapping[str, Sequence[Frame]], models: Models, timeout_s: float,
    order: OrderValues = NO_ORDER,
) -> Reading:  # fmt: skip
    """The reading of a study: each named series that is there, by its name, goes into its own input.

    Raises:
        Unreadable, UndecodablePixels, ModelUnavailable, ModelRefused: as `read_series`; and where a series is missing
            that the package can't do without.
    """
    (reading,) = _read(package, [study_row(package, series, order)], models, timeout_s)
    return reading


def _read(package: Package, batch: list[Row], models: Models, timeout_s: float) -> list[Reading]:
    if package.manifest.tiles:
        return [_in_tiles(package, row, models, timeout_s) for row in batch]
    inputs = {name: _together([row.inputs[name] for row in batch]) for name in batch[0].inputs}
    outputs = _asked(package, inputs, len(batch), models, timeout_s)
    return [
        Reading(
            row.volume.grid, row.blank, {tensor: values[n] for tensor, values in outputs.items()}, row.missing,
            grids={name: volume.grid for name, volume in row.volumes.items()},
        )
        for n, row in enumerate(batch)
    ]  # fmt: skip


def _in_tiles(package: Package, row: Row, models: Models, timeout_s: float) -> Reading:
    together = read_tiles(package, row, partial(_asked, package, models=models, timeout_s=timeout_s))
    return Reading(row.volume.grid, row.blank, together.outputs, row.missing, together.decided)


def _together(rows: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """With the rows' dimension; a single one, which may be large, is not copied."""
    return np.stack(rows) if len(rows) > 1 else rows[0][np.newaxis]


def _asked(
    package: Package, inputs: Mapping[str, NDArray[np.float32]], rows: int, models: Models, timeout_s: float
) -> dict[str, NDArray[np.float32]]:
    """The model's outputs by tensor, each looked at."""
    tensors = _tensors(package)
    started = time.monotonic()
    version = str(package.number) if package.number else ""  # a newer one may lie in Triton: it is not what is told
    answer = models.infer(package.name, inputs, outputs=tensors, version=version, timeout_s=timeout_s)
    metrics.MODEL_SECONDS.labels(package.name).observe(time.monotonic() - started)
    return {tensor: _checked(package, tensor, answer, rows) for tensor in tensors}


def _tensors(package: Package) -> list[str]:
    names = [output.tensor for output in package.manifest.outputs]
    names += [output.confidence_tensor for output in package.manifest.outputs if output.confidence_tensor]
    if package.manifest.explanation.tensor:
        names.append(package.manifest.explanation.tensor)
    return list(dict.fromkeys(names))


def _checked(package: Package, tensor: str, answer: Mapping[str, Any], rows: int) -> NDArray[np.float32]:
    if tensor not in answer:
        raise Nonsense(f"{package.name} gives no output {tensor!r}")
    values = np.asarray(answer[tensor], np.float32)
    if values.ndim == 0 or values.shape[0] != rows:
        raise Nonsense(f"{package.name}: output {tensor!r} has shape {list(values.shape)} for {rows} row(s)")
    if not np.isfinite(values).all():
        raise Nonsense(f"{package.name}: output {tensor!r} holds values that are not finite numbers")
    return values
