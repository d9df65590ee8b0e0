"""What an ONNX file tells of itself: its tensors, and so the draft of a package around it."""

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
