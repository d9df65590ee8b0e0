"""A plain scan of an encoded data set for a few of its elements: microseconds, where parsing all of it takes hundreds.

It takes only what is in order: ascending tags, known VRs, values inside their bounds, text that means the same however
it is decoded. Anything else is `Odd`, and pydicom is to look. What it takes, it reads as pydicom does; the tests hold
the two against each other.
"""

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from pydicom.charset import python_encoding
from pydicom.datadict import dictionary_VR

Encoded = bytes | bytearray | memoryview
_Element = tuple[int, bytes | None, int, int, int]  # tag, VR (None: Implicit), length, where value and element begin

_SHORT_FORM = b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US"
_LONG_FORM = b"OB OD OF OL OV OW SQ SV UC UN UR UT UV"
_VALUE_AT = dict.fromkeys(_SHORT_FORM.split(), 8) | dict.fromkeys(_LONG_FORM.split(), 12)  # PS3.5 7.1.2
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_TRANSFER_SYNTAX = 0x00020010
_PIXELS_FROM = 0x7FE00000
_PIXELS = {0x7FE00008, 0x7FE00009, 0x7FE00010}
_CHARACTER_SET = 0x00080005
_MOST_LEVELS = 8  # of sequences in sequences
_LEAST_ELEMENT = 8
_TWO_LETTERS = re.compile(rb"[A-Z]{2}")
_WHOLE_NUMBER = re.compile(rb" *[-+]?[0-9]{1,10}[ \0]*")


class Odd(Exception):
    """Not for the scan: pydicom is to look."""


class Short(Odd):
    """More of the data set is needed."""


@dataclass(frozen=True, slots=True)
class Scanned:
    """What was found.

    `values` are text or whole numbers by tag; what is not there is absent. `tail_at` is where the elements of the pixel
    data's group begin, or the end. `has_pixel_data` is None where only what lies after that tells.
    """

    values: dict[int, str | int]
    tail_at: int
    has_pixel_data: bool | None


def scan(start: Encoded, size: int, implicit: bool, little: bool, wanted: Mapping[int, str]) -> Scanned:
    """Scans the beginning of a data set up to its pixel data.

    Args:
        start: the data set's first bytes, or all.
        size: bytes of the whole data set.
        implicit: Implicit VR.
        little: little endian.
        wanted: the VR (UI, CS, LO, SH, DA, IS or US) by the tag of what is wanted.

    Raises:
        Odd: pydicom is to look; `Short`: or more bytes are needed.
    """
    return _Scan(start, size, implicit, little).run(wanted)


def scan_file_meta(start: Encoded) -> tuple[str, int]:
    """The transfer syntax that the File Meta Information (PS3.10 7.1) names, and where the data set begins.

    Args:
        start: the file's first bytes.

    Raises:
        Odd: pydicom is to look.
    """
    if start[128:140] != b"DICM\x02\x00\x00\x00UL\x04\x00":
        raise Odd
    end = 144 + int.from_bytes(start[140:144], "little")
    if end > len(start):
        raise Odd
    meta = _Scan(start[144:end], end - 144, implicit=False, little=True)
    return str(meta.run({_TRANSFER_SYNTAX: "UI"}, 0x00020000).values.get(_TRANSFER_SYNTAX, "")), end


