"""One row of the model's input in tiles: cut, asked a few at a time, and put together as if it had been one.

Numbers are put together as the tensor holds them, before calibration and activation.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from shared.imaging.tiles import Sizes, Weights, margins, starts, tile_of, weights
from shared.packages.folder import Package
from shared.packages.output_tables import Output
from shared.packages.shapes import fitting, in_words, shapes_of, shapes_of_explanation
from shared.packages.tile_tables import TilesTable, is_score
from shared.rows import MOST_BYTES, Nonsense, Row, Unreadable

Array = NDArray[np.float32]
Ask = Callable[[Mapping[str, Array], int], Mapping[str, Array]]
MOST_TILES = 20_000
MOST_VALUES = 1 << 29
"""2 GiB of float32: more of what a model gives is not put together."""


@dataclass(frozen=True)
class Tile:
    """A part of the model's input: its first voxel and its size as slices, rows, columns; it may reach beyond."""

    start: tuple[int, int, int]
    shape: tuple[int, int, int]


@dataclass(frozen=True)
class Together:
    """What the model says of the whole row.

    `decided` has, by tensor and for each of its numbers, the tiles that made it what it is: of a grade once, and none
    where all tiles did alike.
    """

    outputs: Mapping[str, Array]
    decided: Mapping[str, tuple[tuple[Tile, ...], ...]] = field(default_factory=dict)


def read_tiles(package: Package, row: Row, ask: Ask) -> Together:
    """`ask` gives the model's outputs, by tensor, for inputs of so many rows.

    Raises:
        Unreadable: there are too many tiles or too large outputs, or an output is no such thing for a tile.
    """
    manifest = package.manifest
    assert manifest.tiles is not None
    pixels = row.inputs[manifest.tensors.pixels.name]
    cut = _Cut(manifest.tiles, pixels.shape[1:])
    inputs = {tensor.name: _Input(cut, tensor.source, row.inputs[tensor.name]) for tensor in manifest.tensors.inputs}
    blends = {tensor: _Blend(package, tensor, cut, patterns) for tensor, patterns in _dense(package).items()}
    scores: dict[str, list[Array]] = {}
    for places in cut.batches(pixels.itemsize * len(pixels)):
        for tensor, values in ask({name: each.of(places) for name, each in inputs.items()}, len(places)).items():
            if tensor in blends:
                blends[tensor].add(values, places)
            else:
                scores.setdefault(tensor, []).append(values)
    outputs = {tensor: blend.result() for tensor, blend in blends.items()}
    decided = {}
    for output in (output for output in manifest.outputs if is_score(output)):
        values, chosen = _combined(cut.table.combine or "mean", output, np.concatenate(scores[output.tensor]))
        outputs[output.tensor] = values
        decided[output.tensor] = tuple(tuple(cut.tile(number) for number in one) for one in chosen)
    return Together(outputs, decided)


def _dense(package: Package) -> dict[str, list[Sizes]]:
    """The shapes that each tensor may have which says something of each voxel."""
    manifest = package.manifest
    found = {o.tensor: shapes_of(manifest, o) for o in manifest.outputs if not is_score(o)}
    if manifest.explanation.kind == "attribution_map":
        found[manifest.explanation.tensor] = shapes_of_explanation(manifest)
    return found


