"""A file for a parser that goes back to where it was: it may do so, but not without end."""

from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import _read_file_meta_info, read_dataset, read_preamble
from pydicom.tag import Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian

from shared.dicom.deflated import Inflated, inflate
from shared.dicom.problems import UnreadableInstance

_PIXELS = {0x7FE00008, 0x7FE00009, 0x7FE00010}
_TIMES = 8  # pydicom reads headers once, and a value without a length twice
_SLACK = 2**20
_MOST_INFLATED = 256 * 2**20  # a parser keeps all of it


class Once:
    """Reads `file`, which is `size` bytes long, and gives up when its bytes have been read over and over.

    pydicom looks for the end of a value of undefined length up to the end of the file and, when there is none, goes on
    behind its head: ten thousand such heads make a file of a few hundred KB a matter of minutes.

    Raises:
        UnreadableInstance: from `read`, as soon as that is so.
    """

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._left = file, _TIMES * size + _SLACK
        self.seek, self.tell, self.name = file.seek, file.tell, getattr(file, "name", "")

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise UnreadableInstance("the data set can't be parsed: its values of undefined length have no end")
        return data

    def close(self) -> None:
        self._file.close()


def read_part10(
    path: Path, tags: Sequence[int | str] | None = None, pixels: bool = False, force: bool = False
) -> tuple[Dataset, int]:
    """`pydicom.dcmread` within bounds of time and memory, and where in the file it stopped (0: it was deflated).

    Args:
        path: the file.
        tags: only these elements.
        pixels: also the pixel data.
        force: also without the prefix DICM.

    Raises:
        UnreadableInstance: a deflated data set is corrupt or inflates to more than 256 MiB; or parsing finds no end.
        Exception: what `dcmread` raises.
    """
    with path.open("rb") as file:
        read_preamble(file, force)
        meta = _read_file_meta_info(file)
        if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
            return _read_deflated(inflate(file, _MOST_INFLATED, _MOST_INFLATED), meta, tags, pixels), 0
        file.seek(0)
        once: Any = Once(file, path.stat().st_size)
        wanted: Any = list(tags) if tags else None
        return pydicom.dcmread(once, stop_before_pixels=not pixels, force=force, specific_tags=wanted), file.tell()


def _read_deflated(
    inflated: Inflated, meta: FileMetaDataset, tags: Sequence[int | str] | None, pixels: bool
) -> Dataset:
    once: Any = Once(inflated, inflated.size)
    wanted: Any = [Tag(tag) for tag in tags] if tags else None
    ds = read_dataset(
        once, is_implicit_VR=False, is_little_endian=True, specific_tags=wanted,
        stop_when=None if pixels else lambda tag, _vr, _length: tag in _PIXELS,
    )  # fmt: skip
    ds.file_meta = meta
    return ds
