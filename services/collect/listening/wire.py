"""One connection, read into one buffer that is used again and again."""

import contextlib
import os
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable

from pynetdicom.association import Association
from pynetdicom.transport import AssociationSocket

PDU_HEADER = 6  # PS3.8 9.3.1: type, reserved, length
BUFFER_BYTES = 2**18
SLACK = 2**20  # an association request with 128 contexts and user identity is far smaller

_PDU_TYPES = range(1, 8)
_MOST_STRAY = 65536  # as much of a stream that is no DICOM is kept
_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)

Stray = Callable[[Association, bytes, str], None]


class Closed(OSError):
    """The peer has closed the connection."""


class Wire(AssociationSocket):
    """A socket that never blocks in a call, and the bytes that came and are not used yet:
    `buffer[start:end]`, of which `view` gives slices without copying.

    Only the association's own thread reads, writes and closes; others may `wake` it.
    """

    def __init__(self, assoc: Association, connection: socket.socket, maximum_pdu_bytes: int, stray: Stray) -> None:
        super().__init__(assoc, client_socket=connection)
        self.most_bytes, self._stray = maximum_pdu_bytes + SLACK, stray
        self.buffer = bytearray(BUFFER_BYTES)
        self.view = memoryview(self.buffer)
        self.start = self.end = 0
        self.patience = 30.0  # seconds for one PDU to come, or for an answer to leave
        self._bell, self._rope = os.pipe()
        os.set_blocking(self._bell, False)
        os.set_blocking(self._rope, False)
        self._bell_lock = threading.Lock()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        self._poll.register(self._bell, select.POLLIN)

    def handshake(self, context: ssl.SSLContext) -> None:
        """Becomes a TLS connection.

        Raises:
            OSError: the peer can't or may not (`ssl.SSLError`), is too slow, or has gone.
        """
        plain, until = self._open, time.monotonic() + self.patience
        secured = context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        self.socket = secured  # the plain one is detached
        while True:
            try:
                return secured.do_handshake()
            except ssl.SSLWantReadError:
                self._await(secured, select.POLLIN, until)
            except ssl.SSLWantWriteError:
                self._await(secured, select.POLLOUT, until)

    @property
    def _open(self) -> socket.socket:
        if self.socket is None:
            raise Closed("the connection is closed")
        return self.socket

    @property
    def ready(self) -> bool:
        """Whether bytes wait, in the buffer or outside. A connection that has ended is ready too: reading tells."""
        if self.start < self.end:
            return True
        try:
            return self.fill()
        except OSError:
            self.event_queue.put("Evt17")  # PS3.8 table 9-10: transport connection closed
            return False

    def fill(self) -> bool:
        """Takes what has come into the buffer; False: nothing has.

        Raises:
            OSError: the connection is closed or broken.
        """
        if self.start == self.end:
            self.start = self.end = 0
        elif self.end == len(self.buffer):
            rest = self.end - self.start
            self.buffer[:rest] = self.buffer[self.start : self.end]
            self.start, self.end = 0, rest
        try:
            count = self._open.recv_into(self.view[self.end :])
        except _NOT_NOW:
            return False
        if not count:
            raise Closed("the peer has closed the connection")
        self.end += count
        return True

    def wait(self, seconds: float) -> bool:
        """Waits until bytes come or someone calls `wake`; whether bytes came (or the connection ended)."""
        connection = self._open
        if isinstance(connection, ssl.SSLSocket) and connection.pending():
            return True
        came = False
        for descriptor, _ in self._poll.poll(max(0.0, seconds) * 1000):
            if descriptor == self._bell:
                os.read(self._bell, 4096)
            else:
                came = True
        return came

    def wake(self) -> None:
        """Ends a `wait` of the association's thread."""
        with self._bell_lock:  # its number must not be another's by now
            if self._rope >= 0:
                with contextlib.suppress(BlockingIOError):  # full: it rings
                    os.write(self._rope, b"\0")

    def recv(self, nr_bytes: int) -> bytearray:
        """Reads exactly `nr_bytes`, or less where the connection ends: for what pynetdicom decodes itself.

        Raises:
            OSError: more is asked for than any PDU may hold, or they do not come in time.
        """
        if nr_bytes > self.most_bytes:
            raise OSError(f"a PDU of {nr_bytes} bytes is longer than any that was offered")
        data, until = bytearray(), time.monotonic() + self.patience
        while len(data) < nr_bytes:
            take = min(self.end - self.start, nr_bytes - len(data))
            data += self.view[self.start : self.start + take]
            self.start += take
            if len(data) < nr_bytes and not take:
                try:
                    if not self.fill():
                        self._await(self._open, select.POLLIN, until)
                except Closed:
                    break
        self._look(data, nr_bytes)
        return data

    def _look(self, data: bytearray, asked: int) -> None:
        """pynetdicom aborts on a stream that is no DICOM; what came is handed over first."""
        if asked != PDU_HEADER or not data:
            return
        length = int.from_bytes(data[2:], "big")
        if data[0] not in _PDU_TYPES:
            self.give_up(bytes(data), "the stream is no DICOM")
        elif len(data) == PDU_HEADER and length > self.most_bytes:
            self.give_up(bytes(data), f"a PDU claims {length} bytes")

    def give_up(self, data: bytes, reason: str) -> None:
        """Hands over bytes that make no sense, and those behind them."""
        with contextlib.suppress(OSError):
            self.fill()
        self._stray(self.assoc, data + bytes(self.view[self.start : self.end][:_MOST_STRAY]), reason)

    def send(self, bytestream: bytes) -> None:
        """Sends all of it, or tells the state machine that the connection is closed."""
        rest, until = memoryview(bytestream), time.monotonic() + self.patience
        try:
            while rest:
                try:
                    rest = rest[self._open.send(rest) :]
                except _NOT_NOW:
                    self._await(self._open, select.POLLOUT, until)
        except OSError:
            self.event_queue.put("Evt17")

    @staticmethod
    def _await(connection: socket.socket, event: int, until: float) -> None:
        one = select.poll()
        one.register(connection, event)
        if not one.poll(max(0.0, until - time.monotonic()) * 1000):
            raise TimeoutError("the peer is too slow")

    def _shutdown_socket(self) -> None:
        """From another thread the descriptor must not be closed: its number could be another connection's at once."""
        if threading.current_thread() is self.assoc:
            if isinstance(self.socket, ssl.SSLSocket):
                with contextlib.suppress(OSError, ValueError):
                    self.socket.unwrap()  # says close_notify; the peer's need not be waited for
            return super()._shutdown_socket()
        with contextlib.suppress(OSError, AttributeError):
            self._open.shutdown(socket.SHUT_RDWR)
        return None

    def dispose(self) -> None:
        """Closes what is open; the association's thread ends."""
        with self._bell_lock:
            os.close(self._bell)
            os.close(self._rope)
            self._bell = self._rope = -1
        connection, self.socket, self._is_connected = self.socket, None, False
        if connection is not None:
            connection.close()
        self.view = memoryview(b"")  # an association is a ring of references, which is freed late
        self.buffer = bytearray()
