"""Writes result objects durably: `<results>/<study>/<run>/<file>`, and tells where each lies below the data folder."""

import os
from collections.abc import Iterable
from pathlib import Path

from services.report.facts import ResultObject


def write_results(folder: Path, objects: Iterable[ResultObject]) -> None:
    """Writes every object below `folder`; when it returns, they are on the disk.

    Each goes to a temporary file first and is renamed when whole, so that no reader ever sees half of one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for result in objects:
        _write(folder / result.file_name, result.content)
    _sync_folder(folder)
    _sync_folder(folder.parent)


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _sync_folder(folder: Path) -> None:
    """Makes the rename itself durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
