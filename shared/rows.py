"""Frames → rows of a model's input: read, prepared as the manifest says, and never many in memory at once.

Pixels are decoded and prepared by a few threads while the model works on the rows before, and never more than a few
batches are in memory, however long the series.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from shared.imaging.features import NO_ORDER, FeatureReader, NoFeature, OrderValues
from shared.imaging.frames import Frame
from shared.imaging.grid import NoVolume
from shared.imaging.steps import Preparation, StepError, compile_steps
from shared.imaging.volume import Volume
from shared.packages.folder import Package
from shared.packages.manifest import Tensor
from shared.packages.named_series import lacking

MOST_ROWS = 16
"""Rows that are sent at once."""
MOST_BYTES = 64 << 20
"""Bytes of input that are sent at once, unless one row is larger."""
MOST_SERIES_BYTES = 1 << 30
"""Bytes of a whole series' input: Triton holds it several times."""
_THREADS = 2

Features = Mapping[str, FeatureReader]  # by input
Item = TypeVar("Item")
Result = TypeVar("Result")


class Unreadable(Exception):
    """The package can never read this input, or its model answers nonsense; the text is the reason in words."""


class Nonsense(Unreadable):
    """The model's answer is not what the manifest says: the package is at fault, whatever the image."""


@dataclass(frozen=True)
class Row:
    """What the model reads at once: each input by its name, and the prepared volumes that the pixels are of, by the
    name of the series; the only one's is empty.

    `blank` is whether the images had no contrast at all; `missing` names what is not there and was stood in for.
    """

    inputs: Mapping[str, NDArray[np.float32]]
    volumes: Mapping[str, Volume]
    blank: bool
    missing: tuple[str, ...] = ()

    @property
    def volume(self) -> Volume:
        """Of several the first."""
        return next(iter(self.volumes.values()))


@dataclass(frozen=True)
class _Prepared:
    """A prepared volume; `first` is the frame whose header speaks for it, `single` whether it goes in as one image."""

    volume: Volume
    blank: bool
    first: Frame
    single: bool = True

    @property
    def pixels(self) -> NDArray[np.float32]:
        return self.volume.array[:, 0] if self.single else self.volume.array


def image_batches(package: Package, frames: Sequence[Frame], order: OrderValues = NO_ORDER) -> Iterator[list[Row]]:
    """The rows of single images in the order of `frames`, those of one shape together, up to the bounds.

    Raises:
        Unreadable: the steps are unknown, or the prepared input does not fit its tensor.
        UndecodablePixels: a frame's pixels can't be had.
    """
    prepare, features = _steps(package), _features(package, order)

    def row(frame: Frame) -> Row:
        return _row(package, {"": _image(package, frame, prepare)}, features)

    with ThreadPoolExecutor(_THREADS, thread_name_prefix="decode") as pool:
        yield from _batches(_in_order(pool, row, frames, _ahead(frames)))


def series_row(package: Package, frames: Sequence[Frame], order: OrderValues = NO_ORDER) -> Row:
    """The whole series: each slice takes the steps that need no other as it is read, the volume takes the rest.

    Raises:
        Unreadable, UndecodablePixels: as `image_batches`; and where the slices make up no volume, or are more than can
            be sent.
    """
    return _row(package, {"": _whole(frames, _steps(package))}, _features(package, order))


def study_row(package: Package, series: Mapping[str, Sequence[Frame]], order: OrderValues = NO_ORDER) -> Row:
    """Each named series that is there, as one image or as a whole; zeros stand in for what is missing and may be.

    Raises:
        Unreadable, UndecodablePixels: as `series_row`; and where one is missing that the package can't do without.
    """
    if lacks := lacking(package.manifest, dict.fromkeys(series, "")):
        raise Unreadable(lacks)
    made: dict[str, _Prepared] = {}
    for name in (name for name in package.manifest.grouping.names if name in series):
        prepare, frames = _steps(package, name), series[name]
        try:
            single = package.manifest.reads_single_images(name)
            made[name] = _image(package, _only(frames), prepare) if single else _whole(frames, prepare)
        except Unreadable as error:
            raise Unreadable(f"{name}: {error}") from None
        _bounded(sum(one.volume.array.nbytes for one in made.values()), len(frames), made[name].volume)
    return _row(package, made, _features(package, order))


def _only(frames: Sequence[Frame]) -> Frame:
    if len(frames) != 1:
        raise Unreadable(f"there are {len(frames)} frames, and one image is read")
    return frames[0]


