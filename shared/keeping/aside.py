"""Files on their way out lie aside, under the removal's id: `<root>/.removed/<id>/<path>`.

A rename inside the transaction that writes the removal down: whoever looks finds the files in their place and the rows
that say so, or neither. A removal that was not committed is put back, one that was is finished.
"""

import contextlib
import logging
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from shared.durable import sync_folder

log = logging.getLogger(__name__)

FOLDER = ".removed"


def set_aside(root: Path, removal_id: str, paths: Iterable[str]) -> None:
    """Moves files (paths below `root`) aside; those that are not there are passed over.

    Raises:
        OSError: the disk refuses; what was moved until then lies aside.
    """
    top, made = root / FOLDER / removal_id, set[Path]()
    for path in paths:
        target = top / path
        if target.parent not in made:
            target.parent.mkdir(parents=True, exist_ok=True)
            made.add(target.parent)
        with contextlib.suppress(FileNotFoundError):
            (root / path).rename(target)
    for folder in made:
        sync_folder(folder)
        with contextlib.suppress(FileNotFoundError):
            sync_folder(root / folder.relative_to(top))


def put_back(root: Path, removal_id: str) -> int:
    """Moves everything back that lies aside under `removal_id`; returns how many files were moved.

    Where a file has come in the meantime the one that lies aside stays there: never one over another.
    """
    top, count = root / FOLDER / removal_id, 0
    for path in _files(top):
        target = root / path.relative_to(top)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path, target)
        except FileExistsError:
            log.error("not put back, another file has come path=%s", target.relative_to(root))
            continue
        sync_folder(target.parent)
        path.unlink()
        count += 1
    _remove_empty(top)
    return count


def delete(root: Path, removal_id: str) -> None:
    """Deletes what lies aside under `removal_id`, and the folders that it leaves empty in the store.

    Raises:
        OSError: the disk refuses.
    """
    top = root / FOLDER / removal_id
    left = {root / path.relative_to(top).parent for path in _files(top)}
    if top.is_dir():
        shutil.rmtree(top)
    for folder in left:
        _remove_empty_up_to(folder, root)


def lying_aside(root: Path) -> Iterator[Path]:
    """The folders of removals that are under way or were cut short."""
    with contextlib.suppress(FileNotFoundError):
        yield from sorted((root / FOLDER).iterdir())


def _files(top: Path) -> list[Path]:
    return sorted(path for path in top.rglob("*") if path.is_file()) if top.is_dir() else []


def _remove_empty(top: Path) -> None:
    for folder in sorted((p for p in top.rglob("*") if p.is_dir()), reverse=True):
        with contextlib.suppress(OSError):
            folder.rmdir()
    with contextlib.suppress(OSError):
        top.rmdir()


def _remove_empty_up_to(folder: Path, root: Path) -> None:
    """A folder that something has come into since is left: it is not empty."""
    while folder != root:
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent
