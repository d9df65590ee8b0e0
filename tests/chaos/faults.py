"""Does what a fault says to the running system, and undoes it."""

import contextlib
import os
import random
import signal
import sqlite3
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import create_engine, text

from tests.chaos.plan import Fault
from tests.chaos.system import WATERMARK_MIB, System

Undo = Callable[[], object]


def _nothing() -> None:
    """A fault that ends by itself."""


def _room(folder: Path) -> int:
    stat = os.statvfs(folder)
    return stat.f_bavail * stat.f_frsize


class Faults:
    """Injects faults; `done` counts those that met something, by name. Belongs to the main thread."""

    def __init__(self, system: System, seed: int) -> None:
        self.system, self.done = system, Counter[str]()
        self.missed: list[str] = []
        self._dice = random.Random(seed)

    def begin(self, fault: Fault) -> Undo | None:
        """Injects; returns what ends it, or None when there was nothing to meet."""
        doers = {
            "broker": self._wire, "database": self._database, "disk": self._disk, "all": self._all,
            "PACS": self._peer, "RIS": self._peer, "ARCHIVE": self._peer, "a person": self._replay,
        }  # fmt: skip
        undo = doers.get(fault.target, self._process)(fault)
        self.done[fault.name] += undo is not None
        return undo

    def _pids(self, target: str) -> list[int]:
        processes = self.system.processes
        if target == "triton":
            return processes.running("tritonserver")
        listener = processes.named("-m", f"services.{target.split()[0]}")
        if target != "collect worker":
            return listener[:1]
        workers = [pid for parent in listener for pid in processes.below(parent)]
        return [self._dice.choice(workers)] if workers else []

    def _process(self, fault: Fault) -> Undo | None:
        pids, processes = self._pids(fault.target), self.system.processes
        if not processes.signal(pids, signal.SIGKILL if fault.kind == "kill" else signal.SIGSTOP):
            return None
        return (lambda: processes.signal(pids, signal.SIGCONT)) if fault.kind == "stop" else _nothing

    def _all(self, fault: Fault) -> Undo:
        if fault.kind == "restart":
            self.system.restart()
            return _nothing
        if fault.kind == "kill":
            self.system.kill_up()
        else:
            self.system.power_cut()
        self.system.start_up()
        return _nothing

    def _wire(self, fault: Fault) -> Undo | None:
        if fault.kind == "lose bells":
            return self._lose_bells()
        proxy = self.system.proxies[fault.target]
        {"cut": proxy.cut, "refuse": proxy.refuse, "blackhole": proxy.blackhole, "delay": lambda: proxy.delay(0.2)}[
            fault.kind
        ]()
        return proxy.resume if fault.seconds else _nothing

    def _lose_bells(self) -> Undo:
        """The broker loses what it is given, for a while."""
        over = threading.Event()

        def lose() -> None:
            while not over.wait(0.01):
                for path in (self.system.data / "broker" / "messages").glob("*.msg"):
                    path.unlink(missing_ok=True)

        threading.Thread(target=lose, name="lossy broker", daemon=True).start()
        return over.set

    def _database(self, fault: Fault) -> Undo | None:
        if fault.kind == "lock":
            return self._lock()
        if fault.kind != "terminate":
            return self._wire(fault)
        engine = create_engine(self.system.direct_database_url)
        with engine.connect() as connection:
            connection.execute(text(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid()"
            ))  # fmt: skip
        engine.dispose()
        return _nothing

    def _lock(self) -> Undo | None:
        """Another program holds SQLite's write lock."""
        connection = sqlite3.connect(self.system.data / "isocenter.db", timeout=5, isolation_level=None)
        try:
            connection.execute("begin immediate")
        except sqlite3.OperationalError:
            connection.close()
            return None
        return connection.close

    def _peer(self, fault: Fault) -> Undo | None:
        peers, processes, name = self.system.peers, self.system.processes, fault.target
        pids = peers.pids(name) if name in peers.names else []
        if not pids:
            return None
        if fault.kind == "kill":
            processes.signal(pids, signal.SIGKILL)
            return lambda: peers.start(name)
        if fault.kind == "stop":
            processes.signal(pids, signal.SIGSTOP)
            return lambda: processes.signal(pids, signal.SIGCONT)
        if fault.kind in ("cut", "blackhole", "delay"):
            return self._wire(fault)
        mode = peers.folders[name] / "mode"
        mode.write_text(fault.kind)
        return lambda: mode.unlink(missing_ok=True)

    def _disk(self, fault: Fault) -> Undo | None:
        """Fills the disk to its last byte, or to half of what collect wants free."""
        if not self.system.mounted:
            return None
        fill = self.system.data / f"fill-{self._dice.random()}"
        left = 0 if fault.kind == "full" else WATERMARK_MIB * 2**19
        with fill.open("wb") as file:
            while (room := _room(self.system.data) - left) > 0:
                with contextlib.suppress(OSError):  # others write too: less is left by now
                    os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, room)
        return lambda: fill.unlink(missing_ok=True)

    def _replay(self, fault: Fault) -> Undo | None:
        """A person replays a settled study."""
        engine = create_engine(self.system.direct_database_url)
        query = text("select study_instance_uid from study where state in ('delivered', 'held') order by 1")
        with engine.connect() as connection:
            settled = [row[0] for row in connection.execute(query)]
        engine.dispose()
        if not settled:
            return None
        isocenter = Path(sys.executable).with_name("isocenter")
        command = [isocenter, "replay", self._dice.choice(settled), "--config", self.system.config]
        self.system.processes.start("replay", [str(word) for word in command])  # it may wait for a lock: we don't
        return _nothing
