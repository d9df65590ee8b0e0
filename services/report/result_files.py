"""Writes result objects durably: `<results>/<study>/<run>/<file>`, and tells where each lies below the data folder."""

from collections.abc import Iterable
from pathlib import Path

from services.report.facts import ResultObject
from shared.durable import sync_folder, write_durably


def write_results(folder: Path, objects: Iterable[ResultObject]) -> None:
    """Writes every object below `folder`; when it returns, they are on the disk.

    Each goes to a temporary file first and is renamed when whole, so that no reader ever sees half of one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for result in objects:
        write_durably(folder / result.file_name, result.content)
    for changed in (folder, folder.parent, folder.parent.parent):
        sync_folder(changed)
