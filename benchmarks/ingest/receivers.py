"""The listeners under test: how each is started, and how to tell that everything is really there."""

import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.ingest.images import Sent
from shared.digest import algorithm_of, new_hash, value_of
from tests.collecting import free_port, listens

ROOT = Path(__file__).parents[2]
_START_SECONDS, _STOP_SECONDS, _ALL_THERE_SECONDS = 60, 20, 60
# Debian's DCMTK and Orthanc leave Nagle's algorithm on: without this, on both sides, an instance takes 45 ms
ENVIRONMENT = {**os.environ, "TCP_NODELAY": "1"}


class Failed(Exception):
    """The run tells nothing: its figures are not used."""


FAILURES = (Failed, OSError, sqlite3.Error, subprocess.SubprocessError)


@dataclass
class Receiver:
    """A listener in a folder of its own, empty at the start of each run."""

    name: str
    folder: Path
    port: int = field(default_factory=free_port)
    ae_title: str = "BENCH"
    is_dicom: bool = True

    def command(self) -> list[str]:
        raise NotImplementedError

    def count(self) -> int:
        """How many instances are there."""
        return sum(1 for path in self.store.rglob("*") if path.is_file())

    def wait_until_there(self, sent: Sent) -> None:
        """Waits until all that was sent is there, and in the index where there is one.

        Raises:
            Failed: it is not, or there is more.
        """
        deadline = time.monotonic() + _ALL_THERE_SECONDS
        expected = len(sent.digests)
        while (count := self.count()) < expected and time.monotonic() < deadline:
            time.sleep(0.05)
        if count != expected:
            raise Failed(f"{count} of {expected} instances are there")

    def check(self, sent: Sent) -> None:
        """Looks at what is there, once the clock has stopped.

        Raises:
            Failed: it is not what was sent.
        """

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @contextmanager
    def running(self) -> Iterator[int]:
        """Starts it; gives its process id; ends it and all its children, and empties its files.

        They are not removed before all is measured: where ext4 has no journal, it looks at every file that was deleted
        in the last five minutes whenever it makes one, so each run would pay for those before it.
        """
        self.store.mkdir(parents=True)
        command = self.command()
        with (self.folder / "log").open("wb") as log:
            process = subprocess.Popen(
                command, cwd=ROOT, env={**ENVIRONMENT, **self.environment()}, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        try:
            self._wait(process)
            yield process.pid
        finally:
            _end(process)
            for path in self.folder.rglob("*"):
                if path.is_file():
                    os.truncate(path, 0)

    def environment(self) -> dict[str, str]:
        return {}

    def _wait(self, process: "subprocess.Popen[bytes]") -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not listens(self.port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise Failed(f"it does not start: {(self.folder / 'log').read_text(errors='replace')[-300:]}")
            time.sleep(0.05)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # its children, where it left some
    process.wait()


@dataclass
class Isocenter(Receiver):
    """The product's collect as it is started in production: index on SQLite, events and bells on."""

    durability: str = "instance"

    def command(self) -> list[str]:
        (self.folder / "isocenter.toml").write_text(
            f'[isocenter]\ndata_dir = "{self.folder}"\n[collect]\nhost = "127.0.0.1"\nport = {self.port}\n'
            f'ae_title = "{self.ae_title}"\ndurability = "{self.durability}"\nleast_free_bytes = 0\n'
        )
        return [sys.executable, "-m", "services.collect"]

    def environment(self) -> dict[str, str]:
        return {"ISOCENTER_CONFIG": str(self.folder / "isocenter.toml")}

    def count(self) -> int:
        return int(self._ask("select count(*) from instance")[0][0])

    def check(self, sent: Sent) -> None:
        """Every data set byte by byte, and the digest in its row."""
        for sop_instance_uid, path, digest in self._ask("select sop_instance_uid, path, digest from instance"):
            data = (self.store / path).read_bytes()
            body = memoryview(data)[144 + int.from_bytes(data[140:144], "little") :]
            hashed = new_hash(algorithm_of(digest))
            hashed.update(body)
            same = sent.digests.get(sop_instance_uid) == hashlib.sha256(body).hexdigest()
            if not same or digest != value_of(hashed, algorithm_of(digest)):
                raise Failed(f"the data set of {sop_instance_uid} is not what was sent")
        files = super().count()
        if files != len(sent.digests):
            raise Failed(f"{files} files lie in the store, {len(sent.digests)} were sent")

    def _ask(self, question: str) -> list[tuple[Any, ...]]:
        book = sqlite3.connect(f"file:{self.folder}/isocenter.db?mode=ro", uri=True, timeout=30)
        try:
            return list(book.execute(question))
        finally:
            book.close()


@dataclass
class PlainPynetdicom(Receiver):
    """pynetdicom as its documentation shows it."""

    def command(self) -> list[str]:
        return [sys.executable, "-m", "benchmarks.ingest.plain", str(self.port), str(self.store)]


@dataclass
class Storescp(Receiver):
    """DCMTK's storescp with the largest PDU that it takes, which is its fastest way."""

    fork: bool = False

    def command(self) -> list[str]:
        fork = ["--fork"] if self.fork else []
        return ["storescp", *fork, "-pdu", "131072", "-aet", self.ae_title, "-od", str(self.store), str(self.port)]


@dataclass
class Orthanc(Receiver):
    """Orthanc with its defaults: it forces files to the disk and indexes them."""

    http_port: int = field(default_factory=free_port)

    def command(self) -> list[str]:
        (self.folder / "orthanc.json").write_text(json.dumps({
            "Name": "bench", "StorageDirectory": str(self.store), "IndexDirectory": str(self.store),
            "DicomAet": self.ae_title, "DicomPort": self.port, "HttpPort": self.http_port, "Plugins": [],
            "RemoteAccessAllowed": False, "AuthenticationEnabled": False,
        }))  # fmt: skip
        return ["Orthanc", str(self.folder / "orthanc.json")]

    def count(self) -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}/statistics", timeout=10) as answer:
            return int(json.load(answer)["CountInstances"])


@dataclass
class Raw(Receiver):
    """No DICOM: the limit of the machine."""

    is_dicom: bool = False
    fsync: bool = False

    def command(self) -> list[str]:
        fsync = ["fsync"] if self.fsync else []
        return [sys.executable, "-m", "benchmarks.ingest.raw", "receive", str(self.port), str(self.store), *fsync]


RECEIVERS: dict[str, tuple[type[Receiver], dict[str, object]]] = {
    "isocenter-instance": (Isocenter, {"durability": "instance"}),
    "isocenter-association": (Isocenter, {"durability": "association"}),
    "pynetdicom": (PlainPynetdicom, {}),
    "storescp": (Storescp, {}),
    "storescp-fork": (Storescp, {"fork": True}),
    "orthanc": (Orthanc, {}),
    "raw": (Raw, {}),
    "raw-fsync": (Raw, {"fsync": True}),
}
_PROGRAMS = {"storescp": "storescp", "storescp-fork": "storescp", "orthanc": "Orthanc"}


def new_receiver(name: str, folder: Path) -> Receiver:
    """A listener by its name, in a new folder below this one."""
    kind, options = RECEIVERS[name]
    folder.mkdir(parents=True, exist_ok=True)
    return kind(name, Path(tempfile.mkdtemp(prefix=f"{name}-", dir=folder)), **options)  # type: ignore[arg-type]


def missing_program(name: str) -> str:
    """The program that this listener needs and that is not installed, if so."""
    program = _PROGRAMS.get(name, "")
    return program if program and shutil.which(program) is None else ""
