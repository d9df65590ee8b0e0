"""Makes hostile DICOM files: mutations of good ones that know the structure (PS3.5 7), and files from nothing."""

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass

MARK = "ZZPATIENTZZ"  # stands where a patient's name stands; no log may show it

LONG_FORM = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
VRS = [
    *sorted(LONG_FORM),
    b"AE",
    b"AS",
    b"AT",
    b"CS",
    b"DA",
    b"DS",
    b"DT",
    b"FL",
    b"FD",
    b"IS",
    b"LO",
    b"LT",
    b"PN",
    b"SH",
    b"SL",
    b"SS",
    b"ST",
    b"TM",
    b"UI",
    b"UL",
    b"US",
    b"ZZ",
    b"\0\0",
]
LENGTHS = [0, 1, 2, 7, 0xFF, 0xFFFE, 0xFFFF, 2**20, 2**31 - 1, 2**31, 0xFFFFFFFE, 0xFFFFFFFF]
SYNTAXES = [
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.4.201",
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.8.1",
    "1.2.840.10008.1.2.4.100",
    "1.2.3",
    "",
]
UID_VALUES = [
    "1.2.3",
    "../../evil",
    "/etc/evil",
    "1.2/../../3",
    "..",
    ".",
    "",
    "1." * 40,
    "1.2.3\\4.5",
    "1.2.3\n4",
    "²",
]
TEXTS = [
    "",
    " ",
    "\0\0",
    "\\",
    "\\\\",
    "1\\2\\3",
    "-1",
    "0",
    "1e400",
    "nan",
    "inf",
    "-inf",
    "99999999999",
    "2147483648",
    "٣",
    "../..",
    MARK,
    f"{MARK}^A=山=x",
    "\x1b$B",
    "\x1b$)C\xb1",
    "a" * 300,
    "a" * 60_000,
    "1.5",
    "0.000000001",
    "é",
    "\ud7ff",
    "1\\0\\0\\0\\1\\0",
    "0\\0\\0",
    "1\\1",
    "0\\0",
    "LOCALIZER",
    "\\ISO 2022 IR 87",
    "GB18030",
]
NUMBERS = [0, 1, 2, 3, 7, 8, 12, 16, 32, 64, 255, 256, 512, 8192, 60000, 65535]

# Tag → the VR that it should have: what some part of Isocenter reads.
TAGS: dict[int, bytes] = {
    0x00080005: b"CS",
    0x00080008: b"CS",
    0x00080016: b"UI",
    0x00080018: b"UI",
    0x00080020: b"DA",
    0x00080030: b"TM",
    0x00080050: b"SH",
    0x00080060: b"CS",
    0x00080070: b"LO",
    0x00080090: b"PN",
    0x00081030: b"LO",
    0x0008103E: b"LO",
    0x00081032: b"SQ",
    0x00100010: b"PN",
    0x00100020: b"LO",
    0x00100030: b"DA",
    0x00100040: b"CS",
    0x00180015: b"CS",
    0x00180050: b"DS",
    0x00180088: b"DS",
    0x00181030: b"LO",
    0x00181164: b"DS",
    0x00181120: b"DS",
    0x00185101: b"CS",
    0x0020000D: b"UI",
    0x0020000E: b"UI",
    0x00200010: b"SH",
    0x00200011: b"IS",
    0x00200012: b"IS",
    0x00200013: b"IS",
    0x00200020: b"CS",
    0x00200032: b"DS",
    0x00200037: b"DS",
    0x00200052: b"UI",
    0x00200062: b"CS",
    0x00201002: b"IS",
    0x00280002: b"US",
    0x00280004: b"CS",
    0x00280006: b"US",
    0x00280008: b"IS",
    0x00280010: b"US",
    0x00280011: b"US",
    0x00280030: b"DS",
    0x00280034: b"IS",
    0x00280100: b"US",
    0x00280101: b"US",
    0x00280102: b"US",
    0x00280103: b"US",
    0x00281050: b"DS",
    0x00281051: b"DS",
    0x00281052: b"DS",
    0x00281053: b"DS",
    0x00281055: b"LO",
    0x00281056: b"CS",
    0x00281101: b"US",
    0x00281102: b"US",
    0x00281103: b"US",
    0x00281201: b"OW",
    0x00281202: b"OW",
    0x00281203: b"OW",
    0x00282110: b"CS",
    0x00283000: b"SQ",
    0x00283002: b"US",
    0x00283006: b"OW",
    0x00283010: b"SQ",
    0x00400275: b"SQ",
    0x52009229: b"SQ",
    0x52009230: b"SQ",
    0x00289110: b"SQ",
    0x00209113: b"SQ",
    0x00209116: b"SQ",
    0x00189114: b"SQ",
    0x0019100C: b"IS",
    0x00431039: b"IS",
    0x7FE00001: b"OV",
    0x7FE00002: b"OV",
    0x7FE00010: b"OW",
}


