"""The system under test and what stands around it: real processes, proxies before servers, one temporary folder."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

from tests.chaos import power_cut
from tests.chaos.listening import Listener
from tests.chaos.mutants import BRAKE_VARIABLE, LEDGER_VARIABLE
from tests.chaos.peers import ANSWER_SECONDS, Peers, free_ports
from tests.chaos.processes import ROOT, Processes, wait_until
from tests.proxy import Proxy
from tests.servers import RABBITMQ, delete_queues, new_database

WATERMARK_MIB = 32  # with less room than this collect refuses
QUIET_SECONDS = 2.0
LEASE_SECONDS = 10
STAGES = ("decide", "gate", "infer", "report")
STAGE = f"lease_seconds = {LEASE_SECONDS}\nfirst_retry_seconds = 1\nlongest_retry_seconds = 10\n"
_STARTS_WITHIN = 90.0

CONFIGURATION = """\
[isocenter]
data_dir = {data_dir}
database_url = {database_url}
broker_url = {broker_url}
broker_prefix = {prefix}

[collect]
host = "127.0.0.1"
port = {collect}
quiet_seconds = {quiet}
least_free_bytes = {least_free}
network_timeout_seconds = 20
acse_timeout_seconds = 10
stop_seconds = 3

{stages}
[admit]
host = "127.0.0.1"
port = {admit}

[send]
lease_seconds = {lease}
away_seconds = 1

[status]
port = {status}
disk_free_gib = 0.03

[triton]
model_repository = {model_repository}
environment = {environment}
timeout_seconds = 10
"""

DESTINATION = """\