class _Scan:
    def __init__(self, start: Encoded, size: int, implicit: bool, little: bool) -> None:
        self.data, self.size, self.implicit = start, size, implicit
        order = "<" if little else ">"
        self.head = struct.Struct(order + ("HHL" if implicit else "HH2sH")).unpack_from
        self.item_head = struct.Struct(order + "HHL").unpack_from
        self.long = struct.Struct(order + "L").unpack_from
        self.short = struct.Struct(order + "H").unpack
        self.codec = "latin-1"

    def run(self, wanted: Mapping[int, str], after: int = 0x0007FFFF) -> Scanned:
        try:
            return self._top(wanted, after)
        except struct.error:
            raise Short if len(self.data) < self.size else Odd from None

    def _top(self, wanted: Mapping[int, str], last: int) -> Scanned:
        if self.implicit and _TWO_LETTERS.fullmatch(self.data[4:6]):  # where pydicom takes it for Explicit VR
            raise Odd
        values: dict[int, str | int] = {}
        step_to = self._step_to_implicit if self.implicit else self._step_to_explicit
        at = 0
        while (found := step_to(at, last, wanted)) is not None:
            last, vr, length, value_at, begin = found
            if last >= _PIXELS_FROM:
                return Scanned(values, begin, self._tail(last, value_at, length))
            if length == _UNDEFINED:
                at = self._sequence(last, vr, value_at, 1)
                if last in wanted:
                    raise Odd
                continue
            at = self._end(value_at, length)
            value = self._value(last, wanted[last], vr, bytes(self.data[value_at:at]))
            if value != "":
                values[last] = value
        return Scanned(values, self.size, False)

    def _step_to_explicit(self, at: int, last: int, wanted: Mapping[int, str]) -> _Element | None:
        """Steps to the next element that is wanted, has no defined length, or begins the pixel data's group."""
        head, long, data, size = self.head, self.long, self.data, self.size  # this loop is all that takes time
        while at < size:
            group, element, vr, length = head(data, at)
            tag, value_at = group << 16 | element, at + _VALUE_AT.get(vr, 0)
            if tag <= last or value_at == at:
                raise Odd
            if value_at - at == 12:
                length = long(data, at + 8)[0]
            if tag in wanted or length == _UNDEFINED or tag >= _PIXELS_FROM:
                return tag, vr, length, value_at, at
            last, at = tag, value_at + length
        self._check_end(at)
        return None

    def _step_to_implicit(self, at: int, last: int, wanted: Mapping[int, str]) -> _Element | None:
        head, data, size = self.head, self.data, self.size
        while at < size:
            group, element, length = head(data, at)
            tag = group << 16 | element
            if tag <= last:
                raise Odd
            if tag in wanted or length == _UNDEFINED or tag >= _PIXELS_FROM:
                return tag, None, length, at + 8, at
            last, at = tag, at + 8 + length
        self._check_end(at)
        return None

    def _check_end(self, at: int) -> None:
        if at != self.size or at == 0:
            raise Odd

    def _element(self, at: int) -> tuple[int, bytes | None, int, int]:
        """Tag, VR (None: Implicit), length, and where the value begins."""
        if self.implicit:
            group, element, length = self.head(self.data, at)
            return group << 16 | element, None, length, at + 8
        group, element, vr, length = self.head(self.data, at)
        tag, value_at = group << 16 | element, _VALUE_AT.get(vr)
        if value_at is None:
            raise Odd
        if value_at == 12:
            length = self.long(self.data, at + 8)[0]
        return tag, vr, length, at + value_at

    def _end(self, value_at: int, length: int) -> int:
        end = value_at + length
        if end > len(self.data):
            raise Short if end <= self.size else Odd
        return end

    def _sequence(self, tag: int, vr: bytes | None, at: int, level: int) -> int:
        """Steps over a sequence of undefined length (PS3.5 7.5.1); where it ends."""
        if level > _MOST_LEVELS or tag == _CHARACTER_SET or not self._is_sequence(tag, vr, at):
            raise Odd
        while True:
            tag, length = self._item(at)
            at += 8
            if tag == _SEQUENCE_END and length == 0:
                return at
            if tag != _ITEM:
                raise Odd
            at = self._elements(at, None if length == _UNDEFINED else self._end(at, length), level)

    def _is_sequence(self, tag: int, vr: bytes | None, at: int) -> bool:
        """Implicit VR leaves it to the dictionary, or, for what is not in it, to the first item."""
        if vr is not None:
            return vr == b"SQ"
        try:
            return dictionary_VR(tag) == "SQ"
        except KeyError:
            return self._item(at)[0] == _ITEM

    def _item(self, at: int) -> tuple[int, int]:
        group, element, length = self.item_head(self.data, at)
        return group << 16 | element, length

    def _elements(self, at: int, end: int | None, level: int) -> int:
        """Steps over an item's elements up to `end`, or to the item's delimiter where there is none."""
        while end is None or at < end:
            tag, length = self._item(at)
            if tag == _ITEM_END:
                if end is not None or length:
                    raise Odd
                return at + 8
            tag, vr, length, value_at = self._element(at)
            if tag >> 16 == 0xFFFE:
                raise Odd
            if length == _UNDEFINED:
                at = self._sequence(tag, vr, value_at, level + 1)
            else:
                at = self._end(value_at, length)
                if tag == _CHARACTER_SET:
                    _codec(bytes(self.data[value_at:at]))
        if at != end:
            raise Odd
        return at

    def _tail(self, tag: int, value_at: int, length: int) -> bool | None:
        """Whether there are pixels, where the first element of their group says it all."""
        if tag >> 16 != _PIXELS_FROM >> 16:
            raise Odd
        left = self.size - value_at - length
        if length == _UNDEFINED or left < 0 or left >= _LEAST_ELEMENT:
            return None
        return tag in _PIXELS and length > 0

    def _value(self, tag: int, expected: str, vr: bytes | None, value: bytes) -> str | int:
        if vr is not None and vr != expected.encode():
            raise Odd
        if not value:
            return ""
        if expected == "US":
            if len(value) != 2:
                raise Odd
            return int(self.short(value)[0])
        if expected == "IS":
            return _whole_number(value)
        if tag == _CHARACTER_SET:
            self.codec = _codec(value)
        return _text(value, self.codec if expected in ("LO", "SH") else "latin-1", expected == "UI")


def _whole_number(value: bytes) -> int | str:
    if not value.strip(b" \0"):
        return ""
    if not _WHOLE_NUMBER.fullmatch(value):
        raise Odd
    number = int(value.strip(b" \0"))
    return number if abs(number) < 2**31 else ""  # PS3.5 6.2: what an IS can hold


def _text(value: bytes, codec: str, single: bool) -> str:
    try:
        text = value.rstrip(b" \0").decode(codec)
    except UnicodeDecodeError:
        raise Odd from None
    # no control characters; and pydicom takes the blanks at the end of some VRs' values, and not of others'
    if not text.isprintable() or " \\" in text or (single and "\\" in text):
        raise Odd
    return text.strip(" ")


def _codec(value: bytes) -> str:
    """Which text of a data set with this Specific Character Set (PS3.3 C.12.1.1.2) the scan may decode, and how."""
    names = [name.strip() for name in value.rstrip(b" \0").decode("latin-1").split("\\")]
    if not all(name in python_encoding for name in names):
        raise Odd
    if len(names) > 1:
        return "ascii"  # without an escape sequence, which is a control character, it is ASCII in all of them
    return {"": "latin-1", "ISO_IR 6": "latin-1", "ISO_IR 100": "latin-1", "ISO_IR 192": "utf-8"}.get(names[0], "ascii")
