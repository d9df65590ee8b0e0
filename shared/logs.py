"""Logs: one line each, with time, level, service and message; no patient name, ID or free text."""

import logging
import sys
import warnings

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


def start_logging(service: str, level: str = "INFO") -> None:
    """Sends every log line of this process to standard error, marked with the service's name."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_Service(service))
    handler.setFormatter(logging.Formatter(FORMAT))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    # pydicom's warnings quote the values that they are about
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module="pydicom")
    warnings.filterwarnings("ignore", module="highdicom")
