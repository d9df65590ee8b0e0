"""The DICOM upper layer and DIMSE as bytes (PS3.8 9.3, PS3.7 6.3), good and hostile."""

import random
import struct

from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from tests.fuzz.dicom_bytes import LENGTHS, MARK, element, from_nothing

VERIFICATION = "1.2.840.10008.1.1"
COMMITMENT = "1.2.840.10008.1.20.1"
_APPLICATION = b"1.2.840.10008.3.1.1.1"


def pdu(kind: int, body: bytes, length: int | None = None) -> bytes:
    """A PDU; `length` where it is not the body's."""
    return struct.pack(">BBL", kind, 0, (len(body) if length is None else length) & 0xFFFFFFFF) + body


def item(kind: int, body: bytes, length: int | None = None) -> bytes:
    """An item of an association request."""
    return struct.pack(">BBH", kind, 0, (len(body) if length is None else length) & 0xFFFF) + body


def context(number: int, abstract: str, syntaxes: list[str]) -> bytes:
    """A proposed presentation context."""
    inside = item(0x30, abstract.encode()) + b"".join(item(0x40, s.encode()) for s in syntaxes)
    return item(0x20, bytes((number & 0xFF, 0, 0, 0)) + inside)


def associate_rq(
    contexts: bytes | None = None, calling: bytes = b"FUZZ", called: bytes = b"ISOCENTER", user: bytes | None = None
) -> bytes:
    """A-ASSOCIATE-RQ: C-ECHO in context 1, MR in context 3, storage commitment in 5."""
    if contexts is None:
        contexts = context(1, VERIFICATION, ["1.2.840.10008.1.2"]) + context(
            3, MRImageStorage, [ExplicitVRLittleEndian]
        )
        contexts += context(5, COMMITMENT, ["1.2.840.10008.1.2"])
    if user is None:
        user = item(0x51, struct.pack(">L", 16384)) + item(0x52, b"1.2.3.4")
    body = struct.pack(">HH", 1, 0) + called.ljust(16)[:16] + calling.ljust(16)[:16] + bytes(32)
    return pdu(1, body + item(0x10, _APPLICATION) + contexts + item(0x50, user))


def p_data(context_id: int, control: int, piece: bytes, length: int | None = None) -> bytes:
    """A P-DATA-TF with one presentation data value."""
    length = len(piece) + 2 if length is None else length
    return pdu(4, struct.pack(">LBB", length & 0xFFFFFFFF, context_id, control) + piece)


def command(**elements: bytes) -> bytes:
    """A command set; the names are e1000 for (0000,1000)."""
    body = b"".join(element(int(name[1:], 16), b"", value, False) for name, value in sorted(elements.items()))
    return element(0, b"", struct.pack("<L", len(body)), False) + body


def _even(text: str) -> bytes:
    return text.encode() + b"\0" * (len(text) % 2)


def echo_rq() -> bytes:
    """C-ECHO-RQ."""
    return p_data(1, 3, command(e0002=_even(VERIFICATION), e0100=b"\x30\0", e0110=b"\1\0", e0800=b"\1\1"))


def store_command(sop_instance: str, sop_class: str = MRImageStorage) -> bytes:
    """C-STORE-RQ's command set."""
    return command(
        e0002=_even(sop_class), e0100=b"\1\0", e0110=b"\2\0", e0700=b"\0\0", e0800=b"\0\0", e1000=_even(sop_instance)
    )


def data_set(sop_instance: str, study: str = "1.2.840.1") -> bytes:
    """A small good image's data set."""

    def ui(tag: int, value: str) -> bytes:
        return element(tag, b"UI", _even(value))

    body = ui(0x00080016, MRImageStorage) + ui(0x00080018, sop_instance) + element(0x00080060, b"CS", b"MR")
    body += element(0x00100010, b"PN", MARK.encode() + b" ") + element(0x00100020, b"LO", MARK.encode() + b" ")
    body += ui(0x0020000D, study) + ui(0x0020000E, f"{study}.1")
    return body + element(0x7FE00010, b"OW", bytes(512))


def store_rq(sop_instance: str, study: str = "1.2.840.1") -> bytes:
    """A whole C-STORE."""
    return p_data(3, 3, store_command(sop_instance)) + p_data(3, 2, data_set(sop_instance, study))


