"""The same packages in this process, by ONNX Runtime, for platforms on which Triton can't run (macOS, Windows).

Never the default on Linux. It takes every core for one request, batches nothing across requests, and dies with us.
"""

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from shared.packages.folder import weight_numbers
from shared.serving.model_config import PackageConfig, read_config
from shared.serving.models import (
    DEFAULT_TIMEOUT_S,
    Array,
    Arrays,
    ModelRefused,
    ModelUnavailable,
    infer_in_batches,
)

logger = logging.getLogger(__name__)

DESCRIPTION = "ONNX Runtime in this process, NOT Triton"
TOO_LARGE = "allocate"
"""In ONNX Runtime's message where memory was short, which passes; its other errors stay."""


@dataclass
class LoadedModel:
    """One open package."""

    config: PackageConfig
    session: Any
    version: int
    inference_count: int = 0
    execution_count: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class LocalModels:
    """The models of one repository, opened when they are first asked. Thread-safe."""

    def __init__(self, model_repository: Path) -> None:
        self._repository = model_repository
        self._models: dict[tuple[str, int], LoadedModel] = {}
        self._unloaded: set[str] = set()
        self._lock = threading.Lock()
        logger.warning("models run inside this process, not on Triton repository=%s", model_repository)

    @property
    def description(self) -> str:
        """Who serves, in words for a screen or a log."""
        return DESCRIPTION

    def infer(
        self,
        model_name: str,
        inputs: Arrays,
        outputs: Sequence[str] | None = None,
        version: str = "",
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> dict[str, Array]:
        """See models.Models.infer; a run that has begun is not broken off, so time is looked at between batches."""
        model = self._model(model_name, int(version or 0))
        arrays = dict(inputs)
        model.config.check(arrays)
        names = [tensor.name for tensor in model.config.outputs]
        wanted = names if outputs is None else list(outputs)
        if unknown := sorted(set(wanted) - set(names)):
            raise ModelRefused(f"{model_name} has no output {unknown}")
        deadline = time.monotonic() + timeout_s

        def infer_once(part: Arrays) -> dict[str, Array]:
            if time.monotonic() > deadline:
                raise ModelUnavailable(f"{model_name}: no answer in time")
            return run(model, part, wanted)

        return infer_in_batches(arrays, model.config.max_batch_size, infer_once)

    def live(self) -> bool:
        """They are in this process."""
        return True

    def ready(self) -> bool:
        """Whether there are packages to ask."""
        return self._repository.is_dir()

    def model_ready(self, model_name: str) -> bool:
        """Whether the model can be asked now; opens it."""
        try:
            self._model(model_name)
        except ModelUnavailable:
            return False
        return True

    def load(self, model_name: str) -> None:
        """Open the model, or open it anew. Raises ModelUnavailable with the reason where that fails."""
        self.unload(model_name)
        with self._lock:
            self._unloaded.discard(model_name)
        self._model(model_name)

    def serve(self, package: Path, numbers: Sequence[int]) -> None:
        """See models.Models.serve."""
        for number in numbers:
            self._model(package.name, number)
        with self._lock:
            for name, number in list(self._models):
                if name == package.name and number not in numbers:
                    del self._models[name, number]

    def served(self) -> dict[str, set[int]]:
        """See models.Models.served; others are opened when they are asked."""
        found: dict[str, set[int]] = {}
        for name, number in list(self._models):
            found.setdefault(name, set()).add(number)
        return found

    def unload(self, model_name: str) -> None:
        """Let go of the model."""
        with self._lock:
            self._models = {key: model for key, model in self._models.items() if key[0] != model_name}
            self._unloaded.add(model_name)

    def statistics(self, model_name: str) -> dict[str, Any]:
        """See models.Models.statistics."""
        model = self._model(model_name)
        return {
            "name": model_name,
            "inference_count": model.inference_count,
            "execution_count": model.execution_count,
        }

    def close(self) -> None:
        """Let go of every model."""
        with self._lock:
            self._models.clear()

    def _model(self, model_name: str, number: int = 0) -> LoadedModel:
        """One version; 0: the highest, as services do."""
        with self._lock:
            if model_name in self._unloaded:
                raise ModelUnavailable(f"{model_name} is not loaded")
            folder = self._repository / model_name
            number = number or max(weight_numbers(folder), default=1)
            if (model_name, number) not in self._models:
                self._models[model_name, number] = open_model(folder, number)
            return self._models[model_name, number]


def open_model(package: Path, version: int) -> LoadedModel:
    """One version of the package's network, opened. Raises ModelUnavailable with the reason where that fails."""
    model_file = package / str(version) / "model.onnx"
    if not model_file.is_file() or not (package / "config.pbtxt").is_file():
        raise ModelUnavailable(f"unknown model: version {version} of {package.name} is not found")
    try:
        config = read_config(package / "config.pbtxt")
        session = onnxruntime.InferenceSession(str(model_file), providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelUnavailable(f"{package.name} can't be loaded: {error}") from error
    return LoadedModel(config, session, version)


def run(model: LoadedModel, inputs: Arrays, wanted: Sequence[str]) -> dict[str, Array]:
    """One run of the network, counted."""
    try:
        arrays: list[Array] = model.session.run(list(wanted), dict(inputs))
    except Exception as error:
        if TOO_LARGE in str(error):
            raise ModelUnavailable(str(error)) from error
        raise ModelRefused(str(error)) from error
    with model.lock:
        model.execution_count += 1
        model.inference_count += next(iter(inputs.values())).shape[0] if model.config.max_batch_size else 1
    return {name: np.asarray(array) for name, array in zip(wanted, arrays, strict=True)}
