"""Frames → rows of a model's input: read, prepared as the manifest says, and never many in memory at once.

Pixels are decoded and prepared by a few threads while the model works on the rows before, and never more than a few
batches are in memory, however long the series.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from shared.imaging.frames import Frame
from shared.imaging.grid import NoVolume
from shared.imaging.steps import Preparation, StepError, compile_steps
from shared.imaging.volume import Volume
from shared.packages.folder import Package

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
class Row:
    """What the model reads at once: a prepared volume; `blank` is whether the images had no contrast at all."""

    volume: Volume
    blank: bool

    @property
    def image(self) -> NDArray[np.float32]:
        """(channels, rows, columns) of the one slice of a single image."""
        return self.volume.array[:, 0]


def image_batches(package: Package, frames: Sequence[Frame]) -> Iterator[list[Row]]:
    """The rows of single images in the order of `frames`, those of one shape together, up to the bounds.

    Raises:
        Unreadable: the steps are unknown, or the prepared input does not fit its tensor.
        UndecodablePixels: a frame's pixels can't be had.
    """
    prepare = _steps(package)
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="decode") as pool:
        yield from _batches(_in_order(pool, lambda frame: _row(package, frame, prepare), frames, _ahead(frames)))


def series_row(package: Package, frames: Sequence[Frame]) -> Row:
    """The whole series: each slice takes the steps that need no other as it is read, the volume takes the rest.

    Raises:
        Unreadable, UndecodablePixels: as `image_batches`; and where the slices make up no volume, or are more than can
            be sent.
    """
    prepare = _steps(package)
    slices: list[Row] = []
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="decode") as pool:
        for row in _in_order(pool, lambda frame: _prepared(frame, prepare.of_slice), frames, _ahead(frames)):
            slices.append(row)
            _bounded(len(frames) * row.volume.array.nbytes, len(frames), row.volume)
    volume = _applied(prepare.of_whole, _applied(Volume.stacked, [row.volume for row in slices]))
    _bounded(volume.array.nbytes, volume.shape[0], volume)
    return Row(_finite(volume), all(row.blank for row in slices))


def _bounded(size: int, slices: int, volume: Volume) -> None:
    if size > MOST_SERIES_BYTES:
        raise Unreadable(f"{slices} slices of {volume.shape[1:]} are more than {MOST_SERIES_BYTES >> 20} MiB")


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Rows of one shape together, up to the bounds."""
    batch: list[Row] = []
    for row in rows:
        full = len(batch) >= MOST_ROWS or (len(batch) + 1) * row.volume.array.nbytes > MOST_BYTES
        if batch and (full or batch[0].image.shape != row.image.shape):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _row(package: Package, frame: Frame, prepare: Preparation) -> Row:
    row = _prepared(frame, prepare)
    if row.volume.shape[0] != 1:
        raise Unreadable(f"an image became {row.volume.shape[0]} slices: {package.name} reads single images")
    wanted, given = package.manifest.tensors.pixels.shape, row.image.shape
    if not fits(wanted, given):
        raise Unreadable(f"the prepared image has shape {list(given)}, {package.name} takes {wanted}")
    return row


def _prepared(frame: Frame, prepare: Callable[[Volume], Volume]) -> Row:
    volume = Volume.of([frame])
    blank = bool(volume.array.min() == volume.array.max())
    return Row(_finite(_applied(prepare, volume)), blank)


def _applied(prepare: Callable[[Item], Volume], item: Item) -> Volume:
    try:
        return prepare(item)
    except NoVolume as error:
        raise Unreadable(str(error)) from None


def _finite(volume: Volume) -> Volume:
    if not np.isfinite(volume.array).all():
        raise Unreadable("the pixels are not finite numbers after preprocessing")
    return volume


def _ahead(frames: Sequence[Frame]) -> int:
    """How many rows may be prepared before they are read: as many as two requests hold, if they are not shrunk."""
    largest = max((4 * frame.rows * frame.columns for frame in frames), default=1)
    return max(_THREADS, min(2 * MOST_ROWS, 2 * MOST_BYTES // largest))


def _steps(package: Package) -> Preparation:
    try:
        return compile_steps(package.manifest.preprocess)
    except StepError as error:
        raise Unreadable(f"{package.name}: {error}") from None


def fits(wanted: Sequence[int], given: Sequence[int]) -> bool:
    """Whether a tensor of shape `wanted`, in which -1 is any size, takes an array of shape `given`."""
    return len(wanted) == len(given) and all(want in (-1, have) for want, have in zip(wanted, given, strict=True))


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
