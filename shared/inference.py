"""Frames → rows → batches → model → raw outputs, the same for gate packages and readers.

Pixels are decoded and prepared by a few threads while the model works on the rows before, and never more than a few
batches are in memory, however long the series.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from shared import metrics
from shared.findings import SourceImage
from shared.imaging.frames import Frame
from shared.imaging.image import Box, ModelImage
from shared.imaging.steps import Applied, StepError, compile_steps
from shared.packages.folder import Package
from shared.packages.manifest import Tensor
from shared.serving.models import Models

MOST_ROWS = 16
"""Rows that are sent at once."""
MOST_BYTES = 64 << 20
"""Bytes of input that are sent at once, unless one row is larger."""
MOST_SERIES_BYTES = 1 << 30
"""Bytes of a whole series' input: Triton holds it several times."""
_THREADS = 2

Item = TypeVar("Item")
Result = TypeVar("Result")


class Unreadable(Exception):
    """The package can never read this input, or its model answers nonsense; the text is the reason in words."""


@dataclass(frozen=True)
class Reading:
    """What the model says of one row.

    `box` is where the model's whole input lies on the source image: left, top, right, bottom in source pixels, beyond
    the image where it was padded. `blank` is whether the source had no contrast at all, so that no answer means much.
    """

    source: SourceImage
    source_shape: tuple[int, int]  # rows, columns
    box: Box
    blank: bool
    outputs: Mapping[str, NDArray[np.float32]]  # by tensor, without the row's dimension
    input_shape: tuple[int, int] = (1, 1)  # rows, columns of the model's input, which lies on `box`
    spacing: tuple[float, float] | None = None  # mm between rows, between columns of the source
    images: tuple[SourceImage, ...] = ()  # of a whole series, in the order of the slices; empty: the one source

    @property
    def sources(self) -> tuple[SourceImage, ...]:
        """Every image that the row was made of."""
        return self.images or (self.source,)


@dataclass(frozen=True)
class _Row:
    frame: Frame
    image: ModelImage
    blank: bool


def read_images(package: Package, frames: Sequence[Frame], models: Models, timeout_s: float) -> Iterator[Reading]:
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
    prepare = _steps(package)
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="decode") as pool:
        rows = _in_order(pool, lambda frame: _row(package, frame, prepare), frames, _ahead(frames))
        for batch in _batches(rows):
            yield from _read(package, batch, models, timeout_s)


def read_series(package: Package, frames: Sequence[Frame], models: Models, timeout_s: float) -> Reading:
    """The reading of one series as a whole; `frames` are its slices in their order.

    The pixels go in as [1, channels, slices, rows, columns], the mask of real slices, where the model takes one, as
    ones: nothing is padded.

    Raises:
        Unreadable, UndecodablePixels, ModelUnavailable, ModelRefused: as `read_images`; and where the slices have no
            common shape, or are more than can be sent.
    """
    manifest = package.manifest
    if manifest.grouping.by != "series":
        raise Unreadable(f"{package.name} reads a whole {manifest.grouping.by}, not a series")
    prepare = _steps(package)
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="decode") as pool:
        rows = list(_in_order(pool, lambda frame: _prepared(frame, prepare), frames, _ahead(frames)))
    inputs = {tensor.name: _of_series(package, tensor, rows) for tensor in manifest.tensors.inputs}
    outputs = {tensor: values[0] for tensor, values in _asked(package, inputs, 1, models, timeout_s).items()}
    first = rows[0]
    return Reading(
        first.frame.source, first.image.source_shape, first.image.source_box(), all(row.blank for row in rows),
        outputs, first.image.shape, first.image.source_spacing, tuple(row.frame.source for row in rows),
    )  # fmt: skip


