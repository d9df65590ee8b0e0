"""admit's port of the real process: each message ends in AA, AE or AR, or in silence where there was none."""

import random
import re
import socket
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.fuzz.driver import MINUTES, MOST_SECONDS, SEED, Finding
from tests.fuzz.hl7_bytes import GOOD, frames
from tests.fuzz.running import PATIENCE, Running, attack, free_port, started

QUICK = 80
MOST_MIB = 200


@pytest.fixture(scope="module")
def admit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    port = free_port()
    page = f'[admit]\nhost = "127.0.0.1"\nport = {port}\nidle_seconds = 3\nframe_seconds = 3\n'
    with started("admit", tmp_path_factory.mktemp("admit"), page, port) as running:
        good_peer(port, 0)
        running.before = running.taken()
        yield running


def good_peer(port: int, number: int) -> None:
    """An order, accepted."""
    content = GOOD.replace("C0001", f"C{number}").replace("ACC1", f"ACC{number}").encode()
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as peer:
        peer.settimeout(PATIENCE)
        peer.sendall(b"\x0b" + content + b"\x1c\x0d")
        answer = b""
        while b"\x1c" not in answer:
            piece = peer.recv(65536)
            assert piece, "closed without an answer"
            answer += piece
    assert f"MSA|AA|C{number}".encode() in answer, answer


def test_whatever_a_peer_sends_the_next_one_is_served(admit: Running):
    findings, heard, count = list[Finding](), Counter[str](), 0
    until = time.monotonic() + MINUTES * 60
    while (time.monotonic() < until) if MINUTES else count < QUICK:
        seed = f"mllp/{SEED}/{count}"
        rng = random.Random(seed)
        pieces, before = frames(rng), admit.seconds()
        answer = attack(admit.port, pieces, rng.choice(("half", "half", "half", "close", "reset")))
        heard.update(re.findall(rb"MSA\|(A[AER])", answer) or ["nothing"])
        try:
            if count % 5 == 0 or MINUTES:
                good_peer(admit.port, count + 1)
        except (AssertionError, OSError) as error:
            findings.append(Finding(f"the next peer: {error}", b"".join(pieces), seed))
        if admit.seconds() - before > MOST_SECONDS:
            findings.append(Finding(f"took {admit.seconds() - before:.1f} s", b"".join(pieces), seed))
        count += 1
    print(f"\nmllp: {count} cases, heard {dict(heard)}, took {admit.taken()}, before {admit.before}")
    told = [f"{f.what} [seed {f.seed}] {f.save('mllp')}" for f in findings[:5]]
    told += [fault for fault in (*admit.faults(), admit.settled(threads=8, files=30)) if fault]
    assert not told, "\n".join(told)
    assert admit.taken()["peak"] < admit.before["peak"] + MOST_MIB
    assert {p.name for p in admit.folder.iterdir()} == {"data", "isocenter.toml", "admit.log"}


@pytest.mark.parametrize("make", ["orders", "parts", "escapes"])
def test_a_message_as_long_as_may_be_takes_seconds(admit: Running, make: str):
    """What is taken is read at once, and what would take long is refused."""
    head = GOOD.split("ORC")[0]
    content = {
        "orders": head + "".join(f"ORC|NW|{n}|{n}\rOBR|1|{n}|{n}|X\r" for n in range(30_000)),
        "parts": head + f"ORC|NW|1|1\rOBR|1|1|1|{'^' * 1900}\r" * 450,
        "escapes": head + "ORC|NW|1|1\rOBR|1|1|1|" + "\\F" * 400_000,
    }[make][:1_000_000]
    before = admit.seconds()
    answer = attack(admit.port, [b"\x0b" + content.encode() + b"\x1c\x0d"], "wait")
    good_peer(admit.port, 999_999)
    until = time.monotonic() + PATIENCE
    while admit.busy() and time.monotonic() < until:
        time.sleep(0.2)
    assert admit.seconds() - before < MOST_SECONDS, f"{admit.seconds() - before:.1f} s, answer {answer[:300]!r}"


def test_a_frame_of_a_gigabyte_takes_no_memory(admit: Running):
    before = admit.taken()["peak"]
    piece = b"A" * 2**20
    with socket.create_connection(("127.0.0.1", admit.port), PATIENCE) as peer:
        peer.settimeout(PATIENCE)
        peer.sendall(b"\x0b")
        try:
            for _ in range(1024):
                peer.sendall(piece)
        except OSError:
            pass  # it has had enough of us
    good_peer(admit.port, 999_998)
    assert admit.taken()["peak"] < before + 50


def test_many_that_never_end_are_let_go(admit: Running):
    slow = [socket.create_connection(("127.0.0.1", admit.port), PATIENCE) for _ in range(60)]
    for n, peer in enumerate(slow):
        peer.sendall(b"\x0bMSH|" if n % 2 else b"")
    assert admit.settled(threads=8, files=30) == ""
    for peer in slow:
        peer.close()
    good_peer(admit.port, 999_997)