RELEASE_RQ = pdu(5, bytes(4))
ABORT = pdu(7, bytes(4))


def case(rng: random.Random) -> list[bytes]:
    """What a hostile peer sends, in the pieces in which it sends it."""
    stream = _HOSTS[rng.randrange(len(_HOSTS))](rng)
    if rng.random() < 0.35:
        stream = _spoil(stream, rng)
    if rng.random() < 0.3:
        stream = stream[: rng.randrange(len(stream) + 1)]
    if rng.random() < 0.3 and len(stream) < 3000:
        cuts = sorted(rng.randrange(len(stream) + 1) for _ in range(rng.randrange(8)))
        return [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    return [stream]


def _spoil(stream: bytes, rng: random.Random) -> bytes:
    out = bytearray(stream)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(out)) if out else 0
        kind = rng.randrange(4)
        if kind == 0 and out:
            out[at] = rng.choice((0, 1, 2, 3, 4, 0x7F, 0xFF, rng.randrange(256)))
        elif kind == 1:
            out[at:at] = rng.randbytes(rng.choice((1, 2, 4, 100)))
        elif kind == 2:
            del out[at : at + rng.choice((1, 2, 4, 100))]
        else:
            out[at : at + 4] = struct.pack(rng.choice(("<L", ">L")), rng.choice(LENGTHS))
    return bytes(out)


def _noise(rng: random.Random) -> bytes:
    return rng.choice(
        (
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"\x16\x03\x01\x02\0\x01\0",
            rng.randbytes(200),
            b"\0" * 5000,
            b"\x0bMSH|^~\\&|\x1c\r",
            b"",
            rng.randbytes(100_000),
        )
    )


def _any_pdu(rng: random.Random) -> bytes:
    first = associate_rq() if rng.random() < 0.7 else b""
    body = rng.randbytes(rng.choice((0, 1, 4, 68, 300)))
    return first + pdu(rng.randrange(12), body, rng.choice([None, None, *LENGTHS, len(body) - 1, len(body) + 1]))


def _any_request(rng: random.Random) -> bytes:
    uids = ["", VERIFICATION, MRImageStorage, "1." * 40, "x" * 200, "1.2.3\n", "²", "../../x"]
    syntaxes = ["", "1.2.840.10008.1.2", ExplicitVRLittleEndian, "9" * 70, "\xff"]
    numbers = [rng.choice((0, 1, 2, 3, 255, rng.randrange(256))) for _ in range(rng.choice((0, 1, 3, 128, 300)))]
    contexts = b"".join(
        context(n, rng.choice(uids), [rng.choice(syntaxes) for _ in range(rng.choice((0, 1, 2, 40)))]) for n in numbers
    )
    users = [
        item(0x51, struct.pack(">L", rng.choice((0, 1, 6, 7, 8, 20, 16384, 2**32 - 1)))),
        item(0x52, rng.choice((b"", b"1.2.3", b"x" * 100))),
        item(0x55, rng.choice((b"", b"V1", b"\xff" * 30))),
        item(0x53, struct.pack(">HH", rng.randrange(3), 1)),
        item(0x54, rng.randbytes(rng.choice((0, 4, 30)))),
        item(0x56, rng.randbytes(20)),
        item(0x57, rng.randbytes(20)),
        item(0x58, struct.pack(">BBH", rng.randrange(7), 1, 4) + b"user" + struct.pack(">H", 2) + b"pw"),
        item(rng.randrange(256), rng.randbytes(8)),
        item(0x58, b"\x01\x01\xff\xff"),
    ]
    user = b"".join(rng.choice(users) for _ in range(rng.randrange(8)))
    calling = rng.choice(
        (b"FUZZ", b"", b"\0" * 16, b"A\nB", b"A\\B", b"\xff" * 16, "é".encode(), b" " * 16, MARK.encode())
    )
    called = rng.choice((b"ISOCENTER", b"", b"OTHER", b"\0" * 16))
    return associate_rq(contexts, calling, called, user) + rng.choice(
        (b"", echo_rq(), store_rq("1.2.3.4.5"), RELEASE_RQ)
    )


