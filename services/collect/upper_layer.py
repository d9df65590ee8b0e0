"""What collect does otherwise than pynetdicom below the C-STORE handler: it reads whole PDUs, bounds their length, and
survives messages that pynetdicom can't file. Subclasses only; the tests tell when a new pynetdicom changes what they
lean on."""

import contextlib
import logging
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

from pynetdicom import _config
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.transport import AssociationSocket

log = logging.getLogger(__name__)

_PDU_HEADER = 6  # PS3.8 9.3.1: type, reserved, length
_PDU_TYPES = range(1, 8)
_MOST_STRAY = 65536  # as much of a stream that is no DICOM is kept
_SLACK = 2**20  # an association request with 128 contexts and user identity is far smaller

Stray = Callable[[Association, bytes, str], None]


class Wire(AssociationSocket):
    """A socket that reads what it is asked for in as few calls as the network allows."""

    def __init__(self, assoc: Association, connection: socket.socket, maximum_pdu_bytes: int, stray: Stray) -> None:
        super().__init__(assoc, client_socket=connection)
        self._most, self._stray = maximum_pdu_bytes + _SLACK, stray

    def recv(self, nr_bytes: int) -> bytearray:
        """Reads exactly `nr_bytes`, or less where the connection ends.

        Raises:
            OSError: more is asked for than any PDU may hold, or the peer is silent for too long.
        """
        if nr_bytes > self._most:
            raise OSError(f"a PDU of {nr_bytes} bytes is longer than any that was offered")
        data = bytearray(nr_bytes)
        view, done = memoryview(data), 0
        connection = cast("socket.socket", self.socket)
        while done < nr_bytes and (count := connection.recv_into(view[done:])):
            done += count
        view.release()
        del data[done:]
        self._look(connection, data, nr_bytes)
        return data

    def _look(self, connection: socket.socket, data: bytearray, asked: int) -> None:
        """pynetdicom aborts on a stream that is no DICOM; what came is handed over first."""
        if asked != _PDU_HEADER or not data:
            return
        length = int.from_bytes(data[2:], "big")
        if data[0] not in _PDU_TYPES:
            self._stray(self.assoc, bytes(data) + _waiting(connection), "the stream is no DICOM")
        elif len(data) == _PDU_HEADER and length > self._most:
            self._stray(self.assoc, bytes(data) + _waiting(connection), f"a PDU claims {length} bytes")


def _waiting(connection: socket.socket) -> bytes:
    try:
        return connection.recv(_MOST_STRAY, socket.MSG_DONTWAIT)
    except OSError:
        return b""


class Dimse(DIMSEServiceProvider):
    """Assembles messages; one that can't be assembled aborts its association and nothing else."""

    def receive_primitive(self, primitive: P_DATA) -> None:
        try:
            super().receive_primitive(primitive)
        except Exception as error:
            log.warning("message can't be received, association aborted cause=%s", type(error).__name__)
            self.drop_partial()
            self.assoc.dul.event_queue.put("Evt19")  # PS3.8 table 9-10: an invalid PDU is answered by A-ABORT

    def drop_partial(self) -> None:
        """Removes the file of a message that did not come whole; it was never acknowledged."""
        message, self.message = self.message, None
        file = getattr(message, "_data_set_file", None)
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()
            with contextlib.suppress(OSError):
                os.unlink(file.name)


def take_over(assoc: Association, maximum_pdu_bytes: int, network_timeout: float, stray: Stray) -> None:
    """Puts `Wire` and `Dimse` in place before the association starts (at EVT_CONN_OPEN)."""
    connection = cast("socket.socket", cast("AssociationSocket", assoc.dul.socket).socket)
    connection.settimeout(network_timeout)  # accept() hands on no time-out: a peer that stalls would keep a thread
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    assoc.dul.event_queue.get(block=False)  # the connection's Evt5, which the new socket says again
    assoc.dul.socket = Wire(assoc, connection, maximum_pdu_bytes, stray)
    assoc.dimse = Dimse(assoc)


@contextlib.contextmanager
def received_into(folder: Path) -> Iterator[None]:
    """While open, pynetdicom writes data sets into files in `folder` as they come: memory stays flat whatever their
    size. Both switches are the process's own, so a process has one listener."""
    before: tuple[Any, ...] = (tempfile.tempdir, _config.STORE_RECV_CHUNKED_DATASET, _config.LOG_HANDLER_LEVEL)
    tempfile.tempdir = str(folder)
    _config.STORE_RECV_CHUNKED_DATASET, _config.LOG_HANDLER_LEVEL = True, "none"
    try:
        yield
    finally:
        tempfile.tempdir, _config.STORE_RECV_CHUNKED_DATASET, _config.LOG_HANDLER_LEVEL = before