def _of_series(package: Package, tensor: Tensor, rows: Sequence[_Row]) -> NDArray[np.float32]:
    """One input of a series' row, with the row's dimension first."""
    if tensor.source == "slice_mask":
        return np.ones((1, len(rows)), np.float32)
    if tensor.source != "pixels":
        raise Unreadable(f"{package.name}: input {tensor.name} is of {tensor.source}, which are not made yet")
    shapes = list(dict.fromkeys(row.image.shape for row in rows))
    if len(shapes) > 1:
        raise Unreadable(f"the prepared slices have different shapes ({shapes[0]} and {shapes[1]}): they are no volume")
    if len(rows) * rows[0].image.pixels.nbytes > MOST_SERIES_BYTES:
        raise Unreadable(f"{len(rows)} slices of {shapes[0]} are more than {MOST_SERIES_BYTES >> 20} MiB")
    stacked = np.stack([row.image.pixels for row in rows])[np.newaxis]
    if not _fits(tensor.shape, stacked.shape):
        raise Unreadable(f"the prepared series has shape {list(stacked.shape)}, {package.name} takes {tensor.shape}")
    return stacked[np.newaxis]


def _steps(package: Package) -> Applied:
    try:
        return compile_steps(package.manifest.preprocess)
    except StepError as error:
        raise Unreadable(f"{package.name}: {error}") from None


def _fits(wanted: Sequence[int], given: Sequence[int]) -> bool:
    return len(wanted) == len(given) and all(want in (-1, have) for want, have in zip(wanted, given, strict=True))


def _ahead(frames: Sequence[Frame]) -> int:
    """How many rows may be prepared before they are read: as many as two requests hold, if they are not shrunk."""
    largest = max((4 * frame.rows * frame.columns for frame in frames), default=1)
    return max(_THREADS, min(2 * MOST_ROWS, 2 * MOST_BYTES // largest))


def _row(package: Package, frame: Frame, prepare: Applied) -> _Row:
    row = _prepared(frame, prepare)
    wanted, given = package.manifest.tensors.pixels.shape, (1, *row.image.shape)
    if not _fits(wanted, given):
        raise Unreadable(f"the prepared image has shape {list(given)}, {package.name} takes {wanted}")
    return row


def _prepared(frame: Frame, prepare: Applied) -> _Row:
    image = ModelImage.of(frame)
    blank = bool(image.pixels.min() == image.pixels.max())
    prepared = prepare(image)
    if not np.isfinite(prepared.pixels).all():
        raise Unreadable("the pixels are not finite numbers after preprocessing")
    return _Row(frame, prepared, blank)


def _in_order(
    pool: ThreadPoolExecutor, work: Callable[[Item], Result], items: Iterable[Item], ahead: int
) -> Iterator[Result]:
    """The results in order, at most `ahead` of them waiting; what is not begun is dropped when the reader stops."""
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _batches(rows: Iterable[_Row]) -> Iterator[list[_Row]]:
    """Rows of one shape together, up to the bounds."""
    batch: list[_Row] = []
    for row in rows:
        full = len(batch) >= MOST_ROWS or (len(batch) + 1) * row.image.pixels.nbytes > MOST_BYTES
        if batch and (full or batch[0].image.shape != row.image.shape):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _read(package: Package, batch: list[_Row], models: Models, timeout_s: float) -> list[Reading]:
    inputs = {package.manifest.tensors.pixels.name: np.stack([row.image.pixels[np.newaxis] for row in batch])}
    outputs = _asked(package, inputs, len(batch), models, timeout_s)
    return [
        Reading(
            row.frame.source, row.image.source_shape, row.image.source_box(), row.blank,
            {tensor: values[n] for tensor, values in outputs.items()}, row.image.shape, row.image.source_spacing,
        )
        for n, row in enumerate(batch)
    ]  # fmt: skip


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
        raise Unreadable(f"{package.name} gives no output {tensor!r}")
    values = np.asarray(answer[tensor], np.float32)
    if values.ndim == 0 or values.shape[0] != rows:
        raise Unreadable(f"{package.name}: output {tensor!r} has shape {list(values.shape)} for {rows} row(s)")
    if not np.isfinite(values).all():
        raise Unreadable(f"{package.name}: output {tensor!r} holds values that are not finite numbers")
    return values
