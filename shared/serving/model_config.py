"""Reads a package's config.pbtxt the way Triton does: to run it without Triton, and to say which versions it serves."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2
from tritonclient.utils import triton_to_np_dtype

from shared.serving.models import Array, ModelRefused


@dataclass(frozen=True)
class TensorConfig:
    """One input or output as config.pbtxt declares it; dims are without the batch, -1 is any length."""

    name: str
    dtype: "np.dtype[Any]"
    dims: tuple[int, ...]


@dataclass(frozen=True)
class PackageConfig:
    """What config.pbtxt says of a package's tensors."""

    max_batch_size: int
    inputs: tuple[TensorConfig, ...]
    outputs: tuple[TensorConfig, ...]

    def check(self, inputs: dict[str, Array]) -> None:
        """Raise ModelRefused where Triton would."""
        declared = {tensor.name: tensor for tensor in self.inputs}
        if set(inputs) != set(declared):
            raise ModelRefused(f"expected inputs {sorted(declared)}, got {sorted(inputs)}")
        for name, array in inputs.items():
            tensor = declared[name]
            if array.dtype != tensor.dtype:
                raise ModelRefused(f"input '{name}' has type {array.dtype}, the model expects {tensor.dtype}")
            expected = (-1, *tensor.dims) if self.max_batch_size else tensor.dims
            fits = len(expected) == array.ndim and all(
                want in (-1, got) for want, got in zip(expected, array.shape, strict=True)
            )
            if not fits:
                raise ModelRefused(f"input '{name}' has shape {list(array.shape)}, the model expects {list(expected)}")


def read_config(path: Path) -> PackageConfig:
    """The configuration in this config.pbtxt. Raises ValueError with the line where it is malformed, OSError."""
    config = _parsed(path)
    return PackageConfig(
        max_batch_size=config.max_batch_size,
        inputs=tuple(tensor_config(tensor) for tensor in config.input),
        outputs=tuple(tensor_config(tensor) for tensor in config.output),
    )


def config_serving(path: Path, numbers: Sequence[int]) -> str:
    """The same configuration for Triton's load request (JSON), with these versions served and no others: Triton's
    model_configuration.md, Version Policy. Raises as `read_config`.
    """
    config = _parsed(path)
    config.version_policy.specific.versions[:] = sorted(numbers)
    return json_format.MessageToJson(config, preserving_proto_field_name=True)


def _parsed(path: Path) -> Any:
    try:
        return text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())
    except text_format.ParseError as error:
        raise ValueError(f"{path}: {error}") from error


def tensor_config(tensor: Any) -> TensorConfig:
    """A ModelInput or ModelOutput in our terms."""
    name = model_config_pb2.DataType.Name(tensor.data_type).removeprefix("TYPE_")
    dtype = np.object_ if name == "STRING" else triton_to_np_dtype(name)
    return TensorConfig(tensor.name, np.dtype(dtype), tuple(tensor.dims))
