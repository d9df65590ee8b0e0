"""Small DICOM files that claim or unfold to something huge, by name."""

import struct
import zlib
from collections.abc import Callable
from functools import lru_cache

from tests.fuzz.dicom_bytes import MARK, element

EXPLICIT, DEFLATED, RLE = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5"
JPEG, JPEG_LS, JPEG_2000 = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"
_MR = b"1.2.840.10008.5.1.4.1.1.4\0"


def part10(body: bytes, syntax: str = EXPLICIT, before: bytes = b"") -> bytes:
    """A file with `body` as its data set; `before` goes into the File Meta Information before the syntax."""
    uid = syntax.encode()
    meta = before + element(0x00020010, b"UI", uid + b"\0" * (len(uid) % 2))
    return bytes(128) + b"DICM" + element(0x00020000, b"UL", struct.pack("<L", len(meta))) + meta + body


def image(
    rows: int = 8,
    columns: int = 8,
    pixels: bytes = bytes(128),
    frames: str = "",
    bits: int = 16,
    samples: int = 1,
    extra: bytes = b"",
    encapsulated: bool = False,
) -> bytes:
    """The data set of an image that says so of itself."""

    def us(tag: int, value: int) -> bytes:
        return element(tag, b"US", struct.pack("<H", value))

    body = element(0x00080016, b"UI", _MR) + element(0x00080018, b"UI", b"1.2.3.4\0")
    body += element(0x00080060, b"CS", b"MR") + element(0x00100010, b"PN", MARK.encode() + b" ")
    body += element(0x0020000D, b"UI", b"1.2.3\0") + element(0x0020000E, b"UI", b"1.2.3.1\0")
    photometric = b"RGB " if samples == 3 else b"MONOCHROME2 "
    body += us(0x00280002, samples) + element(0x00280004, b"CS", photometric)
    body += us(0x00280006, 0) if samples > 1 else b""
    if frames:
        body += element(0x00280008, b"IS", frames.encode() + b" " * (len(frames) % 2))
    body += us(0x00280010, rows) + us(0x00280011, columns) + us(0x00280100, bits) + us(0x00280101, bits)
    body += us(0x00280102, bits - 1) + us(0x00280103, 0) + extra
    if not encapsulated:
        return body + element(0x7FE00010, b"OW", pixels)
    item = struct.pack("<HHL", 0xFFFE, 0xE000, 0)
    item += struct.pack("<HHL", 0xFFFE, 0xE000, len(pixels)) + pixels
    return body + element(0x7FE00010, b"OB", item + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0), length=0xFFFFFFFF)


