"""The size that a compressed image says of itself, read from its first bytes, before a decoder believes it."""

import struct

_JPEG2000 = b"\xff\x4f\xff\x51"  # SOC and SIZ, ISO 15444-1 A.4 and A.5.1
_JPEG = b"\xff\xd8"  # SOI, ISO 10918-1 B.1; JPEG-LS shares the structure
_START_OF_FRAME = frozenset({*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0), 0xF7})


def size_of(codestream: bytes) -> tuple[int, int] | None:
    """Rows and columns of a JPEG, JPEG-LS or (HT)JPEG 2000 codestream; None when it is none or its start is broken."""
    at = codestream.find(_JPEG2000, 0, 4096)  # a JP2 file has boxes before it
    if at >= 0:
        return _jpeg2000_size(codestream[at:])
    return _jpeg_size(codestream) if codestream[:2] == _JPEG else None


def _jpeg2000_size(codestream: bytes) -> tuple[int, int] | None:
    if len(codestream) < 24:
        return None
    right, bottom, left, top = struct.unpack(">4I", codestream[8:24])
    return max(bottom - top, 0), max(right - left, 0)


def _jpeg_size(codestream: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(codestream) and codestream[at] == 0xFF:
        marker = codestream[at + 1]
        if marker in _START_OF_FRAME:
            rows, columns = struct.unpack(">2H", codestream[at + 5 : at + 9])
            return rows, columns
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        at += 2 + int.from_bytes(codestream[at + 2 : at + 4], "big")
    return None
