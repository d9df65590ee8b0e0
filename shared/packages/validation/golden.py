"""Golden rows: input rows with the output rows that the validated network gave for them, `golden/rows.npz`.

Each array of the file is named as its tensor, with the rows first. Inputs may be kept as float16 or uint8 where the
golden outputs were made from those: they are turned to float32 before they are used.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.packages.folder import Package
from shared.packages.manifest import Manifest, Tensor
from shared.packages.validation.check import Check, ok, wrong
from shared.packages.validation.tensors import open_graph, tensors_of_outputs

Arrays = Mapping[str, NDArray[Any]]
TOLERANCE = 1e-3
"""Relative, and absolute for values around one: other processors and batch sizes round in other places."""


@dataclass(frozen=True)
class Golden:
    """Rows in, rows out; by tensor."""

    inputs: dict[str, NDArray[np.float32]]
    outputs: dict[str, NDArray[np.float32]]

    @property
    def rows(self) -> int:
        return len(next(iter(self.inputs.values())))


def golden_path(package: Package) -> Path:
    """Where the rows of this version lie."""
    own = package.weights.parent / "golden" / "rows.npz"
    return own if own.is_file() else package.folder / "golden" / "rows.npz"


def read_golden(package: Package) -> Golden | None:
    """The rows; None where there are none.

    Raises:
        ValueError: the file lacks a tensor of the manifest, or is no such file.
        OSError: it can't be read.
    """
    path = golden_path(package)
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: np.asarray(archive[name], np.float32) for name in archive.files}
    inputs = [tensor.name for tensor in package.manifest.tensors.inputs]
    outputs = tensors_of_outputs(package)
    if missing := {*inputs, *outputs} - set(arrays):
        raise ValueError(f"{path.name} lacks {', '.join(sorted(missing))}")
    return Golden({name: arrays[name] for name in inputs}, {name: arrays[name] for name in outputs})


def write_golden(package: Package, inputs: Arrays, outputs: Arrays) -> Path:
    """Keeps rows beside the package; where they lay before, these take their place."""
    path = golden_path(package)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, allow_pickle=False, **{**inputs, **outputs})
    return path


def made_up_inputs(manifest: Manifest) -> dict[str, NDArray[np.float32]]:
    """Two rows for every input, the same each time: coarse tiles of a few values, which a small file holds.

    A size that is free is 64 in the plane of the pixels, and 8 elsewhere: slices, and the mask of as many real ones.
    """
    generator = np.random.default_rng(0)
    return {tensor.name: _made_up(tensor, generator) for tensor in manifest.tensors.inputs}


def _made_up(tensor: Tensor, generator: np.random.Generator) -> NDArray[np.float32]:
    in_plane = range(len(tensor.shape) - 2, len(tensor.shape)) if tensor.source == "pixels" else range(0)
    free = [64 if axis in in_plane else 8 for axis in range(len(tensor.shape))]
    sizes = (2, *(free[axis] if size == -1 else size for axis, size in enumerate(tensor.shape)))
    if tensor.source in ("slice_mask", "present"):
        return np.ones(sizes, np.float32)
    if tensor.source == "features":
        return generator.random(sizes, np.float32)
    coarse = (generator.integers(0, 64, (*sizes[:-2], 8, 8)) / 64).astype(np.float32)
    rows, columns = (np.arange(size) * 8 // size for size in sizes[-2:])
    return np.ascontiguousarray(coarse[..., rows, :][..., columns])


def run_graph(package: Package, golden: Golden) -> dict[str, NDArray[Any]]:
    """The network's own answer in ONNX Runtime."""
    names = list(golden.outputs)
    return dict(zip(names, open_graph(package).run(names, golden.inputs), strict=True))


def check_golden(golden: Golden, answer: Callable[[], Mapping[str, NDArray[Any]]], where: str) -> Iterator[Check]:
    """Whether the answer is the golden one, tensor by tensor."""
    name = f"golden rows {where}"
    try:
        found = answer()
    except Exception as error:
        yield wrong(name, f"no answer: {str(error).splitlines()[0]}")
        return
    worst = 0.0
    for tensor, expected in golden.outputs.items():
        given = np.asarray(found[tensor], np.float32)
        if given.shape != expected.shape:
            yield wrong(name, f"{tensor} has shape {list(given.shape)}, golden is {list(expected.shape)}")
            return
        if not np.isfinite(given).all():
            yield wrong(name, f"{tensor} holds values that are not finite numbers")
            return
        worst = max(worst, float(np.max(np.abs(given - expected) / np.maximum(1.0, np.abs(expected)), initial=0.0)))
    if worst > TOLERANCE:
        yield wrong(name, f"differ by {worst:.2g}, allowed is {TOLERANCE:g}: other weights, or another export")
    else:
        yield ok(name, f"{golden.rows} rows, largest difference {worst:.1g}")