@dataclass(frozen=True)
class Place:
    """Where an element's head lies in a file, and how it is written."""

    at: int
    tag: int
    vr: bytes  # empty: implicit
    length_at: int
    length_size: int
    length: int
    little: bool

    @property
    def value_at(self) -> int:
        return self.length_at + self.length_size


def places(data: bytes, most: int = 3000) -> list[Place]:
    """The elements of a file as far as they can be followed, sequences and fragments entered."""
    found: list[Place] = []
    at, explicit, little = (132, True, True) if data[128:132] == b"DICM" else (0, True, True)
    while at + 8 <= len(data) and len(found) < most:
        group, element = struct.unpack_from("<HH" if little else ">HH", data, at)
        if group != 2 and found and found[-1].tag >> 16 == 2:
            explicit, little = _encoding(data, found, at)
            group, element = struct.unpack_from("<HH" if little else ">HH", data, at)
        place = _place(data, at, group << 16 | element, explicit, little)
        if place is None:
            break
        found.append(place)
        enters = place.length == 0xFFFFFFFF or place.tag in (0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD) or place.vr == b"SQ"
        at = place.value_at + (0 if enters and _holds_elements(place, found) else min(place.length, len(data)))
    return found


def _holds_elements(place: Place, found: list[Place]) -> bool:
    """A fragment's item holds no elements."""
    pixels = any(p.tag == 0x7FE00010 and p.length == 0xFFFFFFFF for p in found)
    return not (pixels and place.tag == 0xFFFEE000)


def _encoding(data: bytes, found: list[Place], at: int) -> tuple[bool, bool]:
    syntax = next((data[p.value_at : p.value_at + p.length].rstrip(b"\0 ") for p in found if p.tag == 0x00020010), b"")
    return data[at + 4 : at + 6].isupper(), syntax != b"1.2.840.10008.1.2.2"


def _place(data: bytes, at: int, tag: int, explicit: bool, little: bool) -> Place | None:
    order = "<" if little else ">"
    if not explicit or tag >> 16 == 0xFFFE:
        return Place(at, tag, b"", at + 4, 4, struct.unpack_from(order + "L", data, at + 4)[0], little)
    vr = data[at + 4 : at + 6]
    if vr in LONG_FORM:
        if at + 12 > len(data):
            return None
        return Place(at, tag, vr, at + 8, 4, struct.unpack_from(order + "L", data, at + 8)[0], little)
    return Place(at, tag, vr, at + 6, 2, struct.unpack_from(order + "H", data, at + 6)[0], little)


def mutate(data: bytes, rng: random.Random) -> bytes:
    """One to four changes."""
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        change = rng.choice(CHANGES)
        data = change(data, rng)
    return data


def _pick(data: bytes, rng: random.Random) -> Place | None:
    """An element; those that something reads more often than others."""
    found = places(data)
    known = [p for p in found if p.tag in TAGS or p.tag >> 16 in (0x0002, 0xFFFE)]
    pool = known if known and rng.random() < 0.7 else found
    return rng.choice(pool) if pool else None


def _flip(data: bytes, rng: random.Random) -> bytes:
    if not data:
        return data
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 4, 40))):
        out[rng.randrange(min(len(out), rng.choice((200, 2000, len(out)))))] = rng.randrange(256)
    return bytes(out)


def _cut(data: bytes, rng: random.Random) -> bytes:
    place = _pick(data, rng)
    at = (
        rng.randrange(len(data) + 1)
        if place is None or rng.random() < 0.3
        else place.at + rng.choice((0, 2, 4, 7, 9, 13))
    )
    return data[:at]