def _whole(frames: Sequence[Frame], prepare: Preparation) -> _Prepared:
    slices: list[_Prepared] = []
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="decode") as pool:
        for row in _in_order(pool, lambda frame: _prepared(frame, prepare.of_slice), frames, _ahead(frames)):
            slices.append(row)
            _bounded(len(frames) * row.volume.array.nbytes, len(frames), row.volume)
    volume = _applied(prepare.of_whole, _applied(Volume.stacked, [row.volume for row in slices]))
    _bounded(volume.array.nbytes, volume.shape[0], volume)
    return _Prepared(_finite(volume), all(row.blank for row in slices), frames[0], single=False)


def _bounded(size: int, slices: int, volume: Volume) -> None:
    if size > MOST_SERIES_BYTES:
        raise Unreadable(f"{slices} slices of {volume.shape[1:]} are more than {MOST_SERIES_BYTES >> 20} MiB")


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Rows of one shape together, up to the bounds."""
    batch: list[Row] = []
    for row in rows:
        full = len(batch) >= MOST_ROWS or (len(batch) + 1) * row.volume.array.nbytes > MOST_BYTES
        if batch and (full or batch[0].volume.shape != row.volume.shape):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _image(package: Package, frame: Frame, prepare: Preparation) -> _Prepared:
    one = _prepared(frame, prepare)
    if one.volume.shape[0] != 1:
        raise Unreadable(f"an image became {one.volume.shape[0]} slices: {package.name} reads single images")
    return one


def _row(package: Package, made: Mapping[str, _Prepared], features: Features) -> Row:
    """The row with every input that the manifest names."""
    inputs: dict[str, NDArray[np.float32]] = {}
    missing = [name for name in package.manifest.grouping.names if name not in made]
    for tensor in package.manifest.tensors.inputs:
        inputs[tensor.name], without = _filled(package, tensor, made, features)
        missing += without
        if not _fits(_of_whole(package, tensor), inputs[tensor.name].shape):
            what, given = tensor.series or package.manifest.grouping.by, list(inputs[tensor.name].shape)
            said = f"the prepared {what} has shape" if tensor.source == "pixels" else f"input {tensor.name} has shape"
            raise Unreadable(f"{said} {given}, {package.name} takes {tensor.shape}")
    volumes = {name: one.volume for name, one in made.items()}
    return Row(inputs, volumes, all(one.blank for one in made.values()), tuple(dict.fromkeys(missing)))


def _filled(
    package: Package, tensor: Tensor, made: Mapping[str, _Prepared], features: Features
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """What goes into one input, and what of it is missing and was stood in for."""
    own = made.get(package.manifest.series_of(tensor))
    if tensor.source == "present":
        return np.array([name in made for name in package.manifest.grouping.names], np.float32), ()
    if tensor.source == "features":
        return _read_features(package, tensor, features, own.first if own else None)
    if own is None:
        return np.zeros(tensor.shape, np.float32), ()
    return np.ones(own.volume.shape[0], np.float32) if tensor.source == "slice_mask" else own.pixels, ()


def _features(package: Package, order: OrderValues) -> Features:
    inputs = package.manifest.tensors.inputs
    return {tensor.name: FeatureReader(tensor.features, order) for tensor in inputs if tensor.source == "features"}


def _read_features(
    package: Package, tensor: Tensor, features: Features, frame: Frame | None
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    if not tensor.features:
        raise Unreadable(f"{package.name}: the manifest does not say what the numbers of input {tensor.name} are")
    try:
        return features[tensor.name].read(frame)
    except NoFeature as error:
        raise Unreadable(f"{package.name}: {error}") from None


def _prepared(frame: Frame, prepare: Callable[[Volume], Volume]) -> _Prepared:
    volume = Volume.of([frame])
    blank = bool(volume.array.min() == volume.array.max())
    return _Prepared(_finite(_applied(prepare, volume)), blank, frame)


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


def _steps(package: Package, series: str = "") -> Preparation:
    """The preparation of a named series: the steps that are of it, and those that are of all."""
    try:
        return compile_steps([step for step in package.manifest.preprocess if series in step.series or not step.series])
    except StepError as error:
        raise Unreadable(f"{package.name}: {error}") from None


def _fits(wanted: Sequence[int], given: Sequence[int]) -> bool:
    return len(wanted) == len(given) and all(want in (-1, have) for want, have in zip(wanted, given, strict=True))


def _of_whole(package: Package, tensor: Tensor) -> Sequence[int]:
    """The shape that an input has before tiles are cut of it: any size along the axes that they cut."""
    tiles = package.manifest.tiles
    if tiles is None or tensor.source == "features":
        return tensor.shape
    cut = tiles.shape[:1] if tensor.source == "slice_mask" else (-1, *tiles.shape)
    return [-1 if size > 0 else have for have, size in zip(tensor.shape, cut, strict=True)]


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
