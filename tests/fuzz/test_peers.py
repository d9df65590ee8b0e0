"""What PACS and RIS answer to send: whatever comes back, an attempt ends in a named outcome, in time, within memory."""

import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.send import mllp_client, scu
from shared.settings import Destination
from shared.stage import GiveUp, Retry
from tests.fuzz import dimse_bytes as dimse
from tests.fuzz.driver import MINUTES, SEED
from tests.fuzz.hl7_bytes import GOOD, message
from tests.images import write

TIMEOUT = 1.0
LONGEST = 30.0  # of real time, for an attempt with a time-out of a second on a machine that is busy
MOST_BYTES = 100 * 2**20
QUICK = 20

Talk = Callable[[socket.socket], None]


@contextmanager
def peer(talk: Talk) -> Iterator[int]:
    """Something that listens, and does what `talk` does with each connection."""
    server = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                try:
                    talk(connection)
                except OSError:
                    continue

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        stop.set()
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(10)


def says(*pieces: bytes, listens: bool = True, drip: float = 0.0) -> Talk:
    """Reads something before each piece, and says it."""

    def talk(connection: socket.socket) -> None:
        for piece in pieces:
            if listens:
                connection.recv(65536)
            for part in [piece[n : n + 1] for n in range(len(piece))] if drip else [piece]:
                connection.sendall(part)
                time.sleep(drip)
        connection.settimeout(3)
        connection.recv(65536)

    return talk