def _drop(data: bytes, rng: random.Random) -> bytes:
    place = _pick(data, rng)
    if place is None:
        return data
    end = place.value_at + (0 if place.length == 0xFFFFFFFF else place.length)
    return data[: place.at] + data[end:]


def _repeat(data: bytes, rng: random.Random) -> bytes:
    place = _pick(data, rng)
    if place is None or place.length > 65536:
        return data
    end = place.value_at + place.length
    return data[:end] + data[place.at : end] * rng.choice((1, 1, 50)) + data[end:]


def _lie_about_length(data: bytes, rng: random.Random) -> bytes:
    place = _pick(data, rng)
    if place is None:
        return data
    length = rng.choice([*LENGTHS, place.length + 1, place.length - 1, place.length + 2, len(data)])
    mask = 0xFFFF if place.length_size == 2 else 0xFFFFFFFF
    packed = (length & mask).to_bytes(place.length_size, "little" if place.little else "big")
    return data[: place.length_at] + packed + data[place.value_at :]


def _other_vr(data: bytes, rng: random.Random) -> bytes:
    place = _pick(data, rng)
    if place is None or not place.vr:
        return data
    return data[: place.at + 4] + rng.choice(VRS) + data[place.at + 6 :]


def _other_value(data: bytes, rng: random.Random) -> bytes:
    place = _pick(data, rng)
    if place is None or place.length > 2**20:
        return data
    vr = rng.choice(VRS) if rng.random() < 0.1 else TAGS.get(place.tag, place.vr or b"LO")
    value = value_of(vr, rng, place.little)
    return (
        data[: place.at]
        + element(place.tag, vr, value, bool(place.vr), place.little)
        + data[place.value_at + place.length :]
    )


def _other_syntax(data: bytes, rng: random.Random) -> bytes:
    for place in places(data, 20):
        if place.tag == 0x00020010:
            uid = rng.choice(SYNTAXES).encode()
            uid += b"\0" * (len(uid) % 2)
            new = data[: place.at] + element(place.tag, b"UI", uid) + data[place.value_at + place.length :]
            if rng.random() < 0.3:
                return new
            grown = len(new) - len(data)
            length = int.from_bytes(new[140:144], "little") + grown
            return new[:140] + (length & 0xFFFFFFFF).to_bytes(4, "little") + new[144:]
    return data


def _nest(data: bytes, rng: random.Random) -> bytes:
    """A sequence in a sequence in a sequence …"""
    place = _pick(data, rng)
    if place is None:
        return data
    depth, tag = (
        rng.choice((3, 50, 1000, 10_000)),
        rng.choice((0x00081032, 0x52009229, 0x52009230, 0x00400275, 0x00283000)),
    )
    head = element(tag, b"SQ", b"", bool(place.vr), place.little, 0xFFFFFFFF) + _item(place.little)
    tail = b"" if rng.random() < 0.3 else _end(0xE00D, place.little) + _end(0xE0DD, place.little)
    return data[: place.at] + head * depth + tail * depth + data[place.at :]


def _other_size(data: bytes, rng: random.Random) -> bytes:
    """What a JPEG (SOF) or JPEG 2000 (SIZ) codestream claims."""
    at = data.find(b"\xff\x4f\xff\x51")
    if at >= 0:
        fields = [rng.choice((0, 1, 100, 60_000, 2**31, 2**32 - 1)) for _ in range(8)]
        whole = struct.pack(">8I", *fields) if rng.random() < 0.3 else data[at + 8 : at + 8 + 32]
        size = struct.pack(">2I", rng.choice((1, 60_000, 2**32 - 1)), rng.choice((1, 60_000, 2**32 - 1)))
        return data[: at + 8] + size + whole[8:] + data[at + 40 :]
    for marker in (0xC0, 0xC1, 0xC3, 0xF7, 0xC2):
        at = data.find(bytes((0xFF, marker)), 300)
        if at >= 0:
            size = struct.pack(">2H", rng.choice((0, 1, 60_000, 65_535)), rng.choice((0, 1, 60_000, 65_535)))
            return data[: at + 5] + size + data[at + 9 :]
    return data


CHANGES: list[Callable[[bytes, random.Random], bytes]] = [
    _flip,
    _flip,
    _cut,
    _drop,
    _repeat,
    _lie_about_length,
    _lie_about_length,
    _other_vr,
    _other_value,
    _other_value,
    _other_value,
    _other_syntax,
    _nest,
    _other_size,
]


