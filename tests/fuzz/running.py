"""The real processes under attack: started once, watched from outside."""

import os
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.fuzz.dicom_bytes import MARK
from tests.fuzz.driver import ROOT

PATIENCE = 30.0  # a machine that is busy makes nothing hang


def free_port() -> int:
    """A port that nobody has at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Running:
    """A service's process and what it takes."""

    def __init__(self, name: str, port: int, folder: Path, process: "subprocess.Popen[bytes]") -> None:
        self.name, self.port, self.folder, self.process = name, port, folder, process
        self.log = folder / f"{name}.log"
        self.before = self.taken()

    def taken(self) -> dict[str, int]:
        """Memory in MiB, threads, and open files."""
        lines = dict(
            line.split(":", 1)
            for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
            if ":" in line
        )
        files = len(os.listdir(f"/proc/{self.process.pid}/fd"))
        return {
            "now": int(lines["VmRSS"].split()[0]) >> 10,
            "peak": int(lines["VmHWM"].split()[0]) >> 10,
            "threads": int(lines["Threads"]),
            "files": files,
        }

    def seconds(self) -> float:
        """Processor time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def busy(self) -> bool:
        """Whether it works at this moment."""
        before = self.seconds()
        time.sleep(0.3)
        return self.seconds() - before > 0.05

    def settled(self, threads: int = 2, files: int = 8) -> str:
        """Empty once the process has no more threads and files than before; what it has instead, if it never does."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            now = self.taken()
            if now["threads"] <= self.before["threads"] + threads and now["files"] <= self.before["files"] + files:
                return ""
            time.sleep(0.2)
        return f"threads or files are left: before {self.before}, now {now}"

    def faults(self) -> list[str]:
        """What its log should not hold."""
        text = self.log.read_text(errors="replace")
        found = [f"the log quotes the patient: {line[:300]}" for line in text.splitlines() if MARK in line]
        at = text.find("Traceback")
        at = at if at >= 0 else text.find('  File "')
        return found[:3] + ([f"a fault that nobody foresaw: {text[max(0, at - 300) : at + 1800]}"] if at >= 0 else [])


@contextmanager
def started(name: str, folder: Path, page: str, port: int) -> Iterator[Running]:
    """`python -m services.<name>` on `port`, with a data folder of its own; ended by SIGTERM."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "isocenter.toml").write_text(f'[isocenter]\ndata_dir = "{folder}/data"\n{page}')
    environment = {**os.environ, "ISOCENTER_CONFIG": str(folder / "isocenter.toml")}
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", f"services.{name}"], cwd=ROOT, env=environment, stderr=log, stdout=log
        )
    try:
        until = time.monotonic() + 60
        while not listens(port):
            assert process.poll() is None, (folder / f"{name}.log").read_text()
            assert time.monotonic() < until, "it does not listen"
            time.sleep(0.1)
        yield Running(name, port, folder, process)
    finally:
        process.terminate()
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def listens(port: int) -> bool:
    """Whether someone takes connections."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def attack(port: int, pieces: list[bytes], ending: str, pause: float = 0.0) -> bytes:
    """Sends the pieces and ends the connection: "reset", "close", "half" (and reads on), or "wait" (for its end)."""
    heard = b""
    with socket.socket() as peer:
        peer.settimeout(PATIENCE)
        peer.connect(("127.0.0.1", port))
        try:
            for piece in pieces:
                heard += _send(peer, piece)
                time.sleep(pause)
            if ending == "half":
                peer.shutdown(socket.SHUT_WR)
            if ending in ("half", "wait"):
                peer.settimeout(0.3)
                while data := peer.recv(65536):
                    heard = (heard + data)[:1_000_000]
        except OSError:  # it has had enough of us
            return heard
        if ending == "reset":
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return heard


def _send(peer: socket.socket, piece: bytes) -> bytes:
    """All of it, reading what comes meanwhile."""
    rest, heard = memoryview(piece), b""
    while rest:
        readable, writable, _ = select.select([peer], [peer], [], PATIENCE)
        if readable:
            data = peer.recv(65536)
            if not data:
                raise OSError("closed")
            heard += data
        if writable:
            rest = rest[peer.send(rest[:65536]) :]
    return heard
