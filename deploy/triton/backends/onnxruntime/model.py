"""Triton's backend `onnxruntime` where NVIDIA's native one isn't: serves `<version>/model.onnx` on the CPU.

Triton loads this file as a Python-based backend, so a package's config.pbtxt says `backend: "onnxruntime"` here
and in NVIDIA's container alike. It runs inside Triton's own Python environment and imports nothing of ours.

Of the native backend's settings it takes `default_model_filename`, `optimization.graph.level` and the parameters
`intra_op_thread_count`, `inter_op_thread_count`, `execution_mode`, `enable_mem_arena`, `enable_mem_pattern` and
`session.*`. The configuration must be complete (inputs, outputs, types): nothing is guessed from the model.
"""

import ctypes
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

ONNX_TYPES = {
    "TYPE_BOOL": "tensor(bool)",
    "TYPE_UINT8": "tensor(uint8)",
    "TYPE_UINT16": "tensor(uint16)",
    "TYPE_UINT32": "tensor(uint32)",
    "TYPE_UINT64": "tensor(uint64)",
    "TYPE_INT8": "tensor(int8)",
    "TYPE_INT16": "tensor(int16)",
    "TYPE_INT32": "tensor(int32)",
    "TYPE_INT64": "tensor(int64)",
    "TYPE_FP16": "tensor(float16)",
    "TYPE_FP32": "tensor(float)",
    "TYPE_FP64": "tensor(double)",
    "TYPE_STRING": "tensor(string)",
}
# As the native backend reads optimization.graph.level: -1 basic, 1 extended, 2 none, otherwise all.
GRAPH_LEVELS = {
    -1: onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    1: onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    2: onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
}
# The stub's own way to numpy (as_numpy, Tensor) reads numpy 1's structures: with numpy 2, the only one for Python 3.13,
# it silently gives wrong strides and sizes.
THROUGH_DLPACK = int(np.__version__.split(".")[0]) >= 2
Feeds = dict[str, np.ndarray]


class BadRequest(ValueError):
    """This request can't be served by this model, however often it is sent."""


class TritonPythonModel:
    """One instance of one model: an ONNX Runtime session and the names that config.pbtxt gives it."""

    @staticmethod
    def auto_complete_config(auto_complete_model_config: Any) -> Any:
        """Leave the configuration as the package states it."""
        return auto_complete_model_config

    def initialize(self, args: dict[str, str]) -> None:
        """Open the session; raise with a plain reason where the package and its network disagree."""
        config = json.loads(args["model_config"])
        model_file = config.get("default_model_filename") or "model.onnx"
        path = Path(args["model_repository"]) / args["model_version"] / model_file
        if not path.is_file():
            raise FileNotFoundError(f"{args['model_name']}: {args['model_version']}/{model_file} is missing")
        self.batching = int(config.get("max_batch_size", 0)) > 0
        self.session = onnxruntime.InferenceSession(
            str(path), session_options(config), providers=["CPUExecutionProvider"]
        )
        self.inputs = checked_names(config["input"], self.session.get_inputs(), self.batching)
        self.outputs = checked_names(config["output"], self.session.get_outputs(), self.batching)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer every request, in order; those that fit together are run as one batch."""
        responses: list[Any] = [None] * len(requests)
        groups: dict[Any, list[tuple[int, Feeds]]] = {}
        wanted_outputs: dict[Any, list[str]] = {}
        for index, request in enumerate(requests):
            if request.is_cancelled():
                error = pb_utils.TritonError("nobody waits for the answer any more", pb_utils.TritonError.CANCELLED)
                responses[index] = pb_utils.InferenceResponse(output_tensors=[], error=error)
                continue
            try:
                feeds = self.read(request)
            except Exception as error:
                responses[index] = refusal(error)
                continue
            wanted = [name for name in self.outputs if name in request.requested_output_names()]
            key = (self.batch_key(feeds, index), tuple(wanted))
            groups.setdefault(key, []).append((index, feeds))
            wanted_outputs[key] = wanted
        for key, members in groups.items():
            self.answer_group(members, wanted_outputs[key], responses)
        return responses

    def finalize(self) -> None:
        """Let go of the session."""
        del self.session

    def read(self, request: Any) -> Feeds:
        """The request's tensors by name, as the network wants them."""
        feeds: Feeds = {}
        for name in self.inputs:
            tensor = pb_utils.get_input_tensor_by_name(request, name)
            if tensor is None:
                raise BadRequest(f"input '{name}' is missing")
            feeds[name] = from_triton(tensor)
        return feeds

    def batch_key(self, feeds: Feeds, index: int) -> Any:
        """Equal for requests that may share one run; the request's own index where nothing is batched."""
        if not self.batching:
            return index
        return tuple((name, array.shape[1:]) for name, array in feeds.items())

    def answer_group(self, members: list[tuple[int, Feeds]], wanted: list[str], responses: list[Any]) -> None:
        """Run the members together; where that fails, one by one, so that none fails for another's sake."""
        try:
            for (index, _), outputs in zip(members, self.run_together(members, wanted), strict=True):
                tensors = [to_triton(name, array) for name, array in outputs.items()]
                responses[index] = pb_utils.InferenceResponse(output_tensors=tensors)
        except Exception as error:
            if len(members) == 1:
                responses[members[0][0]] = refusal(error)
                return
            for member in members:
                self.answer_group([member], wanted, responses)

    def run_together(self, members: list[tuple[int, Feeds]], wanted: list[str]) -> list[Feeds]:
        """One run of the network for all members; each gets its own rows back."""
        if len(members) == 1:
            return [self.run(members[0][1], wanted)]
        rows = [next(iter(feeds.values())).shape[0] for _, feeds in members]
        joined = {name: np.concatenate([feeds[name] for _, feeds in members]) for name in self.inputs}
        outputs = self.run(joined, wanted)
        for name, array in outputs.items():
            if array.shape[0] != sum(rows):
                raise ValueError(f"output '{name}' has {array.shape[0]} rows for {sum(rows)} in")
        cuts = np.cumsum(rows)[:-1]
        parts = {name: np.split(array, cuts) for name, array in outputs.items()}
        return [{name: parts[name][position] for name in parts} for position in range(len(members))]

    def run(self, feeds: Feeds, wanted: list[str]) -> Feeds:
        """The wanted outputs of the network, contiguous, as Triton must have them."""
        arrays = self.session.run(wanted, feeds)
        return {name: np.asarray(array, order="C") for name, array in zip(wanted, arrays, strict=True)}


