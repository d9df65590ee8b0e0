"""Ends an association that does not come to its end, in time or in bytes.

pynetdicom's time-outs count from one byte to the next: a PACS that drips its answer would hold a hand for hours. And it
reads as much as a PDU's header says, and collects fragments of a command until the last one comes.
"""

import contextlib
import socket
import threading
from typing import Any

from pynetdicom import evt

MOST_BYTES = 2**20  # an association's answers, all together, are some kilobytes


class Deadline:
    """For one association, which is requested with `handlers`: its connection is cut `seconds` after it was opened."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.passed = seconds, False
        self._timer: threading.Timer | None = None

    @property
    def handlers(self) -> list[Any]:
        """For pynetdicom."""
        return [(evt.EVT_CONN_OPEN, self._on_open), (evt.EVT_CONN_CLOSE, self._on_close)]

    def _on_open(self, event: Any) -> None:
        wire = event.assoc.dul.socket
        receive, left = wire.recv, MOST_BYTES

        def bounded(count: int) -> bytearray:
            nonlocal left
            left -= count
            if left < 0:
                raise OSError("the peer says more than any answer holds")
            return bytearray(receive(count))

        wire.recv = bounded  # pynetdicom makes its socket itself, so there is no subclass to give it
        self._timer = threading.Timer(self.seconds, self._cut, (wire.socket,))
        self._timer.daemon = True
        self._timer.start()

    def _on_close(self, _: Any) -> None:
        if self._timer:
            self._timer.cancel()

    def _cut(self, connection: socket.socket) -> None:
        self.passed = True
        with contextlib.suppress(OSError):  # it has just ended by itself
            connection.shutdown(socket.SHUT_RDWR)
