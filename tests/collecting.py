"""The real collect, in processes of its own, for tests that send to its port."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from shared.store import Book, open_book

ROOT = Path(__file__).parents[1]


class CollectProcess:
    """`python -m services.collect` on a free port, with its data in `folder`, all its processes in one group."""

    def __init__(self, folder: Path, database_url: str = "", **settings: object) -> None:
        self.folder, self.port = folder, free_port()
        self.store = folder / "data" / "store"
        self.database_url = database_url or f"sqlite:///{folder}/data/isocenter.db"
        values = {"host": "127.0.0.1", "port": self.port, "stop_seconds": 5, "least_free_bytes": 0, **settings}
        lines = [f"{name} = {_toml(value)}" for name, value in values.items()]
        page = (
            f'[isocenter]\ndata_dir = "{folder}/data"\ndatabase_url = "{self.database_url}"\n[collect]\n'
            + "\n".join(lines)
            + "\n"
        )
        (folder / "isocenter.toml").write_text(page)
        self._running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it listens."""
        environment = {**os.environ, "ISOCENTER_CONFIG": str(self.folder / "isocenter.toml")}
        with (self.folder / "log").open("ab") as log:
            self._running = subprocess.Popen(
                [sys.executable, "-m", "services.collect"], env=environment, cwd=ROOT, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + 30
        while not listens(self.port):
            assert self._running.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)

    def stop(self) -> None:
        """SIGTERM, as a service manager sends it; whatever does not end in time is killed."""
        if self._running is None:
            return
        self._running.send_signal(signal.SIGTERM)
        try:
            self._running.wait(timeout=20)
        finally:
            self.kill()

    def kill(self) -> None:
        """SIGKILL to every process of it at once, as when the power goes."""
        if self._running is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._running.pid, signal.SIGKILL)
            self._running.wait()
            self._running = None

    def listeners(self) -> list[int]:
        """The listener processes that run now."""
        assert self._running
        children = Path(f"/proc/{self._running.pid}/task").glob("*/children")
        return sorted(int(one) for path in children for one in path.read_text().split())

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    @contextmanager
    def book(self) -> Iterator[Book]:
        """Its book, opened beside it."""
        book = open_book(self.database_url)
        yield book
        book.close()


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    """Whether somebody does."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _toml(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
