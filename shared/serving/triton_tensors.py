"""How one request's tensors travel to Triton and back: inside the gRPC message, or through a shared region."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import np_to_triton_dtype, triton_to_np_dtype

from shared.serving.models import Array, ModelRefused
from shared.serving.shared_memory_regions import Region

WORTH_SHARING = 64 * 1024
"""Bytes from which a tensor goes through shared memory."""
ALIGNMENT = 64


@dataclass(frozen=True)
class ModelShape:
    """What has to be known of a model to ask it."""

    max_batch_size: int
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Request:
    """One request to one model, of at most max_batch_size rows."""

    model_name: str
    version: str
    inputs: dict[str, Array]
    outputs: tuple[str, ...]
    batching: bool

    @property
    def rows(self) -> int:
        """Rows of the batch; 1 where the model does not batch."""
        return next(iter(self.inputs.values())).shape[0] if self.batching and self.inputs else 1

    @property
    def kind(self) -> tuple[Any, ...]:
        """Equal for requests whose outputs take the same number of bytes per row."""
        skipped = 1 if self.batching else 0
        return self.model_name, self.version, *((name, self.inputs[name].shape[skipped:]) for name in self.inputs)


@dataclass
class Layout:
    """Which tensors of a request lie where in a region: (offset, bytes) by name; the others travel in the message."""

    inputs: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    outputs: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    byte_size: int = 0

    @classmethod
    def of(cls, request: Request, row_bytes: Mapping[str, int]) -> "Layout":
        """The large inputs, then those outputs that are known to be large."""
        layout = cls()
        for name, array in request.inputs.items():
            if array.nbytes >= WORTH_SHARING and array.dtype != np.object_:
                layout.inputs[name] = layout.place(array.nbytes)
        for name in request.outputs:
            expected = row_bytes.get(name, 0) * request.rows
            if expected >= WORTH_SHARING:
                layout.outputs[name] = layout.place(expected)
        return layout

    def place(self, byte_size: int) -> tuple[int, int]:
        """The next free, aligned piece."""
        offset = self.byte_size
        self.byte_size += -(-byte_size // ALIGNMENT) * ALIGNMENT
        return offset, byte_size


def input_tensors(request: Request, layout: Layout, region: Region | None) -> list[Any]:
    """The request's inputs as tritonclient has them; large ones are copied into the region."""
    tensors: list[Any] = []
    for name, array in request.inputs.items():
        data_type = np_to_triton_dtype(array.dtype)
        if data_type is None:
            raise ModelRefused(f"input '{name}' has type {array.dtype}, which Triton does not know")
        tensor = triton.InferInput(name, list(array.shape), data_type)
        if region and name in layout.inputs:
            offset, byte_size = layout.inputs[name]
            region.write(offset, array)
            tensor.set_shared_memory(region.name, byte_size, offset)
        else:
            tensor.set_data_from_numpy(array)
        tensors.append(tensor)
    return tensors


def output_tensors(request: Request, layout: Layout, region: Region | None) -> list[Any]:
    """What is asked for, and where it is to be put."""
    tensors: list[Any] = []
    for name in request.outputs:
        tensor = triton.InferRequestedOutput(name)
        if region and name in layout.outputs:
            offset, byte_size = layout.outputs[name]
            tensor.set_shared_memory(region.name, byte_size, offset)
        tensors.append(tensor)
    return tensors


def answers(request: Request, layout: Layout, region: Region | None, result: Any) -> dict[str, Array]:
    """The outputs as arrays of our own, writable and independent of the region."""
    found: dict[str, Array] = {}
    for name in request.outputs:
        if region and name in layout.outputs:
            described = result.get_output(name)
            shape, dtype = tuple(described.shape), np.dtype(triton_to_np_dtype(described.datatype))
            found[name] = region.view(layout.outputs[name][0], shape, dtype).copy()
        else:
            found[name] = np.array(result.as_numpy(name))
    return found


def row_bytes(request: Request, found: Mapping[str, Array]) -> dict[str, int]:
    """Bytes per row of each numeric output, by which the next request of this kind can make room for it."""
    return {name: array.nbytes // request.rows for name, array in found.items() if array.dtype != np.object_}
