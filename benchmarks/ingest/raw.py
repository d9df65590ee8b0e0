"""The limit of the machine: bytes over loopback to disk, one byte back for each file. No DICOM.

python -m benchmarks.ingest.raw receive PORT FOLDER [fsync]
python -m benchmarks.ingest.raw send PORT CONNECTIONS FOLDER …
"""

import itertools
import os
import queue
import socket
import struct
import sys
import threading
from pathlib import Path

_BUFFER = 2**18
_LENGTH = struct.Struct(">Q")
_names = itertools.count()


def receive(port: int, folder: Path, fsync: bool) -> None:
    """Listens until killed."""
    with socket.create_server(("127.0.0.1", port), backlog=64) as server:
        while True:
            connection, _ = server.accept()
            threading.Thread(target=_serve, args=(connection, folder, fsync), daemon=True).start()


def _serve(connection: socket.socket, folder: Path, fsync: bool) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    view = memoryview(bytearray(_BUFFER))
    while len(head := connection.recv(_LENGTH.size, socket.MSG_WAITALL)) == _LENGTH.size:
        left = _LENGTH.unpack(head)[0]
        file = os.open(folder / f"{next(_names)}.dcm", os.O_WRONLY | os.O_CREAT, 0o640)
        while left:
            count = connection.recv_into(view[: min(left, _BUFFER)])
            left -= os.write(file, view[:count])
        if fsync:
            os.fsync(file)
        os.close(file)
        connection.sendall(b"K")


def send(port: int, connections: int, folders: list[str]) -> None:
    """Sends each folder over a connection of its own, so many at a time."""
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    for folder in folders:
        waiting.put(folder)
    threads = [threading.Thread(target=_send_some, args=(port, waiting)) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _send_some(port: int, waiting: "queue.SimpleQueue[str]") -> None:
    while True:
        try:
            folder = waiting.get_nowait()
        except queue.Empty:
            return
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for path in sorted(Path(folder).iterdir()):
                with path.open("rb") as file:
                    connection.sendall(_LENGTH.pack(path.stat().st_size))
                    connection.sendfile(file)
                connection.recv(1)


if __name__ == "__main__":
    what, port, *rest = sys.argv[1:]
    if what == "receive":
        receive(int(port), Path(rest[0]), "fsync" in rest)
    else:
        send(int(port), int(rest[0]), rest[1:])
