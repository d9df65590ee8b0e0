"""A TCP proxy that a test cuts, delays and silences, between a program and a real server (what toxiproxy does)."""

import contextlib
import socket
import struct
import threading
import time
from types import TracebackType
from typing import Self

_CONNECT_SECONDS = 5.0
_AT_ONCE = 64 * 1024


class Proxy:
    """Passes connections on to `host:upstream` until it is told otherwise. Thread-safe.

    `port` stays the same through refusing and resuming. The server is connected to for each connection anew, so it
    may itself go and come back; while it is away a connection is reset at once.
    """

    def __init__(self, upstream: int, host: str = "127.0.0.1") -> None:
        self.upstream, self.host = upstream, host
        self.taken = 0  # connections that were accepted so far
        self._seconds = 0.0
        self._passing = threading.Event()
        self._passing.set()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self.port = 0
        self._listen()

    @property
    def open_connections(self) -> int:
        """How many connections pass through it now."""
        with self._lock:
            return len(self._open) // 2

    def cut(self) -> None:
        """Resets every connection, as when a switch restarts; new ones are passed on."""
        with self._lock:
            ended, self._open = self._open, set()
        for one in ended:
            _reset(one)

    def refuse(self) -> None:
        """Cuts, and from now on nobody listens, as when the server's process is gone."""
        listener, self._listener = self._listener, None
        if listener:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes accept(), which would keep the port open
            listener.close()
        self.cut()

    def blackhole(self) -> None:
        """Nothing is passed on and nothing is closed, as with a firewall that drops packets. What is on its way
        arrives after `resume`, as TCP would repeat it; new connections are taken and hear nothing."""
        self._passing.clear()

    def delay(self, seconds: float) -> None:
        """Every piece of data waits this long on its way, in each direction."""
        self._seconds = seconds

    def resume(self) -> None:
        """All as at first."""
        self._seconds = 0.0
        self._passing.set()
        if self._listener is None:
            self._listen()

    def close(self) -> None:
        """Ends it with all its connections."""
        self.refuse()
        self._passing.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _listen(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=100)
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._serve, args=(self._listener,), name="proxy", daemon=True).start()

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self.taken += 1
            threading.Thread(target=self._connect, args=(client,), name="proxy", daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        self._passing.wait()
        try:
            server = socket.create_connection((self.host, self.upstream), timeout=_CONNECT_SECONDS)
        except OSError:
            _reset(client)
            return
        server.settimeout(None)
        with self._lock:
            self._open |= {client, server}
        back = threading.Thread(target=self._pass, args=(server, client), name="proxy", daemon=True)
        back.start()
        self._pass(client, server)
        back.join()
        with self._lock:
            self._open -= {client, server}
        client.close()
        server.close()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        """One direction, until its source has said all; the other direction may go on. A reset is passed on as one."""
        try:
            while data := source.recv(_AT_ONCE):
                self._wait()
                target.sendall(data)
            self._wait()
            if target in self._open:  # else it is being reset, which an orderly end must not overtake
                target.shutdown(socket.SHUT_WR)
        except OSError:
            _reset(source)
            _reset(target)

    def _wait(self) -> None:
        if self._seconds:
            time.sleep(self._seconds)
        self._passing.wait()


def _reset(connection: socket.socket) -> None:
    """Ends a connection with RST: its peer sees an error, not an orderly end."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RD)  # wakes who reads from it in another thread, and says nothing to the peer
    connection.close()
