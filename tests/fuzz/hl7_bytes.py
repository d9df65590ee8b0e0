"""HL7 messages and MLLP frames, good and hostile."""

import random
from functools import lru_cache

from tests.conftest import BENCH
from tests.fuzz.dicom_bytes import MARK

GOOD = (
    f"MSH|^~\\&|RIS|HOSP|ISOCENTER|HOSP|20260102030405||ORM^O01|C0001|P|2.5.1\r"
    f"PID|1||{MARK}^^^HOSP^PI||{MARK}^A^B||19700101|F\rORC|NW|P1|F1\r"
    "OBR|1|P1|F1|36643-5^Chest X-ray^LN||||||||||||||ACC1\r"
)
_ODD = [
    "",
    "\x00",
    '""',
    "^",
    "~",
    "&",
    "|",
    "\\",
    "\\X00\\",
    "\\XZZ\\",
    "\\E",
    "é",
    "\ud7ff",
    "\u2028",
    "9" * 300,
    "A" * 70_000,
    "^" * 1500,
    "~" * 1990,
    "&" * 3000,
    "2.9",
    "99991332",
    "ORM^O01",
    "NW",
    "CA",
    "SC",
    "\x1b$B",
    "\x7f",
    "X" * 65,
    "-1",
    "20260230",
    "00000000000000",
    "UNICODE UTF-8",
    "8859/1",
    "ISO IR87",
    "~ISO IR87",
    "NOSUCH",
]


@lru_cache(maxsize=1)
def real() -> tuple[bytes, ...]:
    """The bench's messages."""
    folder = BENCH / "data" / "hl7"
    paths = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.stat().st_size < 100_000]
    return tuple(p.read_bytes().replace(b"\r\n", b"\r").replace(b"\n", b"\r") for p in paths)


def message(rng: random.Random) -> bytes:
    """A mutated message."""
    content = GOOD.encode() if rng.random() < 0.5 or not real() else rng.choice(real())
    for _ in range(rng.choice((1, 1, 2, 3, 5))):
        content = rng.choice(_CHANGES)(content, rng)
    return content[:300_000]


def _field(content: bytes, rng: random.Random) -> bytes:
    lines = content.split(b"\r")
    at = rng.randrange(len(lines))
    fields = lines[at].split(b"|")
    number = rng.randrange(len(fields) + 2)
    fields += [b""] * (number + 1 - len(fields))
    codec = rng.choice(("utf-8", "latin-1", "utf-16"))
    fields[number] = rng.choice(_ODD).encode(codec, "replace")
    lines[at] = b"|".join(fields)
    return b"\r".join(lines)


def _bytes(content: bytes, rng: random.Random) -> bytes:
    out = bytearray(content)
    for _ in range(rng.choice((1, 3, 20))):
        if out:
            out[rng.randrange(len(out))] = rng.choice(
                (0, 9, 10, 11, 13, 27, 28, 92, 94, 124, 126, 38, 0x80, 0xFF, rng.randrange(256))
            )
    return bytes(out)


def _segments(content: bytes, rng: random.Random) -> bytes:
    lines = content.split(b"\r")
    kind = rng.randrange(4)
    if kind == 0:
        rng.shuffle(lines)
    elif kind == 1:
        del lines[rng.randrange(len(lines))]
    elif kind == 2:
        lines[1:1] = [rng.choice(lines)] * rng.choice((1, 10, 200))
    else:
        lines.insert(
            rng.randrange(len(lines) + 1),
            rng.choice((b"ZZZ|x", b"ORC|NW", b"MSH|^~\\&|", b"no segment", b"OBR", b"IPC|1|2|../../x")),
        )
    return b"\r".join(lines)


def _delimiters(content: bytes, rng: random.Random) -> bytes:
    marks = rng.choice(
        (b"|^~\\&", b"|^~\\&#", b"||~\\&", b"|^~\\", b"|", b"#*!?$", b"\x01\x02\x03\x04\x05", b"ABCDE", b"|^~\\&" * 9)
    )
    return content[:3] + marks + content[8:]


def _cut(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


_CHANGES = [_field, _field, _field, _bytes, _segments, _delimiters, _cut]


def frames(rng: random.Random) -> list[bytes]:
    """What a hostile peer sends, in pieces."""
    choice = rng.random()
    content = message(rng)
    if choice < 0.7:
        return [b"\x0b" + content + b"\x1c\x0d"]
    if choice < 0.8:
        return [content[:50_000], b"\x0b" + content]
    if choice < 0.9:
        wire = b"\x0b" + content[:400] + b"\x1c\x0d"
        return [bytes((b,)) for b in wire]
    return [
        rng.choice(
            (
                b"\x1c\x0d" * 1000,
                b"\x0b" * 5000,
                b"\x0b\x1c\x0d" * 50,
                b"GET / HTTP/1.0\r\n\r\n",
                bytes(100_000),
                b"\x0b\x1c\x0b\x1c\x0d",
                rng.randbytes(5000),
                b"\x0b" + b"A" * 2_000_000 + b"\x1c\x0d",
            )
        )
    ]
