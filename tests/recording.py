"""What a sender really sent: a listener's port seen through a proxy that keeps both directions, byte for byte.

The data sets are put together from the PDUs by PS3.8 9.3 alone, so that a test can hold what is stored against the
wire, whoever the sender is and whatever it made of its files.
"""

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

_AT_ONCE = 2**16
_ACCEPT, _DATA = 0x02, 0x04  # PDU types
_RESULT_OF_CONTEXT, _TRANSFER_SYNTAX = 0x21, 0x40  # items of A-ASSOCIATE-AC
_STORE_REQUEST, _STORE_RESPONSE = 0x0001, 0x8001
_UID_PADDING = b"\0 "


@dataclass
class SentInstance:
    """One C-STORE as it went over the wire. `data_set` is None when it did not come whole, `status` when no answer."""

    sop_instance_uid: str
    transfer_syntax_uid: str
    data_set: bytes | None = None
    status: int | None = None


@dataclass
class _Connection:
    client: socket.socket
    server: socket.socket
    cut_after: int | None
    sent: bytearray = field(default_factory=bytearray)
    answered: bytearray = field(default_factory=bytearray)


class Recorder:
    """Passes connections on to a port of this machine and keeps what went over them.

    `cut_after` gives, for each new connection in turn, after how many bytes of the sender's it is reset; None: never.
    """

    def __init__(self, upstream: int, cut_after: Iterator[int | None] | None = None) -> None:
        self._upstream, self._cut_after = upstream, cut_after
        self._connections: list[_Connection] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Takes no more, and waits until what is open has ended."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(timeout=30)

    def instances(self) -> list[SentInstance]:
        """Every C-STORE that was begun, in order for each connection."""
        return [one for connection in self._connections for one in _instances(connection.sent, connection.answered)]

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._upstream), timeout=10)
            except OSError:
                return
            server.settimeout(None)
            connection = _Connection(client, server, next(self._cut_after, None) if self._cut_after else None)
            self._connections.append(connection)
            for target in (self._forward, self._back):
                thread = threading.Thread(target=target, args=(connection,), daemon=True)
                thread.start()
                self._threads.append(thread)

    def _forward(self, connection: _Connection) -> None:
        with contextlib.suppress(OSError):
            while data := connection.client.recv(_AT_ONCE):
                connection.sent += data
                if connection.cut_after is not None and len(connection.sent) > connection.cut_after:
                    _reset(connection.server)
                    _reset(connection.client)
                    return
                connection.server.sendall(data)
        with contextlib.suppress(OSError):
            connection.server.shutdown(socket.SHUT_WR)

    def _back(self, connection: _Connection) -> None:
        with contextlib.suppress(OSError):
            while data := connection.server.recv(_AT_ONCE):
                connection.answered += data
                connection.client.sendall(data)
        with contextlib.suppress(OSError):
            connection.client.shutdown(socket.SHUT_WR)


def _reset(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RD)
    connection.close()


def _instances(sent: bytes, answered: bytes) -> list[SentInstance]:
    syntaxes = _accepted_syntaxes(answered)
    found: list[SentInstance] = []
    for context, command, data in _messages(sent):
        if command[0x0100] == struct.pack("<H", _STORE_REQUEST):
            uid = command[0x1000].rstrip(_UID_PADDING).decode("ascii")
            found.append(SentInstance(uid, syntaxes[context], data))
    statuses = [
        struct.unpack("<H", command[0x0900])[0]
        for _, command, _ in _messages(answered)
        if command[0x0100] == struct.pack("<H", _STORE_RESPONSE)
    ]
    for instance, status in zip(found, statuses, strict=False):  # answers come in the order of the requests
        instance.status = status
    return found


def _pdus(stream: bytes) -> Iterator[tuple[int, memoryview]]:
    at, view = 0, memoryview(bytes(stream))
    while at + 6 <= len(view):
        kind, length = view[at], int.from_bytes(view[at + 2 : at + 6], "big")
        if at + 6 + length > len(view):
            return
        yield kind, view[at + 6 : at + 6 + length]
        at += 6 + length


def _accepted_syntaxes(answered: bytes) -> dict[int, str]:
    """The transfer syntax by presentation context ID (PS3.8 table 9-18)."""
    found: dict[int, str] = {}
    for kind, body in _pdus(answered):
        at = 68
        while kind == _ACCEPT and at + 4 <= len(body):
            item, length = body[at], int.from_bytes(body[at + 2 : at + 4], "big")
            if item == _RESULT_OF_CONTEXT and body[at + 6] == 0:
                assert body[at + 8] == _TRANSFER_SYNTAX
                found[body[at + 4]] = bytes(body[at + 12 : at + 4 + length]).rstrip(_UID_PADDING).decode("ascii")
            at += 4 + length
    return found


def _messages(stream: bytes) -> Iterator[tuple[int, dict[int, bytes], bytes | None]]:
    """Presentation context, command set and data set of each message (PS3.7 6.3, PS3.8 E.2)."""
    command, data, waits = bytearray(), bytearray(), None
    for kind, body in _pdus(stream):
        at = 0
        while kind == _DATA and at < len(body):
            length, context, control = int.from_bytes(body[at : at + 4], "big"), body[at + 4], body[at + 5]
            (command if control & 1 else data).extend(body[at + 6 : at + 4 + length])
            at += 4 + length
            if control == 3:
                waits, command = (context, _elements(bytes(command))), bytearray()
                if waits[1][0x0800] == b"\x01\x01":  # no data set
                    yield *waits, None
                    waits = None
            elif control == 2 and waits:
                yield *waits, bytes(data)
                waits, data = None, bytearray()
    if waits:
        yield *waits, None


def _elements(command: bytes) -> dict[int, bytes]:
    """Values of a command set by element number."""
    found, at = {}, 0
    while at < len(command):
        element, length = struct.unpack_from("<HL", command, at + 2)
        found[element] = command[at + 8 : at + 8 + length]
        at += 8 + length
    return found