class _Cut:
    """The tiles of one row whose pixels are of `shape`, without channels."""

    def __init__(self, table: TilesTable, shape: Sizes) -> None:
        self.table, self.shape = table, shape
        self.size = tile_of(shape, table.shape)
        self.around = margins(shape, self.size)
        self.padded = tuple(have + sum(more) for have, more in zip(shape, self.around, strict=True))
        self.places = starts(self.padded, self.size, table.overlaps)
        if len(self.places) > MOST_TILES:
            raise Unreadable(f"{len(self.places)} tiles would be read; at most {MOST_TILES} are")

    def batches(self, bytes_a_voxel: int) -> Iterator[list[Sizes]]:
        """The places of as many as are sent at once."""
        most = max(1, min(self.table.at_once, MOST_BYTES // (bytes_a_voxel * int(np.prod(self.size)))))
        for first in range(0, len(self.places), most):
            yield self.places[first : first + most]

    def spans(self, place: Sizes) -> tuple[slice, ...]:
        """The tile that begins at `place`, for an array with what is put around."""
        return tuple(slice(at, at + size) for at, size in zip(place, self.size, strict=True))

    def tile(self, number: int) -> Tile:
        """In the row as it was before anything was put around it; an image is one slice."""
        place = [at - before for at, (before, _) in zip(self.places[number], self.around, strict=True)]
        slice_, row, column = [0, *place][-3:]
        slices, rows, columns = [1, *self.size][-3:]
        return Tile((slice_, row, column), (slices, rows, columns))


class _Input:
    """One input of each tile: the pixels and the mask of real slices there, the features as they are."""

    def __init__(self, cut: _Cut, source: str, values: Array) -> None:
        self.cut, self.source = cut, source
        around = {"pixels": [(0, 0), *cut.around], "slice_mask": cut.around[:1]}.get(source, [])
        value = cut.table.value if source == "pixels" else 0.0
        self.values = np.pad(values, around, constant_values=value) if np.any(around) else values

    def of(self, places: Sequence[Sizes]) -> Array:
        """With the rows' dimension."""
        return np.stack([self._at(self.cut.spans(place)) for place in places])

    def _at(self, spans: tuple[slice, ...]) -> Array:
        if self.source == "features":
            return self.values
        return self.values[spans[0]] if self.source == "slice_mask" else self.values[(slice(None), *spans)]


class _Blend:
    """The weighted mean of what overlapping tiles say of each voxel, one tensor's."""

    def __init__(self, package: Package, tensor: str, cut: _Cut, patterns: Sequence[Sizes]) -> None:
        self.cut, self.patterns, self.where = cut, patterns, f"{package.name}: output {tensor!r}"
        self.weight: Weights = weights(cut.size, cut.table.blend, cut.table.sigma)
        self.count = np.zeros(cut.padded, np.float32)
        self.total: Array | None = None  # (channels …, voxels …) from the first tile on

    def add(self, values: Array, places: Sequence[Sizes]) -> None:
        """What the model says of the tiles that begin at `places`."""
        own = fitting(values.shape[1:], self.patterns)
        if own is None:
            due = in_words(self.patterns)
            raise Nonsense(f"{self.where} has shape {list(values.shape[1:])} a tile; {due} was due")
        channels, given = own[: -len(self.cut.size)], own[-len(self.cut.size) :]
        if self.total is None:
            self.total = self._empty(channels)
        steps = self._steps(given)
        for value, place in zip(values.reshape(-1, *own), places, strict=True):
            here = self.cut.spans(place)
            self.total[_of_all(here)] += (value if steps is None else value[_of_all(steps)]) * self.weight
            self.count[here] += self.weight

    def result(self) -> Array:
        """Without what was put around."""
        assert self.total is not None
        self.total /= self.count
        firsts = [before for before, _ in self.cut.around]
        inner = [slice(first, first + have) for first, have in zip(firsts, self.cut.shape, strict=True)]
        return self.total[_of_all(inner)]

    def _empty(self, channels: Sizes) -> Array:
        shape = (*channels, *self.cut.padded)
        if int(np.prod(shape)) > MOST_VALUES:
            raise Unreadable(f"{self.where}: {list(shape)} values would be put together; at most {MOST_VALUES} are")
        return np.zeros(shape, np.float32)

    def _steps(self, given: Sizes) -> tuple[NDArray[np.int64], ...] | None:
        """Of a coarser answer, which covers its tile in steps of its own, the value that each voxel has."""
        if given == self.cut.size:
            return None
        if any(have > want for have, want in zip(given, self.cut.size, strict=True)):
            raise Nonsense(f"{self.where} has {list(given)} values for a tile of {list(self.cut.size)}: it is finer")
        return np.ix_(*(np.arange(want) * have // want for have, want in zip(given, self.cut.size, strict=True)))


def _of_all(places: Sequence[Any]) -> Any:
    """The index of these places in every channel."""
    return (..., *places)


def _combined(how: str, output: Output, values: Array) -> tuple[Array, list[list[int]]]:
    """Of (tiles, …) one row's numbers; and which tiles made each of them so."""
    flat = values.reshape(len(values), -1)
    if how == "mean":
        return values.mean(axis=0), []
    ranks = _severity(output, flat)[:, np.newaxis] if output.kind == "ordinal" else flat
    count = 1 if how == "max" else int(how.removeprefix("top:"))
    chosen = np.argsort(-ranks, axis=0, kind="stable")[:count]
    if output.kind == "ordinal":  # a tile's probabilities stay together
        return values[chosen[:, 0]].mean(axis=0), chosen.T.tolist()
    return np.take_along_axis(flat, chosen, axis=0).mean(axis=0).reshape(values.shape[1:]), chosen.T.tolist()


def _severity(output: Output, values: Array) -> NDArray[np.float64]:
    """(tiles) the grade that each expects, from 0."""
    if output.activation == "softmax":
        values = special.softmax(values, axis=1)
    elif output.activation == "sigmoid":
        values = special.expit(values)
    cumulative = values.shape[1] < len(output.labels)
    return np.asarray(values.sum(axis=1) if cumulative else values @ np.arange(values.shape[1]), np.float64)
