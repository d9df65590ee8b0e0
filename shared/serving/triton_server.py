"""Runs Isocenter's own Triton on this machine's CPU, for the system that `isocenter up` and the demo start."""

import contextlib
import logging
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from shared.serving.shared_memory_regions import own_prefix, remove_left_behind
from shared.serving.triton_environment import TritonEnvironment, find_environment
from shared.serving.triton_grpc import TritonModels
from shared.serving.triton_guard import free_shared_memory

logger = logging.getLogger(__name__)

GUARD = Path(__file__).with_name("triton_guard.py")
EXIT_TIMEOUT_S = 5
GRACE_S = 8.0
"""How long Triton may take to end before it is killed: its own timeout for requests in flight, and some."""
TAIL_BYTES = 4000
ATTEMPTS = 3
"""A port that was free a moment ago may be taken: as often are others tried."""


class TritonNotStarted(Exception):
    """Triton did not become ready; the message ends with the last lines of its log."""


class TritonServer:
    """One tritonserver process that serves the packages of a model repository until it is stopped.

    `models` names the packages to load (default: every folder with a config.pbtxt). Ports of 0 are chosen freely and
    then kept, so that clients find the server again after a restart; http_port None offers no HTTP. A package that
    can't be loaded does not keep the others from being served: `failed_models` says which and why.
    `start` and `stop` belong to one thread.
    """

    def __init__(
        self,
        model_repository: Path,
        log_file: Path,
        *,
        environment: Path | None = None,
        models: Sequence[str] | None = None,
        address: str = "127.0.0.1",
        grpc_port: int = 0,
        metrics_port: int = 0,
        http_port: int | None = None,
    ) -> None:
        self.model_repository = model_repository.absolute()
        self.log_file = log_file.absolute()
        self.address = address
        self.failed_models: dict[str, str] = {}
        self._environment_folder = environment
        self._models = models
        self._asked_ports = {"grpc": grpc_port, "metrics": metrics_port, "http": http_port}
        self._ports: dict[str, int] = {}
        self._guard: subprocess.Popen[bytes] | None = None
        self.shared_memory_prefix = ""

    @property
    def url(self) -> str:
        """gRPC address, as TritonModels takes it; known once started."""
        return f"{self.address}:{self._ports['grpc']}"

    @property
    def metrics_url(self) -> str:
        """Triton's own Prometheus metrics; known once started."""
        return f"http://{self.address}:{self._ports['metrics']}/metrics"

    @property
    def pid(self) -> int:
        """The tritonserver process, for a watcher or a test; 0 while it does not run."""
        if self._guard is None or not self.running:
            return 0
        children = Path(f"/proc/{self._guard.pid}/task/{self._guard.pid}/children").read_text().split()
        return int(children[0]) if children else 0

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._guard is not None and self._guard.poll() is None

    def start(self, timeout_s: float = 60.0) -> Self:
        """Start and wait until the packages are served. Raises EnvironmentMissing or TritonNotStarted."""
        if self._answers():
            return self
        self.stop()
        environment = find_environment(self._environment_folder)
        deadline = time.monotonic() + timeout_s
        chosen_before = bool(self._ports)
        for attempt in range(1, ATTEMPTS + 1):
            self._ports = self._ports or choose_ports(self.address, self._asked_ports)
            check_free(self.address, self._ports)
            try:
                self._launch(environment)
                self._wait_until_ready(deadline)
                return self
            except BaseException as error:
                self.stop()
                if chosen_before or attempt == ATTEMPTS or "already in use" not in str(error).lower():
                    raise
                # Another program was quicker: clients don't know these ports yet, so others will do.
                self._ports = {}
        raise AssertionError("unreachable")

    def stop(self) -> None:
        """End the server and all that it started; returns when nothing of it is left."""
        guard, self._guard = self._guard, None
        if guard is None:
            return
        if guard.stdin:
            guard.stdin.close()
        try:
            guard.wait(GRACE_S + 4)
        except subprocess.TimeoutExpired:
            guard.kill()
            guard.wait()
        # A guard that was killed took the server and its stubs with it, but could not clear up.
        free_shared_memory(self.shared_memory_prefix)
        logger.info("triton stopped url=%s", self.url)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def package_names(self) -> list[str]:
        """The packages that are to be served."""
        if self._models is not None:
            return list(self._models)
        return sorted(path.parent.name for path in self.model_repository.glob("*/config.pbtxt"))

    def _launch(self, environment: TritonEnvironment) -> None:
        remove_left_behind("triton")
        self.shared_memory_prefix = f"{own_prefix('triton')}{secrets.token_hex(3)}-"
        guard = [sys.executable, "-I", "-S", str(GUARD), str(GRACE_S), self.shared_memory_prefix]
        with self._fresh_log() as log:
            self._guard = subprocess.Popen(
                guard + environment.command(self._arguments(environment)),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        logger.info(
            "triton starting url=%s packages=%s log=%s", self.url, ",".join(self.package_names()), self.log_file
        )

    def _fresh_log(self) -> IO[bytes]:
        """A new log; the previous run's is kept beside it."""
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            self.log_file.replace(self.log_file.with_name(self.log_file.name + ".1"))
        return self.log_file.open("wb")

    def _arguments(self, environment: TritonEnvironment) -> list[str]:
        arguments = [
            # By which we know that it is ours that answers on the port.
            f"--id={self.shared_memory_prefix}",
            f"--model-repository={self.model_repository}",
            f"--backend-directory={environment.backends}",
            "--model-control-mode=explicit",
            "--exit-on-error=false",
            "--strict-readiness=false",
            # Packages state their whole configuration; guessing it would start every stub twice.
            "--disable-auto-complete-config",
            f"--exit-timeout-secs={EXIT_TIMEOUT_S}",
            f"--backend-config=python,shm-region-prefix-name={self.shared_memory_prefix}",
            "--pinned-memory-pool-byte-size=0",
            "--allow-gpu-metrics=false",
            "--allow-cpu-metrics=false",
            "--log-verbose=0",
            "--log-format=ISO8601",
            f"--grpc-address={self.address}",
            f"--grpc-port={self._ports['grpc']}",
            f"--metrics-address={self.address}",
            f"--metrics-port={self._ports['metrics']}",
        ]
        arguments += [f"--load-model={name}" for name in self.package_names()]
        if "http" not in self._ports:
            return [*arguments, "--allow-http=false"]
        return [*arguments, f"--http-address={self.address}", f"--http-port={self._ports['http']}"]

    def _wait_until_ready(self, deadline: float) -> None:
        started = time.monotonic()
        while not self._answers():
            if not self.running:
                raise TritonNotStarted(f"Triton ended while it started.\n{self._log_tail()}")
            if time.monotonic() > deadline:
                raise TritonNotStarted(f"Triton was not ready in time.\n{self._log_tail()}")
            time.sleep(0.02)
        with TritonModels(self.url, shared_memory="never") as models:
            while models.server_id() != self.shared_memory_prefix:
                if time.monotonic() > deadline or not self.running:
                    raise TritonNotStarted(f"Triton does not answer on {self.url}.\n{self._log_tail()}")
                time.sleep(0.02)
            self.failed_models = unserved(models, self.package_names())
        for name, reason in self.failed_models.items():
            logger.warning("triton can't serve package=%s reason=%s", name, reason)
        logger.info("triton ready url=%s seconds=%.1f", self.url, time.monotonic() - started)

    def _answers(self) -> bool:
        # Triton opens its gRPC port only once the packages are loaded; a plain connect sees that sooner than gRPC's
        # own reconnection would.
        if not self.running:
            return False
        with contextlib.suppress(OSError), socket.create_connection((self.address, self._ports["grpc"]), timeout=1):
            return self.running
        return False

    def _log_tail(self) -> str:
        with contextlib.suppress(OSError):
            lines = self.log_file.read_bytes()[-TAIL_BYTES:].decode("utf-8", "replace").splitlines()
            return "\n".join([f"The end of {self.log_file}:", *lines[-25:]])
        return f"There is no log at {self.log_file}."


def unserved(models: TritonModels, names: Sequence[str]) -> dict[str, str]:
    """The packages that are not served, each with the first line of Triton's reason."""
    states = models.repository_index()
    reasons = {name: states.get(name, ("", "not found in the model repository")) for name in names}
    return {
        name: (reason.strip().splitlines() or ["unknown"])[0]
        for name, (state, reason) in reasons.items()
        if state != "READY"
    }


def choose_ports(address: str, asked: dict[str, int | None]) -> dict[str, int]:
    """A port for each name that wants one; 0 becomes a free port of the address."""
    ports: dict[str, int] = {}
    with contextlib.ExitStack() as held:
        for name, port in asked.items():
            if port == 0:
                probe = held.enter_context(socket.socket())
                probe.bind((address, 0))
                port = int(probe.getsockname()[1])
            if port is not None:
                ports[name] = port
    return ports


def check_free(address: str, ports: dict[str, int]) -> None:
    """Raise TritonNotStarted where another program has one of the ports."""
    for name, port in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError as error:
                raise TritonNotStarted(
                    f"Triton's {name} port {address}:{port} can't be had: {error.strerror}"
                ) from error