def _any_data(rng: random.Random) -> bytes:
    out = associate_rq()
    for _ in range(rng.randrange(1, 6)):
        out += rng.choice((_message, _bare_value, _message))(rng)
    return out + rng.choice((b"", RELEASE_RQ, ABORT, associate_rq(), RELEASE_RQ * 3))


def _message(rng: random.Random) -> bytes:
    kind = rng.choice(
        (
            0x0001,
            0x0001,
            0x0030,
            0x8001,
            0x8030,
            0x0130,
            0x0100,
            0x0110,
            0x0120,
            0x0140,
            0x0020,
            0x0021,
            0x0010,
            0x0FFF,
            rng.randrange(65536),
        )
    )
    uid = rng.choice(
        (
            "1.2.3.4.5",
            f"1.2.5.{rng.randrange(9999)}",
            f"1.2.5.{rng.randrange(9999)}",
            "",
            "x" * 64,
            "x" * 5000,
            "../../../evil",
            "1.2\n",
            "1.2.840.10008.1.20.1.1",
        )
    )
    facts = {
        "e0002": _even(rng.choice((MRImageStorage, VERIFICATION, COMMITMENT, "", "1." * 40))),
        "e0100": struct.pack("<H", kind),
        "e0110": struct.pack("<H", rng.randrange(65536)),
        "e0120": b"\1\0",
        "e0700": b"\0\0",
        "e0003": _even(COMMITMENT),
        "e0800": rng.choice((b"\1\1", b"\0\0", b"\0\0", b"", b"\0\0\0\0")),
        "e1000": _even(uid),
        "e1001": _even(uid),
        "e1008": b"\1\0",
        "e0900": b"\0\0",
        "e1030": b"FUZZ",
        "e1031": b"\1\0",
    }
    for name in rng.sample(sorted(facts), rng.choice((0, 0, 1, 2, 6))):
        if rng.random() < 0.5:
            del facts[name]
        else:
            facts[name] = rng.randbytes(rng.choice((0, 1, 2, 64, 300)))
    body = command(**facts)
    if rng.random() < 0.15:
        body = _spoil(body, rng)
    number = rng.choice((1, 3, 3, 3, 5, 7, 0, 255))
    out = _in_pieces(number, 1, body, rng)
    if facts.get("e0800") != b"\1\1" or rng.random() < 0.2:
        start = from_nothing(rng) if rng.random() < 0.5 else bytes(144) + data_set(uid)
        out += _in_pieces(rng.choice((number, number, 3, 1)), 0, start[144:], rng)
    return out


def _in_pieces(number: int, kind: int, body: bytes, rng: random.Random) -> bytes:
    count = rng.choice((1, 1, 2, 5, 200))
    size = max(1, -(-len(body) // count))
    pieces = [body[at : at + size] for at in range(0, len(body), size)] or [b""]
    out = b"".join(p_data(number, kind, piece) for piece in pieces[:-1])
    last = rng.choice((2, 2, 2, 2, 0, 0x80))
    return out + p_data(
        number, kind | last, pieces[-1], rng.choice((None, None, None, None, None, 0, 1, 2**31, 2**32 - 1))
    )


def _bare_value(rng: random.Random) -> bytes:
    return p_data(rng.randrange(256), rng.randrange(256), rng.randbytes(rng.choice((0, 1, 100, 20_000))))


def _endless(rng: random.Random) -> bytes:
    """A data set of many fragments that nobody ends, or a command set of the kind."""
    if rng.random() < 0.5:
        return associate_rq() + p_data(3, 1, b"\0" * 8000) * rng.choice((3, 40))
    return associate_rq() + p_data(3, 3, store_command("1.2.3.4.6")) + p_data(3, 0, bytes(16000)) * rng.choice((1, 200))


def _floods(rng: random.Random) -> bytes:
    """Many good requests without waiting for an answer."""
    return (
        associate_rq()
        + echo_rq() * rng.choice((1, 300))
        + store_rq(f"1.2.9.{rng.randrange(10**6)}") * rng.choice((1, 20))
    )


_HOSTS = [
    _noise,
    _any_pdu,
    _any_pdu,
    _any_request,
    _any_request,
    _any_data,
    _any_data,
    _any_data,
    _any_data,
    _endless,
    _floods,
]
