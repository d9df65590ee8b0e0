"""Logs: one line each, with time, level, service and message; no patient name, ID or free text."""

import logging
import sys
import threading
import traceback
import warnings
from types import TracebackType

FORMAT = "%(asctime)s %(levelname)-7s %(service)-7s %(message)s"

# Libraries that speak much at INFO, or that print what a peer sent (which may name a patient).
_QUIET = (
    "pynetdicom",
    "pydicom",
    "celery",
    "kombu",
    "amqp",
    "uvicorn.access",
    "alembic",
    "httpx",
    "hl7apy",
    "highdicom",
)


class _Service(logging.Filter):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.service = name

    def filter(self, record: logging.LogRecord) -> bool:
        record.service = self.service
        return True


class _Formatter(logging.Formatter):
    """A traceback tells where and which kind of error; its text may quote what an image says of a patient."""

    def formatException(  # noqa: N802  (logging's name)
        self, ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
    ) -> str:
        error, blocks = ei[1], list[str]()
        while error is not None and len(blocks) < 10:
            blocks.insert(0, "".join(traceback.format_tb(error.__traceback__)) + _kind_of(error))
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        return "\nled to\n".join(blocks)


def _kind_of(error: BaseException) -> str:
    kind = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    return f"{kind}: {error.strerror}" if isinstance(error, OSError) and error.strerror else kind


def _log_end_of_thread(ended: threading.ExceptHookArgs) -> None:
    name = ended.thread.name if ended.thread else "?"
    error = ended.exc_value or ended.exc_type()
    logging.getLogger(__name__).error("thread ended by a fault thread=%s", name, exc_info=error)


def start_logging(service: str, level: str = "INFO") -> None:
    """Sends every log line of this process to standard error, marked with the service's name."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_Service(service))
    handler.setFormatter(_Formatter(FORMAT))
    threading.excepthook = _log_end_of_thread
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    # pydicom's warnings quote the values that they are about
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module="pydicom")
    warnings.filterwarnings("ignore", module="highdicom")
