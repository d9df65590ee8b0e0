"""The self-tests of explanations: each declared kind says something that can be computed again.

additive_patches: the patches' mean is the logit. concepts: the contributions and the bias sum to the logit.
slice_weights: they sum to one over the real slices and are nothing on padding. attribution_map: hiding the places that
it marks moves the score more than hiding as many others.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.packages.manifest import Manifest

Arrays = Mapping[str, NDArray[Any]]
TOLERANCE = 1e-4
MARKED = 0.1
"""Share of an attribution map that is hidden: its highest values."""


class NotExplained(ValueError):
    """The explanation does not say what its kind promises; the text tells by how much it is off."""


def self_test(manifest: Manifest, inputs: Arrays, answer: Callable[[Arrays], Arrays]) -> str:
    """What was seen to hold for these input rows, in words; empty where the package declares no explanation.

    `answer` gives the network's outputs by tensor, with the rows first.

    Raises:
        NotExplained: it does not hold.
    """
    explanation = manifest.explanation
    if explanation.kind == "none":
        return ""
    outputs = answer(inputs)
    rows = np.asarray(outputs[explanation.tensor], np.float64)
    if explanation.kind == "slice_weights":
        mask = next((inputs[t.name] for t in manifest.tensors.inputs if t.source == "slice_mask"), None)
        return _slice_weights(rows, mask)
    score = np.asarray(outputs[manifest.outputs[0].tensor], np.float64).reshape(len(rows), -1)[:, 0]
    if explanation.kind == "additive_patches":
        return _sums(rows.reshape(len(rows), -1).mean(1), score, "the patches' mean is the logit")
    if explanation.kind == "concepts":
        total = rows.reshape(len(rows), -1).sum(1) + explanation.bias
        return _sums(total, score, "the contributions sum to the logit")
    maps = rows[:, 0] if manifest.explained.kind == "multilabel" else rows  # the first label's, as the score is
    return _moves(manifest, inputs, maps, score, answer)


def _sums(found: NDArray[np.float64], score: NDArray[np.float64], words: str) -> str:
    off = float(np.max(np.abs(found - score) / np.maximum(1.0, np.abs(score))))
    if not off <= TOLERANCE:
        raise NotExplained(f"{words}: not so, it is off by {off:.2g}")
    return f"{words}, to {off:.1g}"


def _slice_weights(weights: NDArray[np.float64], mask: NDArray[Any] | None) -> str:
    real = np.ones_like(weights, bool) if mask is None else np.asarray(mask) > 0
    off = float(np.max(np.abs(np.where(real, weights, 0.0).sum(1) - 1.0)))
    padding = float(np.max(np.abs(np.where(real, 0.0, weights))))
    if not max(off, padding) <= TOLERANCE:
        raise NotExplained(f"the slices' weights sum to one: not so, off by {off:.2g}, {padding:.2g} on padding")
    return f"the slices' weights sum to one, to {off:.1g}"


def _moves(
    manifest: Manifest, inputs: Arrays, maps: NDArray[np.float64], score: NDArray[np.float64],
    answer: Callable[[Arrays], Arrays],
) -> str:  # fmt: skip
    tensor = manifest.outputs[0].tensor
    name = manifest.tensors.pixels_of(manifest.series_of(manifest.explained)).name
    generator = np.random.default_rng(0)

    def moved(values: NDArray[np.float64]) -> float:
        hidden = _hidden(np.asarray(inputs[name]), values)
        again = np.asarray(answer({**inputs, name: hidden})[tensor], np.float64).reshape(len(score), -1)[:, 0]
        return float(np.abs(again - score).mean())

    marked, others = moved(maps), moved(generator.permuted(maps.reshape(len(maps), -1), axis=1).reshape(maps.shape))
    if not marked > others:
        raise NotExplained(f"hiding what the map marks moves the score by {marked:.2g}, as much elsewhere {others:.2g}")
    return f"hiding what the map marks moves the score by {marked:.2g}, as much elsewhere by {others:.2g}"


def _hidden(pixels: NDArray[Any], maps: NDArray[np.float64]) -> NDArray[np.float32]:
    """The pixels with the row's mean where the map is highest; the map's grid is stretched over the last two axes."""
    rows, columns = pixels.shape[-2:]
    found = np.array(pixels, np.float32)
    for row, values in zip(found, maps, strict=True):
        plane = values.reshape(-1, *values.shape[-2:]).mean(0)
        down = np.arange(rows) * plane.shape[0] // rows
        across = np.arange(columns) * plane.shape[1] // columns
        marked = np.zeros(plane.size, bool)
        marked[np.argsort(-plane, axis=None, kind="stable")[: max(1, int(MARKED * plane.size))]] = True
        row[..., marked.reshape(plane.shape)[np.ix_(down, across)]] = row.mean()
    return found