def deflated(data: bytes) -> bytes:
    """A raw deflate stream (PS3.5 A.5)."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return squeeze.compress(data) + squeeze.flush()


def zeros_deflated(head: bytes, size: int) -> bytes:
    """`head` and then `size` zeros, deflated, without holding them."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    out = [squeeze.compress(head)]
    out += [squeeze.compress(bytes(2**20)) for _ in range(size // 2**20)]
    return b"".join(out) + squeeze.flush()


def jpeg2000(rows: int, columns: int, components: int = 1, boxes: bytes = b"") -> bytes:
    """A JPEG 2000 codestream of one tile without data (ISO 15444-1 A.5.1); `boxes` go before it."""
    siz = (
        struct.pack(">HIIIIIIIIH", 0, columns, rows, 0, 0, columns, rows, 0, 0, components)
        + b"\x07\x01\x01" * components
    )
    siz = b"\xff\x51" + struct.pack(">H", len(siz) + 2) + siz
    cod = b"\xff\x52" + struct.pack(">HBBHBBBBBB", 12, 0, 0, 1, 0, 5, 4, 4, 0, 1)
    qcd = b"\xff\x5c" + struct.pack(">HB", 19, 0x40) + bytes(16)
    tile = b"\xff\x90" + struct.pack(">HHIBB", 10, 0, 0, 0, 1) + b"\xff\x93" + bytes(16)
    return boxes + b"\xff\x4f" + siz + cod + qcd + tile + b"\xff\xd9"


def jpeg(rows: int, columns: int, marker: int = 0xC0, before: bytes = b"") -> bytes:
    """A JPEG (or, with 0xF7, JPEG-LS) codestream of one component without data (ISO 10918-1 B.2)."""
    frame = b"\xff" + bytes((marker,)) + struct.pack(">HBHHB", 11, 8, rows, columns, 1) + b"\x01\x11\x00"
    tables = b"\xff\xdb\x00\x43\x00" + b"\x01" * 64 + b"\xff\xc4\x00\x15\x00" + bytes((1, *bytes(15))) + b"\0" + b"\0"
    scan = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" + bytes(64)
    return b"\xff\xd8" + before + (b"" if marker == 0xF7 else tables) + frame + scan + b"\xff\xd9"


def nested(depth: int, tag: int = 0x00081032) -> bytes:
    """Sequences of undefined length in each other, closed."""
    opening = element(tag, b"SQ", b"", length=0xFFFFFFFF) + struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
    closing = struct.pack("<HHL", 0xFFFE, 0xE00D, 0) + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    return opening * depth + closing * depth


def nested_with_lengths(depth: int) -> bytes:
    """The same with defined lengths, which a parser reads lazily."""
    body = b""
    for _ in range(depth):
        body = struct.pack("<HHL", 0xFFFE, 0xE000, len(body)) + body
        body = element(0x00081032, b"SQ", body)
    return body


def _lut(tag: int, vr: bytes, entries: int) -> bytes:
    """A LUT sequence whose descriptor claims `entries`."""
    packed = struct.pack("<lll", entries, 0, 16) if vr in (b"SL", b"UL") else f"{entries}\\0\\16".encode()
    packed += b" " * (len(packed) % 2)
    item = element(0x00283002, vr, packed) + element(0x00283006, b"OW", bytes(32))
    return element(tag, b"SQ", struct.pack("<HHL", 0xFFFE, 0xE000, len(item)) + item)


def _palette(entries: int) -> bytes:
    tables = b"".join(element(0x00281201 + n, b"OW", bytes(32)) for n in range(3))
    heads = b"".join(element(0x00281101 + n, b"SL", struct.pack("<lll", entries, 0, 16)) for n in range(3))
    return heads + tables


_PALETTE = image(pixels=bytes(64), bits=8, extra=_palette(2**31 - 1)).replace(
    element(0x00280004, b"CS", b"MONOCHROME2 "), element(0x00280004, b"CS", b"PALETTE COLOR ")
)
_BOX = struct.pack(">I", 8000) + b"free" + bytes(7992)

BOMBS: dict[str, Callable[[], bytes]] = {
    "60000 x 60000, native": lambda: part10(image(60_000, 60_000)),
    "60000 x 60000, JPEG": lambda: part10(image(60_000, 60_000, jpeg(60_000, 60_000), encapsulated=True, bits=8), JPEG),
    "60000 x 60000, RLE": lambda: part10(image(60_000, 60_000, bytes(64), encapsulated=True, bits=8), RLE),
    "8 x 8, the JPEG says 60000": lambda: part10(image(8, 8, jpeg(60_000, 60_000), encapsulated=True, bits=8), JPEG),
    "the JPEG says it after a stray byte": lambda: part10(
        image(8, 8, jpeg(60_000, 60_000, before=b"\0"), encapsulated=True, bits=8), JPEG
    ),
    "the JPEG says it after 70000 bytes": lambda: part10(
        image(8, 8, jpeg(60_000, 60_000, before=b"\xff\xfe\xff\xf0" + bytes(0xFFEE)), encapsulated=True, bits=8), JPEG
    ),
    "the JPEG-LS says 60000": lambda: part10(
        image(8, 8, jpeg(60_000, 60_000, 0xF7), encapsulated=True, bits=8), JPEG_LS
    ),
    "the JPEG 2000 says 60000": lambda: part10(
        image(8, 8, jpeg2000(60_000, 60_000), encapsulated=True, bits=8), JPEG_2000
    ),
    "the JPEG 2000 says it after boxes": lambda: part10(
        image(8, 8, jpeg2000(60_000, 60_000, boxes=_BOX), encapsulated=True, bits=8), JPEG_2000
    ),
    "the JPEG 2000 has 16384 components": lambda: part10(
        image(8, 8, jpeg2000(8, 8, 16384), encapsulated=True, bits=8), JPEG_2000
    ),
    "8192 x 8192, JPEG": lambda: part10(image(8192, 8192, jpeg(8192, 8192), encapsulated=True, bits=8), JPEG),
    "8192 x 8192, JPEG-LS": lambda: part10(
        image(8192, 8192, jpeg(8192, 8192, 0xF7), encapsulated=True, bits=8), JPEG_LS
    ),
    "8192 x 8192, JPEG 2000": lambda: part10(
        image(8192, 8192, jpeg2000(8192, 8192), encapsulated=True, bits=8), JPEG_2000
    ),
    "8192 x 8192 in colour, JPEG 2000": lambda: part10(
        image(8192, 8192, jpeg2000(8192, 8192, 3), encapsulated=True, bits=8, samples=3), JPEG_2000
    ),
    "8192 x 8192, RLE": lambda: part10(image(8192, 8192, bytes(2_200_000), encapsulated=True, bits=16), RLE),
    "2^31 frames": lambda: part10(image(frames="2147483647")),
    "2^31 frames, encapsulated": lambda: part10(
        image(frames="2147483647", pixels=bytes(64), encapsulated=True, bits=8), RLE
    ),
    "as many frames of a bit as fit": lambda: part10(image(1, 1, bytes(400_000), frames="4000000", bits=1)),
    "as many empty fragments as fit": lambda: part10(
        image(1, 1, bytes(4_000_000), frames="500000", encapsulated=True, bits=8), RLE
    ),
    "negative bits": lambda: part10(
        image(frames="2147483647").replace(
            struct.pack("<HH2sHH", 0x28, 0x100, b"US", 2, 16), struct.pack("<HH2sHh", 0x28, 0x100, b"SS", 2, -16)
        )
    ),
    "no bits": lambda: part10(image(frames="2147483647", bits=1, samples=0)),
    "modality LUT of 2^31 (SL)": lambda: part10(image(extra=_lut(0x00283000, b"SL", 2**31 - 1))),
    "modality LUT of 2^31 (IS)": lambda: part10(image(extra=_lut(0x00283000, b"IS", 2**31 - 1))),
    "VOI LUT of 2^31": lambda: part10(image(extra=_lut(0x00283010, b"SL", 2**31 - 1))),
    "palette of 2^31": lambda: part10(_PALETTE),
    "10000 sequences in each other": lambda: part10(nested(10_000) + image()),
    "10000 sequences in each other, not closed": lambda: part10(nested(10_000)[:200_000]),
    "10000 sequences with lengths": lambda: part10(nested_with_lengths(2000) + image()),
    "10000 functional groups in each other": lambda: part10(nested(10_000, 0x52009229) + image()),
    "a value of 4 GB": lambda: part10(element(0x00080016, b"UN", b"x", length=0xFFFFFFF0) + image()),
    "pixel data of 4 GB": lambda: part10(image()[:-140] + element(0x7FE00010, b"OW", bytes(8), length=0xFFFFFFF0)),
    "a deflate bomb in a value": lambda: part10(
        zeros_deflated(image()[:150] + element(0x7FE00010, b"OW", b"", length=300 << 20), 300 << 20), DEFLATED
    ),
    "a deflate bomb of elements": lambda: part10(
        zeros_deflated(image() + element(0xFFFCFFFC, b"OB", b"", length=300 << 20), 300 << 20), DEFLATED
    ),
    "a deflate bomb of just below what is taken": lambda: part10(
        zeros_deflated(image() + element(0xFFFCFFFC, b"OB", b"", length=200 << 20), 200 << 20), DEFLATED
    ),
    "a deflate bomb behind long meta information": lambda: part10(
        zeros_deflated(image() + element(0xFFFCFFFC, b"OB", b"", length=300 << 20), 300 << 20),
        DEFLATED,
        element(0x00020001, b"OB", bytes(6000)),
    ),
}


@lru_cache(maxsize=1)
def made() -> dict[str, bytes]:
    """Each of them, made once."""
    return {name: make() for name, make in BOMBS.items()}
