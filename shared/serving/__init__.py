"""Models, served: on NVIDIA Triton, which runs from its own environment (docs/decisions/0002), or where that can't be,
in this process. Services ask through `Models` and never see which."""

import sys
from pathlib import Path
from typing import Literal

from shared.serving.models import ModelRefused, Models, ModelUnavailable, ServerAway, ServingError

__all__ = ["ModelRefused", "ModelUnavailable", "Models", "ServerAway", "ServingError", "open_models", "triton_can_run"]


def triton_can_run() -> bool:
    """Whether Isocenter's own Triton exists for this platform."""
    return sys.platform == "linux"


def open_models(
    url: str,
    model_repository: Path,
    *,
    shared_memory: Literal["auto", "never"] = "auto",
    in_process: bool | None = None,
) -> Models:
    """The models that Triton serves at `url`; where there is no `url` and Triton can't run here, in this process.

    `in_process` decides it instead of the platform: on Linux only a person who says True gets the models in-process.
    Raises ValueError where Triton is to be asked and no address is given.
    """
    if in_process is None:
        in_process = not url and not triton_can_run()
    if in_process:
        from shared.serving.onnx_local import LocalModels

        return LocalModels(model_repository)
    if not url:
        raise ValueError("no address of a Triton is given, and on this platform it is not replaced by anything")
    from shared.serving.triton_grpc import TritonModels

    return TritonModels(url, shared_memory)