def element(
    tag: int, vr: bytes, value: bytes, explicit: bool = True, little: bool = True, length: int | None = None
) -> bytes:
    """One element's bytes; `length` where it is not the value's."""
    order = "<" if little else ">"
    length = len(value) if length is None else length
    head = struct.pack(order + "HH", tag >> 16, tag & 0xFFFF)
    if not explicit:
        return head + struct.pack(order + "L", length & 0xFFFFFFFF) + value
    if vr in LONG_FORM:
        return head + vr + b"\0\0" + struct.pack(order + "L", length & 0xFFFFFFFF) + value
    return head + vr + struct.pack(order + "H", length & 0xFFFF) + value


def _item(little: bool = True, length: int = 0xFFFFFFFF) -> bytes:
    return struct.pack("<HHL" if little else ">HHL", 0xFFFE, 0xE000, length)


def _end(number: int, little: bool = True) -> bytes:
    return struct.pack("<HHL" if little else ">HHL", 0xFFFE, number, 0)


def value_of(vr: bytes, rng: random.Random, little: bool = True) -> bytes:
    """A value that may belong to `vr`."""
    order = "<" if little else ">"
    if vr in (b"US", b"SS"):
        return b"".join(struct.pack(order + "H", rng.choice(NUMBERS)) for _ in range(rng.choice((1, 1, 1, 0, 2, 3))))
    if vr in (b"UL", b"SL", b"AT"):
        return b"".join(struct.pack(order + "L", rng.choice(LENGTHS)) for _ in range(rng.choice((1, 1, 0, 2, 3))))
    if vr in (b"FD", b"FL"):
        values = (0.0, -1.0, float("nan"), float("inf"), 1e300, 0.5)
        return b"".join(struct.pack(order + "d", rng.choice(values)) for _ in range(rng.choice((1, 2, 3, 6))))
    if vr == b"UI":
        return rng.choice(UID_VALUES).encode()
    if vr in LONG_FORM and vr not in (b"UC", b"UR", b"UT"):
        return rng.randbytes(rng.choice((0, 1, 2, 64, 512)))
    return rng.choice(TEXTS).encode("utf-8", "surrogatepass")


def from_nothing(rng: random.Random, most: int = 40) -> bytes:
    """A file of elements that something reads, in any order, with any value."""
    explicit, little = rng.random() < 0.8, rng.random() < 0.9
    meta = element(0x00020010, b"UI", rng.choice(SYNTAXES if rng.random() < 0.4 else SYNTAXES[:3]).encode())
    head = bytes(128) + b"DICM" + element(0x00020000, b"UL", struct.pack("<L", len(meta))) + meta
    tags = sorted(rng.choice(list(TAGS)) for _ in range(rng.randrange(most)))
    tags = tags if rng.random() < 0.9 else tags[::-1]
    return head + b"".join(_any_element(tag, rng, explicit, little, 0) for tag in tags)


def _any_element(tag: int, rng: random.Random, explicit: bool, little: bool, depth: int) -> bytes:
    vr = rng.choice(VRS) if rng.random() < 0.1 else TAGS[tag]
    if vr == b"SQ":
        items = b""
        for _ in range(rng.choice((0, 1, 1, 2))):
            inner = [rng.choice(list(TAGS)) for _ in range(rng.randrange(6))] if depth < 4 else []
            body = b"".join(_any_element(t, rng, explicit, little, depth + 1) for t in inner)
            items += (
                _item(little, len(body)) + body if rng.random() < 0.5 else _item(little) + body + _end(0xE00D, little)
            )
        if rng.random() < 0.5:
            return element(tag, vr, items, explicit, little)
        return element(tag, vr, items + _end(0xE0DD, little), explicit, little, 0xFFFFFFFF)
    if tag == 0x7FE00010 and rng.random() < 0.5:
        fragments = [rng.randbytes(rng.choice((0, 4, 300))) for _ in range(rng.randrange(4))]
        value = b"".join(_item(little, len(f)) + f for f in fragments) + _end(0xE0DD, little)
        return element(tag, b"OB", value, explicit, little, 0xFFFFFFFF)
    return element(tag, vr, value_of(vr, rng, little), explicit, little)
