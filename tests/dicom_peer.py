"""A DICOM requestor by hand: it sends exactly the bytes that a test wants on the wire, right or wrong."""

import socket
import struct
import time
from collections.abc import Iterable
from typing import Any

from pydicom.uid import UID, ExplicitVRLittleEndian
from pynetdicom import build_context
from pynetdicom.pdu import A_ASSOCIATE_RQ, A_RELEASE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    AsynchronousOperationsWindowNegotiation,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
)

ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA, RELEASE_RP, ABORT = 2, 3, 4, 6, 7
COMMAND, LAST = 1, 2


def element(tag: int, value: bytes) -> bytes:
    """An element of a command set."""
    return struct.pack("<HHL", 0, tag, len(value)) + value


def command_set(elements: dict[int, bytes]) -> bytes:
    body = b"".join(element(tag, value) for tag, value in sorted(elements.items()))
    return element(0, struct.pack("<L", len(body))) + body


def even(value: str) -> bytes:
    return value.encode() + b"\0" * (len(value) % 2)


def store_command(sop_class: str, sop_instance: str, message_id: int = 1, **changes: bytes | None) -> bytes:
    """A C-STORE-RQ; `changes` as x0110=b"..." (None: left out)."""
    elements: dict[int, bytes] = {
        0x0002: even(sop_class), 0x0100: b"\x01\x00", 0x0110: struct.pack("<H", message_id),
        0x0700: b"\x00\x00", 0x0800: b"\x00\x00", 0x1000: even(sop_instance),
    }  # fmt: skip
    for name, value in changes.items():
        elements.pop(int(name[1:], 16), None)
        if value is not None:
            elements[int(name[1:], 16)] = value
    return command_set(elements)


def echo_command(message_id: int = 7) -> bytes:
    return command_set(
        {
            0x0002: even("1.2.840.10008.1.1"),
            0x0100: b"\x30\x00",
            0x0110: struct.pack("<H", message_id),
            0x0800: b"\x01\x01",
        }
    )


def item(control: int, data: bytes, context_id: int = 1) -> bytes:
    """A presentation data value item."""
    return struct.pack(">LBB", len(data) + 2, context_id, control) + data


def pdu(*items: bytes, kind: int = P_DATA) -> bytes:
    body = b"".join(items)
    return struct.pack(">BBL", kind, 0, len(body)) + body


def pieces(control: int, data: bytes, size: int) -> list[bytes]:
    """`data` as items of `size` bytes."""
    cut = [data[at : at + size] for at in range(0, len(data), size)]
    return [item(control | (LAST if n == len(cut) else 0), piece) for n, piece in enumerate(cut, start=1)]


class Peer:
    """A connection, and what came back on it."""

    def __init__(
        self, port: int, contexts: Iterable[tuple[str, str]], calling: str = "PACS1", window: int = 0,
        connection: Any = None, called: str = "ISOCENTER",
    ) -> None:  # fmt: skip
        self.socket = connection or socket.create_connection(("127.0.0.1", port), timeout=15)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.send(_request(contexts, calling, window, called))
        self.answer = self.receive()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def receive(self) -> tuple[int, bytes]:
        """The next PDU: its type and body; (0, b"") when the connection ends."""
        try:
            header = self._exactly(6)
            return header[0], self._exactly(int.from_bytes(header[2:], "big"))
        except (ConnectionError, EOFError):
            return 0, b""

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def status(self) -> int | None:
        """The status of the next response; None: the peer aborted or went away."""
        found = self.response()
        return None if found is None else struct.unpack("<H", found[0x0900])[0]

    def response(self) -> dict[int, bytes] | None:
        """The elements of the next response's command set."""
        kind, body = self.receive()
        if kind != P_DATA:
            return None
        data, at, found = body[6:], 0, {}
        while at < len(data):
            _, tag, length = struct.unpack_from("<HHL", data, at)
            found[tag] = data[at + 8 : at + 8 + length]
            at += 8 + length
        return found

    def release(self) -> int:
        """Releases; the type of the PDU that answers."""
        self.send(A_RELEASE_RQ().encode())
        return self.receive()[0]

    def close(self) -> None:
        self.socket.close()

    def drip(self, data: bytes, pause: float) -> None:
        """A byte at a time."""
        for at in range(len(data)):
            self.send(data[at : at + 1])
            time.sleep(pause)


def _request(contexts: Iterable[tuple[str, str]], calling: str, window: int, called: str) -> bytes:
    primitive = A_ASSOCIATE()
    primitive.application_context_name = UID("1.2.840.10008.3.1.1.1")
    primitive.calling_ae_title, primitive.called_ae_title = calling, called
    requested = []
    for number, (sop_class, syntax) in enumerate(contexts):
        context = build_context(sop_class, syntax)
        context.context_id = 2 * number + 1
        requested.append(context)
    primitive.presentation_context_definition_list = requested
    longest, implementation = MaximumLengthNotification(), ImplementationClassUIDNotification()
    longest.maximum_length_received = 16384
    implementation.implementation_class_uid = UID("1.2.3.4")
    primitive.user_information = [longest, implementation]
    if window:
        operations = AsynchronousOperationsWindowNegotiation()
        operations.maximum_number_operations_invoked = operations.maximum_number_operations_performed = window
        primitive.user_information.append(operations)
    encoder = A_ASSOCIATE_RQ()
    encoder.from_primitive(primitive)
    return encoder.encode()


def store_message(sop_class: str, sop_instance: str, data: bytes, size: int = 16000, message_id: int = 1) -> bytes:
    """A whole C-STORE-RQ, an item a PDU."""
    command = pdu(item(COMMAND | LAST, store_command(sop_class, sop_instance, message_id)))
    return command + b"".join(pdu(piece) for piece in pieces(0, data, size))


EXPLICIT = str(ExplicitVRLittleEndian)