[[destinations]]
name = "{name}"
host = "127.0.0.1"
port = {port}
{kind}
timeout_seconds = {answer}
most_attempts = 100
first_retry_seconds = 1
longest_retry_seconds = 5
"""


class System:
    """One system with its PACS and RIS; a context: at its end nothing is left but, where asked, the folder."""

    def __init__(self, store: Literal["embedded", "servers"], mutants: str = "ledger", disk_mib: int = 600) -> None:
        """`mutants` change every process of the system (tests.chaos.mutants); its disk has `disk_mib` MiB."""
        self.store, self.mutants, self.disk_mib = store, mutants, disk_mib
        self.folder = Path(tempfile.mkdtemp(prefix="isocenter-chaos-"))
        self.data = self.folder / "data"
        self.processes = Processes(self.folder / "logs")
        self.peers = Peers(self.processes, self.folder)
        self.proxies: dict[str, Proxy] = {}
        self.ports = free_ports("collect", "admit", "status")
        self.brakes = self.folder / "brakes"
        self.mounted = self._restarting = False
        self.keep = False
        self.database_url = self.direct_database_url = ""
        self.prefix = f"chaos-{self.processes.mark[:12]}"
        self.listener: Listener | None = None
        self._open = ExitStack()
        self._up: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "System":
        try:
            self._prepare()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _prepare(self) -> None:
        self.data.mkdir()
        self.brakes.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={self.disk_mib}m", "isocenter-chaos", str(self.data)]
        self.mounted = subprocess.run(mount, capture_output=True).returncode == 0
        self.direct_database_url = self.database_url = f"sqlite:///{self.data}/isocenter.db"
        broker_url = ""
        if self.store == "servers":
            self.direct_database_url = self._open.enter_context(new_database())
            self._open.callback(delete_queues, self.prefix)
            self.database_url = self._before("database", self.direct_database_url)
            broker_url = self._before("broker", RABBITMQ)
            self.listener = self._open.enter_context(Listener(self.prefix))
        for name in self.peers.names:
            self.proxies[name] = self._open.enter_context(Proxy(self.peers.ports[name]))
        self.config = self.folder / "isocenter.toml"
        self.config.write_text(CONFIGURATION.format(
            data_dir=json.dumps(str(self.data)), database_url=json.dumps(self.database_url if broker_url else ""),
            broker_url=json.dumps(broker_url), prefix=json.dumps(self.prefix), quiet=QUIET_SECONDS,
            lease=LEASE_SECONDS, stages="".join(f"[{name}]\n{STAGE}" for name in STAGES),
            least_free=WATERMARK_MIB * 2**20, model_repository=json.dumps(str(ROOT / "model_repository")),
            environment=json.dumps(str(ROOT / ".venv-triton")), **self.ports,
        ) + "".join(self._destination(name) for name in self.peers.names))  # fmt: skip

    def _destination(self, name: str) -> str:
        kind = 'kind = "mllp"' if name == "RIS" else f'kind = "dicom"\nae_title = "CHAOS{name}"'
        return DESTINATION.format(name=name, kind=kind, port=self.proxies[name].port, answer=ANSWER_SECONDS)

    def _before(self, name: str, url: str) -> str:
        """Puts a proxy before a server; returns the URL that leads through it."""
        parts = urlsplit(url)
        proxy = self._open.enter_context(Proxy(parts.port or 0, parts.hostname or "127.0.0.1"))
        self.proxies[name] = proxy
        who = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
        return urlunsplit(parts._replace(netloc=f"{who}127.0.0.1:{proxy.port}"))

    def __exit__(self, kind: type[BaseException] | None = None, *_: object) -> None:
        if kind is KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave half of it behind
            self.keep = False
        if kind is None:
            self.stop()
        self.processes.end()
        self._open.close()
        if self.mounted:
            self._unmount()
        if not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _unmount(self) -> None:
        """The disk is in memory and goes with the mount: what is to be kept is copied first."""
        kept = self.folder / "data-kept"
        if self.keep:
            shutil.copytree(self.data, kept, ignore=shutil.ignore_patterns("fill*"), dirs_exist_ok=True)
        subprocess.run(["umount", "-l", str(self.data)], capture_output=True)
        if self.keep:
            self.data.rmdir()
            kept.rename(self.data)

    def start(self) -> None:
        """Starts the peers and the system, and waits until its doors are open and its models are served."""
        for name in self.peers.names:
            self.peers.start(name)
        self.start_up()
        wait_until(self.listens, _STARTS_WITHIN, "collect and admit listen")
        wait_until(self.ready, _STARTS_WITHIN, "the system is ready")

    def start_up(self) -> None:
        """`isocenter up`, as a person starts it."""
        isocenter = str(Path(sys.executable).with_name("isocenter"))
        command = [isocenter, "up", "--config", str(self.config)]
        self._up = self.processes.start("up", command, **self.variables())

    def variables(self) -> dict[str, str]:
        """The environment of the system's processes."""
        site = str(ROOT / "tests" / "chaos" / "site")
        return {
            "PYTHONPATH": os.pathsep.join([site, str(ROOT)]), "ISOCENTER_CHAOS_MUTANTS": self.mutants,
            LEDGER_VARIABLE: str(self.folder / "ledger"), BRAKE_VARIABLE: str(self.brakes),
        }  # fmt: skip

    def start_service(self, name: str) -> None:
        """One service alone, as a container would run it."""
        command = [sys.executable, "-m", f"services.{name}"]
        self.processes.start(name, command, ISOCENTER_CONFIG=str(self.config), **self.variables())

    def stop(self, seconds: float = 40.0) -> bool:
        """Stops the system as a person does (SIGTERM); False when it had to be killed."""
        up, self._up = self._up, None
        if up is None or up.poll() is not None:
            return True
        up.send_signal(signal.SIGTERM)
        try:
            up.wait(seconds)
        except subprocess.TimeoutExpired:
            up.kill()
            up.wait(5)
            return False
        return True

    def power_cut(self) -> power_cut.Damage:
        """Ends all of the system at once, and takes from its files what was never forced to the disk."""
        self._up, others = None, self.peers.all_pids() | set(self.processes.running("storescu"))
        for number in (signal.SIGSTOP, signal.SIGKILL):  # nobody may act on another's death
            victims = set(self.processes.pids()) - others
            self.processes.signal(list(victims), number)
        wait_until(lambda: not victims & set(self.processes.pids()), 10, "all processes are dead")
        damage = power_cut.Damage()
        for name in ("store", "results"):
            if (self.data / name).is_dir():
                power_cut.cut(self.data / name, self.folder / "ledger", damage)
        return damage

    def restart(self) -> None:
        """Tells the system to end; `revive` starts it again then."""
        if self._up is not None:
            self._restarting = True
            self._up.send_signal(signal.SIGTERM)

    def revive(self) -> bool:
        """Starts the system again if it has ended; False when it has done so without being told to."""
        if self._up is None or self._up.poll() is None:
            return True
        asked, self._restarting = self._restarting, False
        self.start_up()
        return asked

    def kill_up(self) -> None:
        """`kill -9` of the supervisor; the kernel tells its services to end."""
        if self._up is not None:
            self._up.kill()
            self._up.wait(5)

    def listens(self) -> bool:
        """Whether collect and admit accept connections."""
        return all(_listens(self.ports[name]) for name in ("collect", "admit"))

    def collect_listens(self) -> bool:
        """Whether collect accepts connections."""
        return _listens(self.ports["collect"])

    def ready(self) -> bool:
        """What status says of readiness."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['status']}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError, ValueError):
            return False


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