def from_triton(tensor: Any) -> np.ndarray:
    """The tensor as ONNX Runtime takes it, without a copy where it holds numbers."""
    if THROUGH_DLPACK:
        return np.from_dlpack(tensor)
    array = tensor.as_numpy()
    if array.dtype != np.object_:
        return array
    return np.array([item.decode("utf-8") for item in array.reshape(-1)], dtype=np.object_).reshape(array.shape)


def to_triton(name: str, array: np.ndarray) -> Any:
    """The array as the stub takes it."""
    if not THROUGH_DLPACK:
        return pb_utils.Tensor(name, array)
    capsule = array.__dlpack__()
    # The stub takes the memory over, and frees it, but marks the capsule with a name that numpy's own destructor takes
    # for an error.
    ctypes.pythonapi.PyCapsule_SetDestructor(ctypes.py_object(capsule), None)
    return pb_utils.Tensor.from_dlpack(name, capsule)


def session_options(config: dict[str, Any]) -> Any:
    """ONNX Runtime's options from the native backend's keys in config.pbtxt."""
    parameters = {key: value["string_value"] for key, value in config.get("parameters", {}).items()}
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    instances = sum(int(group.get("count", 1)) for group in config.get("instance_group", [])) or 1
    threads = int(parameters.get("intra_op_thread_count", "0"))
    # ONNX Runtime would take every core of the machine for each instance; share the ones that we may use.
    options.intra_op_num_threads = threads or max(1, len(os.sched_getaffinity(0)) // instances)
    options.inter_op_num_threads = int(parameters.get("inter_op_thread_count", "0"))
    if parameters.get("execution_mode") == "1":
        options.execution_mode = onnxruntime.ExecutionMode.ORT_PARALLEL
    options.enable_cpu_mem_arena = parameters.get("enable_mem_arena", "1") != "0"
    options.enable_mem_pattern = parameters.get("enable_mem_pattern", "1") != "0"
    level = int(config.get("optimization", {}).get("graph", {}).get("level", 0))
    options.graph_optimization_level = GRAPH_LEVELS.get(level, onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL)
    # Threads that spin while they wait steal the cores from the services on the same machine.
    session_entries = {"session.intra_op.allow_spinning": "0"}
    session_entries.update({key: value for key, value in parameters.items() if key.startswith("session.")})
    for key, value in session_entries.items():
        options.add_session_config_entry(key, value)
    return options


def checked_names(declared: list[dict[str, Any]], found: list[Any], batching: bool) -> list[str]:
    """The declared tensor names, once they agree with the network's in name, type and number of dimensions."""
    by_name = {tensor.name: tensor for tensor in found}
    for entry in declared:
        name = entry["name"]
        if name not in by_name:
            raise ValueError(f"config.pbtxt names tensor '{name}'; model.onnx has {sorted(by_name)}")
        if THROUGH_DLPACK and entry["data_type"] == "TYPE_STRING":
            raise ValueError(f"tensor '{name}': text needs Python 3.11 or 3.12 in Triton's environment")
        if "reshape" in entry:
            raise ValueError(f"tensor '{name}': reshape is not supported by this backend")
        tensor = by_name[name]
        if ONNX_TYPES.get(entry["data_type"]) != tensor.type:
            raise ValueError(f"tensor '{name}' is {entry['data_type']} in config.pbtxt, {tensor.type} in model.onnx")
        rank = len(entry["dims"]) + (1 if batching else 0)
        if tensor.shape is not None and len(tensor.shape) != rank:
            raise ValueError(f"tensor '{name}' has {rank} dimensions in config.pbtxt, {tensor.shape} in model.onnx")
    return [entry["name"] for entry in declared]


def refusal(error: Exception) -> Any:
    """The error as this one request's answer: INVALID_ARG where sending it again can't help."""
    # ONNX Runtime says FAIL or RUNTIME_EXCEPTION of shapes that don't fit inside the network, but also of no memory.
    final = (BadRequest, UnicodeDecodeError, ort_errors.Fail, ort_errors.InvalidArgument, ort_errors.RuntimeException)
    exhausted = isinstance(error, MemoryError) or "allocate" in str(error)
    code = pb_utils.TritonError.INVALID_ARG if isinstance(error, final) and not exhausted else None
    message = f"{type(error).__name__}: {error}"
    wrapped = pb_utils.TritonError(message, code) if code is not None else pb_utils.TritonError(message)
    return pb_utils.InferenceResponse(output_tensors=[], error=wrapped)
