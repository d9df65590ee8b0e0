"""Framing: however bytes come in pieces, the same frames come out, and no peer makes us keep more than a bound."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.hl7.mllp import Decoder, Frame, NoAnswer, frame, send_message

Peer = Callable[[socket.socket], None]

no_end = st.binary(max_size=60).filter(lambda b: b"\x1c\x0d" not in b + b"\r" and not b.endswith(b"\x1c"))


@given(st.lists(no_end, max_size=5), st.lists(st.integers(1, 9), min_size=1, max_size=40))
def test_pieces_make_no_difference(messages: list[bytes], sizes: list[int]) -> None:
    stream, decoder, got, at = b"".join(frame(m) for m in messages), Decoder(), [], 0
    for size in sizes * (len(stream) // sum(sizes) + 1):
        got += list(decoder.feed(stream[at : at + size]))
        at += size
    assert got == [Frame(m) for m in messages]
    assert decoder.close() is None


@given(st.binary(max_size=300), st.integers(1, 50))
def test_any_bytes_are_taken(data: bytes, size: int) -> None:
    decoder = Decoder(most_bytes=64)
    for at in range(0, len(data), size):
        for got in decoder.feed(data[at : at + size]):
            assert len(got.content) <= 4096
    decoder.close()


def test_a_message_of_just_the_bound_is_whole_and_one_more_is_oversize() -> None:
    assert list(Decoder(10).feed(frame(b"x" * 10))) == [Frame(b"x" * 10)]
    assert list(Decoder(10).feed(frame(b"x" * 11))) == [Frame(b"x" * 11, "oversize")]


def test_an_endless_frame_keeps_little_and_the_next_is_read() -> None:
    decoder = Decoder(most_bytes=100_000)
    list(decoder.feed(b"\x0bMSH|"))
    for _ in range(1000):
        assert list(decoder.feed(b"x" * 65536)) == []
        assert len(decoder._kept) <= 100_000
    first, second = decoder.feed(b"\x1c\x0d" + frame(b"next"))
    assert (first.fault, first.content[:5], len(first.content)) == ("oversize", b"MSH|x", 4096)
    assert second == Frame(b"next")


def test_bytes_outside_a_frame_are_a_fault_and_line_ends_are_not() -> None:
    assert list(Decoder().feed(b"\r\n" + frame(b"a") + b"\r\n" + frame(b"b"))) == [Frame(b"a"), Frame(b"b")]
    assert list(Decoder().feed(b"GET / HTTP/1.1\r\n")) == [Frame(b"GET / HTTP/1.1", "outside")]


def test_a_cut_frame_is_told() -> None:
    decoder = Decoder()
    assert list(decoder.feed(b"\x0bMSH|half\x1c")) == []
    assert decoder.close() == Frame(b"MSH|half\x1c", "cut")


@pytest.fixture
def peer() -> Iterator[Callable[[Peer], int]]:
    """Starts a peer that does what it is told with its one connection; gives the port."""
    threads, listeners = [], []

    def start(behave: Peer) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listener.settimeout(10)

        def run() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(10)
                behave(connection)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        threads.append(thread)
        listeners.append(listener)
        return listener.getsockname()[1]

    yield start
    for thread in threads:
        thread.join(10)
    for listener in listeners:
        listener.close()


def _read(connection: socket.socket) -> bytes:
    data = b""
    while not data.endswith(b"\x1c\x0d"):
        data += connection.recv(4096)
    return data


def test_the_answer_comes_back(peer: Callable[[Peer], int]) -> None:
    seen: list[bytes] = []

    def behave(connection: socket.socket) -> None:
        seen.append(_read(connection))
        for byte in frame(b"MSH|answer"):
            connection.sendall(bytes([byte]))

    assert send_message("127.0.0.1", peer(behave), b"MSH|question", 5) == b"MSH|answer"
    assert seen == [frame(b"MSH|question")]


def _drips(connection: socket.socket) -> None:
    _read(connection)
    with contextlib.suppress(OSError):
        for n in range(100):
            connection.sendall(b"\x0b" if n == 0 else b"x")
            time.sleep(0.05)


def _never_ends(connection: socket.socket) -> None:
    _read(connection)
    with contextlib.suppress(OSError):
        connection.sendall(b"\x0b" + b"x" * (4 << 20) + b"\x1c\x0d")


@pytest.mark.parametrize(
    ("behave", "said"),
    [
        (lambda c: (_read(c), time.sleep(1.5)), "no answer within 0.5 s"),
        (_drips, "no answer within 0.5 s"),
        (lambda c: _read(c), "closed the connection before its answer"),
        (lambda c: (_read(c), c.sendall(b"HTTP/1.1 400 Bad Request")), "outside"),
        (_never_ends, "oversize"),
    ],
)
def test_no_answer_is_told_and_the_time_is_kept(peer: Callable[[Peer], int], behave: Peer, said: str) -> None:
    started = time.monotonic()
    timeout = 0.5 if "0.5" in said else 5
    with pytest.raises(NoAnswer, match=said) as caught:
        send_message("127.0.0.1", peer(behave), b"MSH|question", timeout)
    assert caught.value.connected
    assert time.monotonic() - started < timeout + 0.5


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(NoAnswer, match="connection refused") as caught:
        send_message("127.0.0.1", port, b"MSH|question", 1)
    assert not caught.value.connected
