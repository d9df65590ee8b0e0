"""Tells what Isocenter made itself from what it was sent: a PACS may route our results back to us like any image."""

from collections.abc import Mapping
from typing import Any

MANUFACTURER = "Isocenter"
"""Manufacturer (0008,0070) of every DICOM object that report makes."""


def is_own_result(header: Mapping[str, Any]) -> bool:
    """Whether an instance with this header (shape: shared.dicom.header) is a result of Isocenter's."""
    return header.get("manufacturer") == MANUFACTURER
