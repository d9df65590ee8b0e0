"""Arrays of findings as files: masks, maps and derived images are too large for a row of the book.

A file is NumPy's own format, compressed; who reads it holds it against the digest in the finding.
"""

import hashlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.durable import sync_folder, write_durably
from shared.findings import ArrayFile

SUFFIX = ".npz"


class BrokenArray(ValueError):
    """The file is not the one that was written."""


def write_array(data_dir: Path, folder: Path, name: str, array: NDArray[Any]) -> ArrayFile:
    """Writes `array` to the file `name` in `folder`, safe against a crash, and tells how to find it again.

    The same array gives the same bytes. Raises OSError.
    """
    content = BytesIO()
    np.savez_compressed(content, array=array)
    raw = content.getvalue()
    path = folder / f"{name}{SUFFIX}"
    write_durably(path, raw)
    sync_folder(folder)
    return ArrayFile(
        path=str(path.relative_to(data_dir)), digest=_digest(raw), shape=array.shape, dtype=str(array.dtype)
    )


def read_array(data_dir: Path, file: ArrayFile) -> NDArray[Any]:
    """The array that was written.

    Raises:
        BrokenArray: the file's bytes are not those that were written.
        OSError: it can't be read.
    """
    raw = (data_dir / file.path).read_bytes()
    if _digest(raw) != file.digest:
        raise BrokenArray(f"{file.path} is not the file that the finding names")
    with np.load(BytesIO(raw), allow_pickle=False) as archive:
        return np.asarray(archive["array"])


def _digest(raw: bytes) -> str:
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"
