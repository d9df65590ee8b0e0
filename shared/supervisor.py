"""Runs the whole system on one machine: Triton and the eight services, each a process of its own."""

import ctypes
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from shared.serving.triton_server import TritonServer, choose_ports
from shared.settings import CONFIG_VARIABLE, Config, Core, Triton
from shared.store import open_book

log = logging.getLogger(__name__)

# Stopped in this order: first nothing new comes in, then what is in hand is finished, last the page goes dark.
SERVICES = ("collect", "admit", "decide", "gate", "infer", "report", "send", "status")

_STOP_SECONDS = 20.0
_LONGEST_PAUSE = 60.0
_PR_SET_PDEATHSIG = 1


@dataclass
class _Child:
    name: str
    process: subprocess.Popen[bytes]
    started: float = field(default_factory=time.monotonic)
    deaths: int = 0
    restart_at: float = 0.0


def _die_with_parent() -> None:
    """Linux: the kernel ends the child when the thread that started it dies, however it dies (prctl(2)).

    So the system must be started and watched from a thread that lasts: the main one.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class System:
    """The processes of one system.

    `logs`: a folder for one log file a service, or None to let them write to this process's standard error.
    """

    def __init__(self, config: Config, config_path: Path | None, logs: Path | None = None) -> None:
        self.config, self.config_path, self.logs = config, config_path, logs
        self.core, self.triton = config.section(Core), config.section(Triton)
        self._children: dict[str, _Child] = {}
        self._server: TritonServer | None = None
        self._triton_url = self.triton.url
        self._mending: threading.Thread | None = None
        self._mended_at = float("-inf")

    def start(self, say: Callable[[str], None] = lambda _: None) -> None:
        """Opens the book, starts the services and Triton, and waits until the models are served.

        Raises:
            shared.serving.EnvironmentMissing: Triton is not set up; the text says what to do.
            shared.serving.TritonNotStarted: Triton ended or did not become ready; the services are up, and `watch`
                starts it again.
        """
        self.core.data_dir.mkdir(parents=True, exist_ok=True)
        book = open_book(self.core.database_url)
        if book.reachable():
            book.migrate()
        else:
            say("the database does not answer; studies are taken meanwhile. Is isocenter.database_url right?")
        book.close()
        if self._starts_triton():
            self._server = self._own_triton()
        say("starting the services")
        for name in SERVICES:
            self._children[name] = _Child(name, self._spawn(name))
        if self._server:
            say("starting Triton")
            self._server.start()

    def _starts_triton(self) -> bool:
        """Where Triton can't run at all the services open the packages in their own process (shared.serving)."""
        return not self.triton.url and sys.platform == "linux"

    def _own_triton(self) -> TritonServer:
        """Not started yet, but its port is known, so that the services can start beside it."""
        port = choose_ports("127.0.0.1", {"grpc": 0})["grpc"]
        self._triton_url = f"127.0.0.1:{port}"
        log_file = (self.logs or self.core.data_dir / "logs") / "triton.log"
        repository, environment = self.triton.model_repository, self.triton.environment
        return TritonServer(repository, log_file, environment=environment, grpc_port=port)

    @property
    def models_description(self) -> str:
        """Who reads, for the screen."""
        if self._server:
            return f"Triton on this machine ({self._triton_url})"
        return f"Triton at {self._triton_url}" if self.triton.url else "ONNX Runtime in process: Triton can't run here"

    def _environment(self) -> dict[str, str]:
        environment = dict(os.environ)
        if self.config_path:
            environment[CONFIG_VARIABLE] = str(self.config_path.absolute())
        if self._server:
            environment["ISOCENTER_TRITON_URL"] = self._triton_url
        # One thread per library call: parallel work comes from several studies, not from one array operation.
        return {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", **environment}

    def _spawn(self, name: str) -> subprocess.Popen[bytes]:
        output: IO[bytes] | None = None
        if self.logs:
            self.logs.mkdir(parents=True, exist_ok=True)
            output = (self.logs / f"{name}.log").open("ab")
        command = [sys.executable, "-m", f"services.{name}"]
        return subprocess.Popen(
            command, env=self._environment(), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True, preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )  # fmt: skip

    def watch(self) -> list[str]:
        """Restarts what has died, later and later if it keeps dying; returns the names of what is down now."""
        down: list[str] = []
        for child in self._children.values():
            if child.process.poll() is None:
                continue
            down.append(child.name)
            now = time.monotonic()
            if not child.restart_at:
                child.deaths = 1 if now - child.started > 60 else child.deaths + 1
                child.restart_at = now + _pause(child.deaths)
                log.error("service died name=%s code=%s deaths=%d", child.name, child.process.returncode, child.deaths)
            elif now >= child.restart_at:
                self._restart(child, now)
        if self._server and self._triton_is_down(self._server):
            down.append("triton")
        return down

    def _restart(self, child: _Child, now: float) -> None:
        try:
            child.process, child.started, child.restart_at = self._spawn(child.name), now, 0.0
        except OSError as error:  # no memory, no process, no room for its log: the others must go on
            child.restart_at = now + _LONGEST_PAUSE
            log.error("service not started name=%s cause=%s", child.name, error)

    def _triton_is_down(self, server: TritonServer) -> bool:
        """Looks, and starts it again beside the watch: that takes up to a minute, in which services may die too."""
        if self._mending and self._mending.is_alive():
            return True
        if server.running:
            return False
        if time.monotonic() - self._mended_at > _pause(2):
            log.error("Triton died, starting it again")
            self._mending = threading.Thread(target=self._mend, args=(server,), name="triton", daemon=True)
            self._mending.start()
        return True

    def _mend(self, server: TritonServer) -> None:
        try:
            server.start()
        except Exception as error:  # whatever keeps it from starting may pass
            log.error("Triton does not start, trying again soon: %s", error)
        self._mended_at = time.monotonic()

    def stop(self) -> None:
        """Stops the services in order, then Triton; whatever does not end by itself is killed."""
        for name in SERVICES:
            if child := self._children.get(name):
                _terminate(child.process)
        deadline = time.monotonic() + _STOP_SECONDS
        for child in self._children.values():
            _await_end(child.process, deadline)
        if self._server:
            self._server.stop()
            if self._mending:  # it may have started the server at this moment
                self._mending.join(5)
                self._server.stop()


def _pause(deaths: int) -> float:
    """Seconds before another start: doubled each time, up to a bound."""
    return float(min(2.0 ** min(deaths, 10), _LONGEST_PAUSE))


def _terminate(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()


def _await_end(process: subprocess.Popen[bytes], deadline: float) -> None:
    try:
        process.wait(max(0.1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(5)
