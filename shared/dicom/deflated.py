"""Inflates a deflated data set (PS3.5 A.5) as far as its header, within bounds, and sees whether it is whole."""

import zlib
from io import BytesIO
from typing import IO

from shared.dicom.problems import UnreadableInstance

_KEPT = 64 * 2**20  # the header and, mostly, the pixels
_MOST = 2**30  # a deflate bomb grows a thousandfold; a data set of this size is sent otherwise
_CHUNK = 2**20


class Inflated(BytesIO):
    """The beginning of the inflated data set, or all of it; `size` is its whole length."""

    size = 0


def inflate(file: IO[bytes], kept: int | None = None, most: int | None = None) -> Inflated:
    """Inflates from where `file` stands; about the first `kept` bytes are there to be read (64 MiB).

    Raises:
        UnreadableInstance: the stream is corrupt, ends early, or inflates to more than `most` bytes (1 GiB).
    """
    kept, most = kept or _KEPT, most or _MOST
    inflater, out = zlib.decompressobj(-zlib.MAX_WBITS), Inflated()
    data = file.read(_CHUNK)
    while data and not inflater.eof:
        try:
            piece = inflater.decompress(data, _CHUNK)
        except zlib.error:
            raise UnreadableInstance("the deflated data set is corrupt") from None
        out.size += len(piece)
        if out.size > most:
            raise UnreadableInstance(f"the deflated data set inflates to more than {most >> 20} MiB")
        if out.tell() < kept:
            out.write(piece)
        data = inflater.unconsumed_tail or file.read(_CHUNK)
    if not inflater.eof:
        raise UnreadableInstance("the deflated data set is cut")
    out.seek(0)
    return out
