"""Steps over the end of a data set, from its pixel data on, to see whether it is whole; no value is read."""

import struct
from typing import IO

from shared.dicom.deflated import Inflated
from shared.dicom.problems import UnreadableInstance

_LONG_FORM = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}  # PS3.5 7.1.2
_UNDEFINED = 0xFFFFFFFF
_PIXELS = {0x7FE00008, 0x7FE00009, 0x7FE00010}
_ITEM, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE0DD


def check_tail(file: IO[bytes] | Inflated, size: int, implicit: bool, little: bool) -> bool:
    """Walks from where `file` stands to `size`; returns whether there is pixel data of more than no bytes.

    Raises:
        UnreadableInstance: a value reaches beyond the end.
    """
    order, pixels = "<" if little else ">", False
    while (head := file.read(8)) and len(head) == 8:
        tag, length = _element(file, head, implicit, order)
        if tag >> 16 < 0x7FE0:
            break  # not the order of PS3.5 7.1: what follows is not ours to judge
        if length == _UNDEFINED:
            length = _fragments(file, size, order)
        else:
            _step(file, length, size)
        pixels = pixels or (tag in _PIXELS and length > 0)
    return pixels


def _element(file: IO[bytes] | Inflated, head: bytes, implicit: bool, order: str) -> tuple[int, int]:
    group, element = struct.unpack(order + "HH", head[:4])
    if implicit or group == 0xFFFE:
        length = struct.unpack(order + "L", head[4:])[0]
    elif head[4:6] in _LONG_FORM:
        length = struct.unpack(order + "L", file.read(4).ljust(4, b"\0"))[0]
    else:
        length = struct.unpack(order + "H", head[6:])[0]
    return group << 16 | element, length


def _step(file: IO[bytes] | Inflated, length: int, size: int) -> None:
    missing = file.tell() + length - size
    if missing > 0:
        raise UnreadableInstance(f"the data set is cut: its pixel data lacks {missing} bytes")
    file.seek(length, 1)


def _fragments(file: IO[bytes] | Inflated, size: int, order: str) -> int:
    """Steps over encapsulated fragments to their delimiter (PS3.5 A.4); returns their length."""
    total = 0
    while len(head := file.read(8)) == 8:
        group, element, length = struct.unpack(order + "HHL", head)
        tag = group << 16 | element
        if tag == _SEQUENCE_END:
            return total
        if tag != _ITEM or length == _UNDEFINED:
            raise UnreadableInstance("the encapsulated pixel data is corrupt: an item tag is missing")
        _step(file, length, size)
        total += length
    raise UnreadableInstance("the encapsulated pixel data is cut: its end delimiter is missing")
