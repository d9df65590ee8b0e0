"""The only code that speaks to Triton: gRPC, with shared memory for the tensors when Triton is on this host."""

import logging
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import tritonclient.grpc as triton
from google.protobuf.json_format import MessageToDict
from tritonclient.utils import InferenceServerException

from shared.serving import triton_tensors
from shared.serving.model_config import config_serving
from shared.serving.models import DEFAULT_TIMEOUT_S, Array, Arrays, ModelRefused, ModelUnavailable, infer_in_batches
from shared.serving.shared_memory_regions import (
    TENSORS,
    NoSharedMemory,
    Region,
    RegionPool,
    is_this_host,
    left_behind,
    supported,
)
from shared.serving.triton_errors import AWAY, CALL_TIMEOUT_S, ask_shortly, raise_ours, status
from shared.serving.triton_tensors import Layout, ModelShape, Request

logger = logging.getLogger(__name__)

CHANNEL = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # a server that comes back is found within a second, not after gRPC's two minutes
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # A proxy set for the web is not for a machine of our own.
    ("grpc.enable_http_proxy", 0),
]
DEAD_STUB = "is not healthy"
LOAD_TIMEOUT_S = 300.0
KINDS_REMEMBERED = 1000


class TritonModels:
    """The models of one Triton, by its gRPC address `host:port`. Thread-safe; make it after a fork, not before."""

    def __init__(self, url: str, shared_memory: Literal["auto", "never"] = "auto") -> None:
        self.url = url
        self._client: Any = triton.InferenceServerClient(url, channel_args=CHANNEL)
        self._lock = threading.Lock()
        self._shapes: dict[tuple[str, str], ModelShape] = {}
        self._row_bytes: dict[tuple[Any, ...], dict[str, int]] = {}
        self._configs: dict[str, str] = {}  # by which `serve` had a model loaded
        self._pool: RegionPool | None = None
        self._swept = False
        self._reviving = threading.Lock()
        if shared_memory == "auto" and is_this_host(url) and supported():
            self._pool = RegionPool(self._register, self._unregister)

    @property
    def description(self) -> str:
        """Who serves, in words for a screen or a log."""
        return f"Triton at {self.url}" + (" (shared memory)" if self._pool else "")

    def infer(
        self,
        model_name: str,
        inputs: Arrays,
        outputs: Sequence[str] | None = None,
        version: str = "",
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> dict[str, Array]:
        """See models.Models.infer."""
        deadline = time.monotonic() + timeout_s
        shape = self._shape(model_name, version, timeout_s)
        try:
            return self._infer_rows(model_name, inputs, outputs, version, shape, deadline)
        except ModelRefused:
            # The package may have been replaced since its configuration was read.
            self._shapes.pop((model_name, version), None)
            fresh = self._shape(model_name, version, max(0.001, deadline - time.monotonic()))
            if fresh == shape:
                raise
            return self._infer_rows(model_name, inputs, outputs, version, fresh, deadline)

    def live(self) -> bool:
        """Whether the server answers, whatever becomes of a single model."""
        return bool(ask_shortly(self._client.is_server_live))

    def ready(self) -> bool:
        """Whether the server answers, and with it every model that it was told to load."""
        return bool(ask_shortly(self._client.is_server_ready))

    def server_id(self) -> str:
        """The name that the server was started with (--id); empty where none answers."""
        answer = ask_shortly(self._client.get_server_metadata)
        return str(answer.name) if answer else ""

    def model_ready(self, model_name: str) -> bool:
        """Whether the model can be asked now."""
        return bool(ask_shortly(self._client.is_model_ready, model_name))

    def load(self, model_name: str) -> None:
        """Load the model, or load it anew. Raises ModelUnavailable with the reason where that fails."""
        self._forget(model_name)
        try:
            self._client.load_model(model_name, client_timeout=LOAD_TIMEOUT_S)
        except InferenceServerException as error:
            raise ModelUnavailable(f"{model_name} can't be loaded: {error.message()}") from error

    def serve(self, package: Path, numbers: Sequence[int]) -> None:
        """See models.Models.serve; versions that stay are not loaded anew, and their requests go on."""
        self._forget(package.name)
        config = config_serving(package / "config.pbtxt", numbers)
        try:
            self._client.load_model(package.name, config=config, client_timeout=LOAD_TIMEOUT_S)
        except InferenceServerException as error:
            raise ModelUnavailable(f"{package.name} can't be loaded: {error.message()}") from error
        self._configs[package.name] = config

    def served(self) -> dict[str, set[int]]:
        """See models.Models.served."""
        found: dict[str, set[int]] = {}
        for model in self._index():
            if model.state == "READY":
                found.setdefault(model.name, set()).add(int(model.version))
        return found

    def unload(self, model_name: str) -> None:
        """Let go of the model; returns when it no longer answers."""
        self._forget(model_name)
        try:
            self._client.unload_model(model_name, client_timeout=LOAD_TIMEOUT_S)
        except InferenceServerException as error:
            raise_ours(error)

    def statistics(self, model_name: str) -> dict[str, Any]:
        """Triton's own statistics of the model, as ModelStatistics in its protocol names them; counts are numbers."""
        try:
            answer = self._client.get_inference_statistics(model_name, client_timeout=CALL_TIMEOUT_S)
        except InferenceServerException as error:
            raise_ours(error)
        found: dict[str, Any] = MessageToDict(answer.model_stats[0], preserving_proto_field_name=True)
        counts = {name: int(found.get(name, 0)) for name in ("inference_count", "execution_count", "last_inference")}
        return found | counts

    def repository_index(self) -> dict[str, tuple[str, str]]:
        """Every model of the repository with its state (READY, UNAVAILABLE, …; empty if never loaded) and reason."""
        found: dict[str, tuple[str, str]] = {}
        for model in self._index():
            if found.get(model.name, ("",))[0] != "READY":  # it may have versions that are not
                found[model.name] = (model.state, model.reason)
        return found

    def _index(self) -> Any:
        try:
            return self._client.get_model_repository_index(client_timeout=CALL_TIMEOUT_S).models
        except InferenceServerException as error:
            raise_ours(error)

    def close(self) -> None:
        """Let go of the connection and of all memory."""
        if self._pool:
            self._pool.clear()
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _forget(self, model_name: str) -> None:
        with self._lock:
            self._shapes = {key: shape for key, shape in self._shapes.items() if key[0] != model_name}
            self._row_bytes = {key: sizes for key, sizes in self._row_bytes.items() if key[0] != model_name}

    def _shape(self, model_name: str, version: str, timeout_s: float) -> ModelShape:
        known = self._shapes.get((model_name, version))
        if known is None:
            try:
                answer = self._client.get_model_config(
                    model_name, version, client_timeout=min(timeout_s, CALL_TIMEOUT_S)
                )
            except InferenceServerException as error:
                raise_ours(error)
            names = tuple(output.name for output in answer.config.output)
            known = ModelShape(answer.config.max_batch_size, names)
            self._shapes[model_name, version] = known
        return known

    def _infer_rows(
        self,
        model_name: str,
        inputs: Arrays,
        outputs: Sequence[str] | None,
        version: str,
        shape: ModelShape,
        deadline: float,
    ) -> dict[str, Array]:
        wanted = shape.outputs if outputs is None else tuple(outputs)

        def infer_once(part: Arrays) -> dict[str, Array]:
            request = Request(model_name, version, dict(part), wanted, shape.max_batch_size > 0)
            found = self._infer_once(request, deadline)
            if len(self._row_bytes) > KINDS_REMEMBERED:
                self._row_bytes.clear()
            self._row_bytes[request.kind] = triton_tensors.row_bytes(request, found)
            return found

        return infer_in_batches(inputs, shape.max_batch_size, infer_once)

    def _infer_once(self, request: Request, deadline: float) -> dict[str, Array]:
        layout = Layout.of(request, self._row_bytes.get(request.kind, {}))
        pool = self._pool
        if pool and layout.byte_size:
            try:
                return self._infer_shared(request, layout, pool, deadline)
            except NoSharedMemory as reason:
                logger.info("triton is asked without shared memory model=%s reason=%s", request.model_name, reason)
        return self._ask(request, Layout(), None, deadline)

    def _infer_shared(self, request: Request, layout: Layout, pool: RegionPool, deadline: float) -> dict[str, Array]:
        region = pool.take(layout.byte_size)
        try:
            found = self._ask(request, layout, region, deadline)
        except (ModelRefused, ModelUnavailable) as error:
            pool.abandon(region)
            if "shared memory" not in str(error):
                raise
            # The server was restarted and knows our regions no more, or an output was larger than the last time.
            pool.clear()
            self._row_bytes.pop(request.kind, None)
            raise NoSharedMemory(str(error)) from error
        except BaseException:
            pool.abandon(region)
            raise
        pool.give_back(region)
        return found

    def _ask(self, request: Request, layout: Layout, region: Region | None, deadline: float) -> dict[str, Array]:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise ModelUnavailable(f"{request.model_name}: no answer in time")
        try:
            result = self._client.infer(
                request.model_name,
                triton_tensors.input_tensors(request, layout, region),
                model_version=request.version,
                outputs=triton_tensors.output_tensors(request, layout, region),
                client_timeout=remaining,
            )
        except InferenceServerException as error:
            if DEAD_STUB in str(error.message()):
                self._revive(request.model_name)
            raise_ours(error)
        return triton_tensors.answers(request, layout, region, result)

    def _revive(self, model_name: str) -> None:
        """Load a model anew whose Python process was killed: Triton 2.51 would call it unhealthy for ever."""
        if not self._reviving.acquire(blocking=False):
            return
        try:
            logger.warning("triton lost the process of model=%s and loads it anew", model_name)
            self._client.unload_model(model_name, client_timeout=LOAD_TIMEOUT_S)
            self._client.load_model(model_name, config=self._configs.get(model_name), client_timeout=LOAD_TIMEOUT_S)
        except InferenceServerException as error:
            logger.warning("triton can't load model=%s reason=%s", model_name, error.message())
        finally:
            self._reviving.release()

    def _register(self, name: str, byte_size: int) -> None:
        try:
            self._sweep()
            self._client.register_system_shared_memory(name, f"/{name}", byte_size, client_timeout=CALL_TIMEOUT_S)
        except InferenceServerException as error:
            if status(error) in AWAY:
                raise_ours(error)
            # Triton sees another /dev/shm than we do: it runs in a container of its own, or behind a forwarded port.
            self._pool = None
            raise NoSharedMemory(error.message() or "registration refused") from error

    def _sweep(self) -> None:
        """Undo, once, the registrations of processes that were killed."""
        if self._swept:
            return
        registered = self._client.get_system_shared_memory_status(client_timeout=CALL_TIMEOUT_S).regions
        for name in left_behind(registered, TENSORS):
            self._unregister(name)
        self._swept = True

    def _unregister(self, name: str) -> None:
        self._client.unregister_system_shared_memory(name, client_timeout=CALL_TIMEOUT_S)
