"""What an ONNX file tells of itself: its tensors, and so the draft of a package around it."""

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnxruntime

from shared.packages.making.draft import DraftTensor

_TYPES = {"tensor(float)": "FP32", "tensor(double)": "FP64", "tensor(int64)": "INT64", "tensor(int32)": "INT32",
          "tensor(uint8)": "UINT8", "tensor(float16)": "FP16", "tensor(bool)": "BOOL"}  # fmt: skip
MOST_CLASSES = 64
"""Channels of a picture beyond which they are no classes."""


class CannotImport(ValueError):
    """The file can't become a package; the text says why, and what would."""


def tensors_of(path: Path) -> tuple[list[DraftTensor], list[DraftTensor], bool]:
    """Inputs, outputs, and whether the first dimension of all of them is free, so that rows can be batched.

    Raises:
        CannotImport: it is no ONNX file that ONNX Runtime opens, or takes what no package can give.
    """
    try:
        graph = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:
        raise CannotImport(f"{path.name} can't be opened by ONNX Runtime: {str(error).splitlines()[0]}") from None
    nodes = [*graph.get_inputs(), *graph.get_outputs()]
    batched = all(node.shape and not isinstance(node.shape[0], int) for node in nodes)
    inputs = [_tensor(node, batched) for node in graph.get_inputs()]
    outputs = [_tensor(node, batched) for node in graph.get_outputs()]
    return [_with_source(tensor) for tensor in inputs], [_with_kind(tensor) for tensor in outputs], batched


def _tensor(node: Any, batched: bool) -> DraftTensor:
    if node.type not in _TYPES:
        raise CannotImport(f"tensor {node.name} is of type {node.type}, which Triton's backend does not carry")
    shape = tuple(size if isinstance(size, int) else -1 for size in node.shape)
    return DraftTensor(node.name, shape[1:] if batched else shape, _TYPES[node.type])


def _with_source(tensor: DraftTensor) -> DraftTensor:
    if tensor.dtype != "FP32":
        raise CannotImport(f"input {tensor.name} takes {tensor.dtype}: packages are given FP32; export it so")
    source = {1: "features"}.get(len(tensor.shape), "pixels")
    return replace(tensor, source=source)


def _with_kind(tensor: DraftTensor) -> DraftTensor:
    """A guess by the shape: one number, several, or a picture."""
    sizes = [size for size in tensor.shape if size != 1]
    if len(sizes) >= 2:
        classes = tensor.shape[0] if len(tensor.shape) >= 3 and 1 < tensor.shape[0] <= MOST_CLASSES else 2
        return replace(tensor, kind="segment", labels=tuple(f"segment_{n}" for n in range(1, classes)))
    if sizes and sizes[0] > 1:
        labels = tuple(f"label_{n}" for n in range(1, sizes[0] + 1))
        return replace(tensor, kind="multilabel", activation="sigmoid", labels=labels)
    return tensor


def turn_axes(path: Path) -> None:
    """Has the network take and give its axes in our order: (…, x, y, z) becomes (…, slices, rows, columns).

    Raises:
        CannotImport: onnx is not installed.
    """
    try:
        onnx: Any = importlib.import_module("onnx")
    except ImportError:
        raise CannotImport("a bundle needs onnx: pip install 'isocenter[train]'") from None
    model = onnx.load(str(path))
    graph = model.graph
    for value in graph.input:
        _turn(onnx, graph, value, first=True)
    for value in graph.output:
        _turn(onnx, graph, value, first=False)
    del graph.value_info[:]
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _turn(onnx: Any, graph: Any, value: Any, *, first: bool) -> None:
    """A Transpose between what others see under the value's name and what the network has there."""
    dims = value.type.tensor_type.shape.dim
    if len(dims) < 4:  # rows of numbers: there is nothing to turn
        return
    order = [0, 1, *reversed(range(2, len(dims)))]
    inner = f"{value.name}_xyz"
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [inner if name == value.name else name for name in names]
    given, taken = (value.name, inner) if first else (inner, value.name)
    node = onnx.helper.make_node("Transpose", [given], [taken], perm=order)
    graph.node.insert(0 if first else len(graph.node), node)
    turned = [onnx.TensorShapeProto.Dimension.FromString(dims[axis].SerializeToString()) for axis in order]
    del dims[:]
    dims.extend(turned)