def floods(start: bytes, piece: bytes = bytes(2**20), count: int = 600) -> Talk:
    """Goes on and on."""

    def talk(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(start)
        for _ in range(count):
            connection.sendall(piece)

    return talk


def _rss() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def _outcome(attempt: Callable[[], str]) -> str:
    """How an attempt ended; anything else than what it may raise is a finding."""
    said = ""
    started, before, threads = time.monotonic(), _rss(), threading.active_count()
    try:
        outcome = f"accepted {attempt()!r}"[:60]
    except (Retry, GiveUp) as error:
        outcome, said = type(error).__name__, str(error)
    assert len(said) < 2000, "a reason of any length goes into the book"
    assert "\0" not in said, "no database takes it"
    assert time.monotonic() - started < LONGEST
    assert _rss() - before < MOST_BYTES
    until = time.monotonic() + 15
    while threading.active_count() > threads and time.monotonic() < until:
        time.sleep(0.1)
    assert threading.active_count() <= threads, "a thread is left behind"
    return outcome


def ris(talk: Talk, folder: Path) -> str:
    (folder / "message.hl7").write_bytes(GOOD.encode())
    with peer(talk) as port:
        there = Destination(name="RIS", kind="mllp", host="127.0.0.1", port=port, timeout_seconds=TIMEOUT)
        return _outcome(lambda: mllp_client.send(folder / "message.hl7", there))


def pacs(talk: Talk, folder: Path) -> str:
    path = write(folder, "object")
    with peer(talk) as port:
        there = Destination(
            name="PACS", kind="dicom", host="127.0.0.1", port=port, ae_title="PACS", timeout_seconds=TIMEOUT
        )
        return _outcome(lambda: scu.store(path, there, "ISOCENTER"))


def _ack(rng: random.Random) -> bytes:
    good = (
        f"MSH|^~\\&|RIS|H|ISO|H|2026||ACK|1|P|2.5.1\rMSA|{rng.choice(('AA', 'AE', 'AR', 'CA', 'ZZ', ''))}|C0001|said\r"
    )
    odd = ("\\X00\\", "\0", "é", "x" * 500_000, "\\X0D\\", "^" * 5000, "\ud7ff")
    content = good.replace("said", rng.choice(odd)) if rng.random() < 0.5 else good
    content = content if rng.random() < 0.6 else content.replace("C0001", rng.choice(odd))
    data = content.encode() if rng.random() < 0.7 else message(rng)
    return (
        rng.choice((b"\x0b", b"\x0b", b"\x0b", b"", b"x")) + data + rng.choice((b"\x1c\x0d", b"\x1c\x0d", b"\x1c", b""))
    )


def test_whatever_a_ris_answers(tmp_path: Path):
    seen, count, until = Counter[str](), 0, time.monotonic() + MINUTES * 20
    while (time.monotonic() < until) if MINUTES else count < QUICK:
        seen[ris(says(_ack(random.Random(f"ris/{SEED}/{count}"))), tmp_path)[:20]] += 1
        count += 1
    print(f"\nris: {count} cases, {dict(seen)}")


@pytest.mark.parametrize(
    "talk",
    [
        says(b"", listens=False),
        says(b"\x0bMSH|^~", drip=0.5),
        floods(b"\x0b"),
        floods(b"x"),
        floods(b"\x0b", b"\x1c" * 2**20),
    ],
    ids=["silent", "drips", "never ends", "garbage", "never quite ends"],
)
def test_a_ris_that_never_comes_to_an_end(talk: Talk, tmp_path: Path):
    assert ris(talk, tmp_path) in ("Unreachable", "Retry")


def _accept(number: int = 1, syntax: str = "1.2.840.10008.1.2.1", result: int = 0) -> bytes:
    inside = dimse.item(0x40, syntax.encode())
    chosen = dimse.item(0x21, bytes((number, 0, result, 0)) + inside)
    body = struct.pack(">HH", 1, 0) + b"PACS".ljust(16) + b"ISOCENTER".ljust(16) + bytes(32)
    user = dimse.item(0x50, dimse.item(0x51, struct.pack(">L", 16384)) + dimse.item(0x52, b"1.2.3"))
    return dimse.pdu(2, body + dimse.item(0x10, b"1.2.840.10008.3.1.1.1") + chosen + user)


def _answer(status: bytes = b"\0\0", comment: bytes = b"", **more: bytes) -> bytes:
    facts = {
        "e0002": b"1.2.840.10008.5.1.4.1.1.4\0",
        "e0100": b"\x01\x80",
        "e0120": b"\1\0",
        "e0800": b"\1\1",
        "e0900": status,
    }
    return dimse.p_data(1, 3, dimse.command(**{**facts, **({"e0902": comment} if comment else {}), **more}))


def _hostile(rng: random.Random) -> Talk:
    first = _accept() if rng.random() < 0.7 else dimse._spoil(_accept(), rng)
    second = rng.choice(
        (
            _answer(),
            _answer(rng.randbytes(2)),
            _answer(b"\x01\xc0", b"a\0b\nc "),
            _answer(b"\x01\xc0", b"x" * 60_000),
            _answer(b""),
            _answer(b"\0\0", e0120=b"\7\0"),
            dimse.ABORT,
            dimse.pdu(4, b"", 2**32 - 1),
            dimse._message(rng),
            _answer()[:20],
            dimse._spoil(_answer(), rng),
            b"HTTP/1.0 200 OK\r\n\r\n",
            dimse.pdu(6, bytes(4)),
            dimse.RELEASE_RQ,
            b"",
        )
    )
    return says(first, second, dimse.pdu(6, bytes(4)))


def test_whatever_a_pacs_answers(tmp_path: Path):
    seen, count, until = Counter[str](), 0, time.monotonic() + MINUTES * 20
    while (time.monotonic() < until) if MINUTES else count < QUICK // 2:
        seen[pacs(_hostile(random.Random(f"pacs/{SEED}/{count}")), tmp_path)[:20]] += 1
        count += 1
    print(f"\npacs: {count} cases, {dict(seen)}")
    assert any(outcome.startswith("accepted") for outcome in seen)


@pytest.mark.parametrize(
    "talk",
    [
        says(b"", listens=False),
        says(_accept()[:40]),
        floods(dimse.pdu(2, b"", 2**32 - 1)),
        floods(_accept() + dimse.pdu(4, b"", 2**31)),
        floods(_accept() + dimse.p_data(1, 1, bytes(16000)), dimse.p_data(1, 1, bytes(16000)) * 60),
    ],
    ids=["silent", "half an answer", "4 GB", "2 GB of data", "a command without end"],
)
def test_a_pacs_that_never_comes_to_an_end(talk: Talk, tmp_path: Path):
    assert pacs(talk, tmp_path) in ("Unreachable", "Refused")


@pytest.mark.parametrize(
    "talk",
    [says(_accept(), drip=0.2), says(_accept(), _answer(b"\0\0", b"x" * 60), drip=0.1)],
    ids=["the acceptance", "the response"],
)
def test_a_pacs_that_drips_its_answer_is_cut(talk: Talk, tmp_path: Path):
    """Each byte comes within the time-out: only the whole exchange has an end."""
    assert pacs(talk, tmp_path) == "Unreachable"
