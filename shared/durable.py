"""Bytes that are on the disk when a function returns: what C-STORE's success, results and quarantine rest on."""

import errno
import os
import uuid
from pathlib import Path


def write_durably(path: Path, content: bytes) -> None:
    """Writes a file aside, forces it to the disk and renames it: no reader sees half of it, no crash loses it.

    The folders above are made where they are missing. The rename itself is durable after `sync_folder(path.parent)`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with aside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def sync_file(path: Path | str) -> None:
    """Forces a file's bytes to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path | str) -> None:
    """Forces a folder's entries to the disk; file systems that can't are let be."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
