"""What a compressed image says of itself, read from its first bytes, before a decoder believes it."""

import struct
from typing import NamedTuple

_JPEG2000 = b"\xff\x4f\xff\x51"  # SOC and SIZ, ISO 15444-1 A.4 and A.5.1
_JP2 = b"\0\0\0\x0cjP  "  # the first box of a JP2 file, ISO 15444-1 I.5.1
_JPEG = b"\xff\xd8"  # SOI, ISO 10918-1 B.1; JPEG-LS shares the structure
_START_OF_FRAME = frozenset({*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0), 0xF7})


class Claim(NamedTuple):
    """Rows, columns, components, and bits of the first component."""

    rows: int
    columns: int
    components: int
    bits: int


def claim_of(codestream: bytes) -> Claim | None:
    """What a JPEG, JPEG-LS or (HT)JPEG 2000 codestream claims; None when it is none or its start is broken."""
    if codestream.startswith(_JP2):
        codestream = _boxed(codestream)
    if codestream.startswith(_JPEG2000):
        return _jpeg2000_claim(codestream)
    return _jpeg_claim(codestream) if codestream.startswith(_JPEG) else None


def _boxed(file: bytes) -> bytes:
    """The codestream in a JP2 file; empty where there is none (ISO 15444-1 I.4)."""
    at = 0
    while at + 16 <= len(file):
        length, kind = struct.unpack_from(">I4s", file, at)
        head = 8
        if length == 1:
            length, head = struct.unpack_from(">Q", file, at + 8)[0], 16
        if kind == b"jp2c":
            return file[at + head :]
        if length < head:
            break
        at += length
    return b""


def _jpeg2000_claim(codestream: bytes) -> Claim | None:
    if len(codestream) < 43:
        return None
    right, bottom, left, top = struct.unpack(">4I", codestream[8:24])
    components, depth = struct.unpack(">HB", codestream[40:43])
    return Claim(max(bottom - top, 0), max(right - left, 0), components, (depth & 0x7F) + 1)


def _jpeg_claim(codestream: bytes) -> Claim | None:
    at = 2
    while at + 10 <= len(codestream) and codestream[at] == 0xFF:
        marker = codestream[at + 1]
        if marker in _START_OF_FRAME:
            bits, rows, columns, components = struct.unpack(">BHHB", codestream[at + 4 : at + 10])
            return Claim(rows, columns, components, bits)
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        at += 2 + int.from_bytes(codestream[at + 2 : at + 4], "big")
    return None
