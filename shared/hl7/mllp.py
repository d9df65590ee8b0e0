"""MLLP, the minimal lower layer protocol (HL7 Transport Specification): framing and a client.

A message travels as 0x0B, the message, 0x1C 0x0D. Nothing that a peer claims or sends makes the decoder keep more
than its bound.
"""

import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

START, END = b"\x0b", b"\x1c\x0d"
MOST_BYTES = 1 << 20
_KEPT_OF_FAULT = 4096  # of an oversize frame and of bytes outside any frame: enough to see what it is
_CHUNK = 1 << 16
_LONGEST_CONNECT = 5.0  # a host that drops packets must not hold a worker for the whole time-out


def frame(message: bytes) -> bytes:
    """The message as it goes on the wire."""
    return START + message + END


@dataclass(frozen=True)
class Frame:
    """What came in one frame. With a `fault`, `content` is what was kept of it.

    oversize: more than the bound, the rest was dropped; outside: bytes outside any frame; cut: the connection ended,
    or took too long, inside a frame.
    """

    content: bytes
    fault: Literal["", "oversize", "outside", "cut"] = ""


class Decoder:
    """Frames out of a stream that comes in pieces."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        self._kept = bytearray()
        self._tail = b""  # a 0x1C at the end of a piece: the next may begin with 0x0D
        self.inside = False
        self._oversize = False

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that `data` completes."""
        while data:
            data, done = self._take(data) if self.inside else self._skip(data)
            if done:
                yield done

    def close(self) -> Frame | None:
        """What was begun when the stream ended; None where nothing was."""
        kept = bytes(self._kept) + self._tail
        begun = self.inside
        self._reset()
        return Frame(kept, "cut") if begun else None

    def _skip(self, data: bytes) -> tuple[bytes, Frame | None]:
        """Bytes before a frame: line ends are let through, as some senders add one; others are a fault."""
        outside, found, rest = data.partition(START)
        self.inside = bool(found)
        stray = outside.strip(b"\r\n")
        return rest, Frame(stray[:_KEPT_OF_FAULT], "outside") if stray else None

    def _take(self, data: bytes) -> tuple[bytes, Frame | None]:
        """Bytes inside a frame, up to its end if it is there."""
        body, found, rest = (self._tail + data).partition(END)
        if found:
            self._keep(body)
            done = Frame(bytes(self._kept), "oversize" if self._oversize else "")
            self._reset()
            return rest, done
        self._tail = body[-1:] if body.endswith(END[:1]) else b""
        self._keep(body[: len(body) - len(self._tail)])
        return b"", None

    def _keep(self, body: bytes) -> None:
        if not self._oversize and len(self._kept) + len(body) > self._most:
            self._oversize = True
            self._kept += body[:_KEPT_OF_FAULT]
            del self._kept[_KEPT_OF_FAULT:]
        if not self._oversize:
            self._kept += body

    def _reset(self) -> None:
        self._kept, self._tail, self.inside, self._oversize = bytearray(), b"", False, False


class NoAnswer(Exception):
    """No answer came: the text says why. `connected` tells whether the peer could be reached at all."""

    def __init__(self, text: str, connected: bool) -> None:
        super().__init__(text)
        self.connected = connected


def send_message(host: str, port: int, message: bytes, timeout: float = 30.0, most_bytes: int = MOST_BYTES) -> bytes:
    """Sends one message on a connection of its own and returns the first answer.

    The connection is closed whatever happens, so a late answer can't be taken for another message's.

    Raises:
        NoAnswer: the peer can't be reached, closed, sent no frame, or took longer than `timeout` seconds in all.
    """
    deadline = time.monotonic() + timeout
    try:
        connection = socket.create_connection((host, port), timeout=min(timeout, _LONGEST_CONNECT))
    except OSError as error:
        raise NoAnswer(f"can't connect to {host}:{port}: {_words(error)}", connected=False) from None
    with connection:
        try:
            connection.settimeout(timeout)
            connection.sendall(frame(message))
            return _first_answer(connection, deadline, most_bytes)
        except TimeoutError:
            raise NoAnswer(f"no answer within {timeout:g} s", connected=True) from None
        except OSError as error:
            raise NoAnswer(f"the connection broke before the answer: {_words(error)}", connected=True) from None


def _first_answer(connection: socket.socket, deadline: float, most_bytes: int) -> bytes:
    decoder = Decoder(most_bytes)
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        connection.settimeout(left)
        data = connection.recv(_CHUNK)
        if not data:
            raise NoAnswer("the peer closed the connection before its answer", connected=True)
        for answer in decoder.feed(data):
            if answer.fault:
                raise NoAnswer(f"the answer is no HL7 message in an MLLP frame ({answer.fault})", connected=True)
            return answer.content


def _words(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "it does not answer"
    return (error.strerror or str(error) or type(error).__name__).lower()
