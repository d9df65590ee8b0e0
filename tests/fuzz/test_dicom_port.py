"""The DICOM port of the real process: whatever a peer sends, the next one is served, and nothing piles up."""

import random
import socket
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from sqlmodel import select

from shared.store import Book, Instance, open_book
from tests.fuzz import dimse_bytes as dimse
from tests.fuzz.driver import MINUTES, SEED, Finding
from tests.fuzz.running import PATIENCE, Running, attack, free_port, started

QUICK = 120
MOST_MIB = 300
STUDY = "1.2.840.7"


@pytest.fixture(scope="module")
def collect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    port = free_port()
    page = f"""[collect]
host = "127.0.0.1"
port = {port}
stop_seconds = 1
least_free_bytes = 0
quiet_seconds = 3600
acse_timeout_seconds = 3
network_timeout_seconds = 3
most_instance_bytes = 10000000
"""
    with started("collect", tmp_path_factory.mktemp("collect"), page, port) as running:
        good_peer(port, f"{STUDY}.0")
        running.before = running.taken()
        yield running


def good_peer(port: int, sop_instance: str) -> None:
    """C-ECHO, C-STORE and release; each must be answered as it should."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as peer:
        peer.settimeout(PATIENCE)
        peer.sendall(dimse.associate_rq())
        assert _pdu(peer)[0] == 2, "no A-ASSOCIATE-AC"
        peer.sendall(dimse.echo_rq())
        assert b"\0\0\x00\x09\x02\0\0\0\0\0" in _pdu(peer), "C-ECHO did not succeed"
        peer.sendall(dimse.store_rq(sop_instance, STUDY))
        assert b"\0\0\x00\x09\x02\0\0\0\0\0" in _pdu(peer), "C-STORE did not succeed"
        peer.sendall(dimse.RELEASE_RQ)
        assert _pdu(peer)[0] == 6, "no A-RELEASE-RP"


def _pdu(peer: socket.socket) -> bytes:
    head = _exactly(peer, 6)
    return head + _exactly(peer, int.from_bytes(head[2:], "big"))


def _exactly(peer: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = peer.recv(size - len(data))
        assert piece, f"closed after {data!r}"
        data += piece
    return data


def test_whatever_a_peer_sends_the_next_one_is_served(collect: Running):
    findings, heard, good, count = list[Finding](), Counter[str](), 1, 0
    until = time.monotonic() + MINUTES * 60
    while (time.monotonic() < until) if MINUTES else count < QUICK:
        seed = f"port/{SEED}/{count}"
        rng = random.Random(seed)
        pieces, ending = dimse.case(rng), rng.choice(("reset", "close", "half", "half", "wait"))
        answer = attack(collect.port, pieces, ending, pause=0.005 if len(pieces) < 10 else 0)
        heard[_outcome(answer)] += 1
        try:
            if count % 5 == 0 or MINUTES:
                good_peer(collect.port, f"{STUDY}.{good}")
                good += 1
        except (AssertionError, OSError) as error:
            findings.append(Finding(f"the next peer: {error}", b"".join(pieces), seed))
        count += 1
    print(f"\nport: {count} cases, {good} good, heard {dict(heard)}, took {collect.taken()}, before {collect.before}")
    told = [f"{f.what} [seed {f.seed}] {f.save('port')}" for f in findings[:5]]
    told += [fault for fault in (*collect.faults(), collect.settled(), _too_much(collect)) if fault]
    assert not told, "\n".join(told)
    _look_at_the_store(collect, good)


def _outcome(answer: bytes) -> str:
    kinds = {2: "accepted", 3: "rejected", 4: "data", 6: "released", 7: "aborted"}
    seen, at = [], 0
    while at + 6 <= len(answer):
        seen.append(kinds.get(answer[at], "?"))
        at += 6 + int.from_bytes(answer[at + 2 : at + 6], "big")
    return " ".join(dict.fromkeys(seen)) or "nothing"


def _too_much(collect: Running) -> str:
    taken = collect.taken()
    return f"took {taken}, before {collect.before}" if taken["peak"] > collect.before["peak"] + MOST_MIB else ""


def _look_at_the_store(collect: Running, good: int) -> None:
    """Every good instance is a file and a row; nothing lies where it should not."""
    data = collect.folder / "data"
    assert {p.name for p in collect.folder.iterdir()} == {"data", "isocenter.toml", "collect.log"}
    assert len(list((data / "store" / STUDY).rglob("*.dcm"))) == good
    until = time.monotonic() + PATIENCE
    book = open_book(f"sqlite:///{data}/isocenter.db")
    try:
        stored = {p.stem for p in (data / "store").glob("*/*/*.dcm") if "~" not in p.stem}  # others lie beside
        while missing := stored ^ _rows(book):
            assert time.monotonic() < until, f"files and rows differ: {missing}"
            time.sleep(0.2)
    finally:
        book.close()
    left = [p for p in (data / "store" / ".incoming").rglob("*") if p.is_file()]  # each process has a folder of its own
    assert not left, "half-written files are left"


def _rows(book: Book) -> set[str]:
    with book.read() as session:
        return set(session.exec(select(Instance.sop_instance_uid)))


def test_an_abort_after_every_byte_of_a_good_exchange(collect: Running):
    stream = dimse.associate_rq() + dimse.echo_rq() + dimse.store_rq("1.2.77.1")[:420]
    for at in range(0, len(stream), 1 if MINUTES else 23):
        attack(collect.port, [stream[:at], dimse.ABORT], "close")
    good_peer(collect.port, f"{STUDY}.9999999")
    assert not [f for f in (*collect.faults(), collect.settled()) if f]


def test_a_pdu_that_claims_4_gb_takes_no_memory(collect: Running):
    before = collect.taken()["peak"]
    for kind in (1, 2, 3, 4, 5, 6, 7):
        attack(collect.port, [dimse.associate_rq(), dimse.pdu(kind, b"", 2**32 - 1), bytes(2**20)], "wait")
        attack(collect.port, [dimse.pdu(kind, b"", 2**32 - 1), bytes(2**20)], "wait")
    attack(collect.port, [dimse.associate_rq(), dimse.p_data(3, 3, b"", 2**32 - 1), bytes(2**20)], "wait")
    assert collect.taken()["peak"] < before + 100


def test_many_that_say_nothing_are_let_go(collect: Running):
    silent = [socket.create_connection(("127.0.0.1", collect.port), PATIENCE) for _ in range(60)]
    for n, peer in enumerate(silent):
        peer.sendall(dimse.associate_rq()[: n * 3] if n % 2 else b"")
    assert collect.settled() == ""
    for peer in silent:
        peer.close()
    good_peer(collect.port, f"{STUDY}.9999998")
