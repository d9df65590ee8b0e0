"""What a gate or a reader may ask of the models that are served, wherever they run, and how that can fail."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Arrays = Mapping[str, Array]

DEFAULT_TIMEOUT_S = 60.0


class ServingError(Exception):
    """A model did not answer as asked."""


class ModelUnavailable(ServingError):
    """The server is away, the model is not loaded, or there was no answer in time: the same call may succeed later."""


class ServerAway(ModelUnavailable):
    """Nobody was there to be asked: what was to be asked can't be the cause."""


class ModelRefused(ServingError):
    """The model can't take this input (name, shape, type): the same call will fail again."""


class Models(Protocol):
    """The models of one repository. Every method may be called from several threads at once."""

    @property
    def description(self) -> str:
        """Who serves, in words for a screen or a log."""
        ...

    def infer(
        self,
        model_name: str,
        inputs: Arrays,
        outputs: Sequence[str] | None = None,
        version: str = "",
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> dict[str, Array]:
        """The model's outputs (all, or those named) for inputs with one row per item.

        Inputs and outputs are shaped (rows, …) where the model batches; any number of rows is taken, and more than
        the model's max_batch_size are sent in several requests. Raises ModelUnavailable or ModelRefused.
        """
        ...

    def live(self) -> bool:
        """Whether the server answers, whatever becomes of a single model."""
        ...

    def ready(self) -> bool:
        """Whether the server answers, and with it every model that it was told to load."""
        ...

    def model_ready(self, model_name: str) -> bool:
        """Whether the model can be asked now."""
        ...

    def load(self, model_name: str) -> None:
        """Load the model, or load it anew. Raises ModelUnavailable with the reason where that fails."""
        ...

    def serve(self, package: Path, numbers: Sequence[int]) -> None:
        """Have these versions of the package in this folder served, and no others; what is being answered is answered.

        Raises ModelUnavailable with the reason where one of them can't be loaded: then all stays as it was. Raises
        ValueError or OSError where its config.pbtxt can't be read.
        """
        ...

    def served(self) -> dict[str, set[int]]:
        """The versions of each model that can be asked now. Raises ModelUnavailable where the server is away."""
        ...

    def unload(self, model_name: str) -> None:
        """Let go of the model."""
        ...

    def statistics(self, model_name: str) -> dict[str, Any]:
        """Since the model was loaded: inference_count (rows), execution_count (runs), and what else is known."""
        ...

    def close(self) -> None:
        """Let go of the connection and of all memory."""
        ...


def infer_in_batches(
    inputs: Arrays, max_batch_size: int, infer_once: Callable[[Arrays], dict[str, Array]]
) -> dict[str, Array]:
    """Call `infer_once` with at most `max_batch_size` rows at a time (0: it does not batch) and join the answers."""
    rows = {name: array.shape[0] if array.ndim else 0 for name, array in inputs.items()}
    if max_batch_size <= 0 or not rows:
        return infer_once(inputs)
    count = next(iter(rows.values()))
    if count == 0 or any(other != count for other in rows.values()):
        raise ModelRefused(f"inputs must have one and the same number of rows, at least 1: {rows}")
    parts = [
        infer_once({name: array[start : start + max_batch_size] for name, array in inputs.items()})
        for start in range(0, count, max_batch_size)
    ]
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
