"""Whether manifest, config.pbtxt and ONNX graph speak of the same tensors, and these fit what they are said to mean."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnxruntime

from shared.packages.folder import Package
from shared.packages.shapes import wrong_shapes
from shared.packages.validation.check import Check, ok, wrong
from shared.serving.model_config import PackageConfig, TensorConfig, read_config

_TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(uint8)": np.uint8,
}


def open_graph(package: Package) -> Any:
    """The network in ONNX Runtime, on one thread.

    Raises:
        Exception: whatever ONNX Runtime raises of a file that it can't read.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(package.weights), options, providers=["CPUExecutionProvider"])


def tensors_of_outputs(package: Package) -> list[str]:
    """Every output tensor that the manifest names, each once."""
    manifest = package.manifest
    names = [name for output in manifest.outputs for name in (output.tensor, output.confidence_tensor) if name]
    return list(dict.fromkeys([*names, *([manifest.explanation.tensor] if manifest.explanation.tensor else [])]))


def check_tensors(package: Package) -> Iterator[Check]:
    """The three against each other, tensor by tensor."""
    try:
        config = read_config(package.folder / "config.pbtxt")
    except (OSError, ValueError) as error:
        yield wrong("config.pbtxt", str(error))
        return
    try:
        graph = open_graph(package)
    except Exception as error:
        yield wrong("graph", f"{package.weights.name} can't be opened: {str(error).splitlines()[0]}")
        return
    problems = [*_against_config(package, config), *_against_graph(config, graph), *_against_kinds(package, config)]
    yield from (wrong("tensors", problem) for problem in problems)
    if not problems:
        names = ", ".join(tensor.name for tensor in (*config.inputs, *config.outputs))
        yield ok("tensors", f"{names}: manifest, config.pbtxt and graph agree")


def _against_config(package: Package, config: PackageConfig) -> Iterator[str]:
    declared = {tensor.name: tensor for tensor in config.inputs}
    wanted = {tensor.name: tensor for tensor in package.manifest.tensors.inputs}
    if set(declared) != set(wanted):
        yield f"inputs: config.pbtxt has {sorted(declared)}, package.toml has {sorted(wanted)}"
    for name in declared.keys() & wanted.keys():
        if list(declared[name].dims) != wanted[name].shape:
            yield f"input {name}: config.pbtxt has dims {list(declared[name].dims)}, package.toml {wanted[name].shape}"
    missing = set(tensors_of_outputs(package)) - {tensor.name for tensor in config.outputs}
    if missing:
        yield f"outputs: package.toml names {sorted(missing)}, which config.pbtxt does not declare"


def _against_graph(config: PackageConfig, graph: Any) -> Iterator[str]:
    for side, declared, found in (
        ("input", config.inputs, graph.get_inputs()),
        ("output", config.outputs, graph.get_outputs()),
    ):
        nodes = {node.name: node for node in found}
        for tensor in declared:
            if tensor.name not in nodes:
                yield f"{side} {tensor.name}: the graph has {sorted(nodes)}"
            elif words := _differs(tensor, nodes[tensor.name], batched=config.max_batch_size > 0):
                yield f"{side} {tensor.name}: {words}"


def _against_kinds(package: Package, config: PackageConfig) -> Iterator[str]:
    """Each output's shape against what its kind takes; without batching, dims begin with the rows."""
    rows = 0 if config.max_batch_size else 1
    yield from wrong_shapes(package.manifest, {tensor.name: tensor.dims[rows:] for tensor in config.outputs})


def _differs(tensor: TensorConfig, node: Any, *, batched: bool) -> str:
    """What differs in words. A name or nothing in the graph's shape is a free size."""
    if _TYPES.get(node.type) != tensor.dtype.type:
        return f"config.pbtxt says {tensor.dtype.name}, the graph {node.type}"
    sizes = [size if isinstance(size, int) else -1 for size in node.shape]
    if batched and (not sizes or sizes[0] != -1):
        return f"the graph's shape {node.shape} has no free batch dimension: write max_batch_size: 0, or export it free"
    own = sizes[1:] if batched else sizes
    fits = len(own) == len(tensor.dims) and all(
        size == -1 or want == size for size, want in zip(own, tensor.dims, strict=True)
    )
    return "" if fits else f"config.pbtxt has dims {list(tensor.dims)}, the graph {own}"
