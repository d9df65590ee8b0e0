"""What Triton answers instead of a result, as one of our two errors."""

from typing import Any, NoReturn

from tritonclient.utils import InferenceServerException

from shared.serving.models import ModelRefused, ModelUnavailable, ServerAway

REFUSALS = {"INVALID_ARGUMENT", "UNIMPLEMENTED", "OUT_OF_RANGE", "FAILED_PRECONDITION", "ALREADY_EXISTS"}
NATIVE_REFUSAL = "onnx runtime error 2:"
"""How NVIDIA's native backend words ONNX Runtime's INVALID_ARGUMENT, under the status INTERNAL."""
NO_CONNECTION = "failed to connect to all addresses"
"""How gRPC words that nothing was sent, under the status UNAVAILABLE."""
AWAY = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED"}
CALL_TIMEOUT_S = 5.0


def ask_shortly(ask: Any, *what: str) -> Any:
    """The answer, or None."""
    try:
        return ask(*what, client_timeout=CALL_TIMEOUT_S)
    except InferenceServerException:
        return None


def status(error: InferenceServerException) -> str:
    """The gRPC status by name, such as UNAVAILABLE."""
    return str(error.status()).removeprefix("StatusCode.")


def raise_ours(error: InferenceServerException) -> NoReturn:
    """Triton's error as one of ours."""
    message = f"{status(error)}: {error.message()}"
    if status(error) in REFUSALS or NATIVE_REFUSAL in message:
        raise ModelRefused(message) from error
    raise (ServerAway if NO_CONNECTION in message else ModelUnavailable)(message) from error
