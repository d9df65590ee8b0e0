"""Who receives: a stand-in PACS and RIS that record what they accept, and a real PACS (Orthanc) where there is one."""

import json
import os
import shutil
import socket
import sys
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.chaos.processes import Processes

ANSWER_SECONDS = 4.0  # longest wait of send for an answer
ORTHANC = shutil.which("Orthanc", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
_MODULES = {"PACS": "tests.chaos.pacs", "RIS": "tests.chaos.ris"}


class Peers:
    """Each a process with a folder of its own, by name; ARCHIVE is the real one."""

    def __init__(self, processes: Processes, folder: Path) -> None:
        self.processes = processes
        self.names = ["PACS", "RIS", *(["ARCHIVE"] if ORTHANC else [])]
        self.folders = {name: folder / name.lower() for name in self.names}
        self.ports = free_ports(*self.names, "ARCHIVE http")

    def start(self, name: str) -> None:
        """Starts one, for the first time or again."""
        folder, port = self.folders[name], str(self.ports[name])
        folder.mkdir(exist_ok=True)
        if name == "ARCHIVE":
            self._start_archive(folder)
        else:
            late = [str(ANSWER_SECONDS + 1)] if name == "RIS" else []
            self.processes.start(name, [sys.executable, "-m", _MODULES[name], port, str(folder), *late])

    def _start_archive(self, folder: Path) -> None:
        assert ORTHANC
        settings = {
            "Name": "CHAOSARCHIVE", "StorageDirectory": str(folder), "IndexDirectory": str(folder), "Plugins": [],
            "HttpPort": self.ports["ARCHIVE http"], "DicomPort": self.ports["ARCHIVE"], "DicomAet": "CHAOSARCHIVE",
            "RemoteAccessAllowed": False, "AuthenticationEnabled": False, "DicomCheckCalledAet": True,
            "DicomAlwaysAllowStore": True, "OverwriteInstances": True,
        }  # fmt: skip
        config = folder / "orthanc.json"
        config.write_text(json.dumps(settings))
        self.processes.start("ARCHIVE", [ORTHANC, str(config)], TCP_NODELAY="1")

    def pids(self, name: str) -> list[int]:
        """The living processes of one."""
        return self.processes.running("Orthanc") if name == "ARCHIVE" else self.processes.named(_MODULES[name])

    def all_pids(self) -> set[int]:
        """The living processes of all."""
        return {pid for name in self.names for pid in self.pids(name)}

    def archived(self) -> dict[str, bytes]:
        """What the real PACS holds: files by SOP Instance UID."""
        if "ARCHIVE" not in self.names:
            return {}
        found = json.loads(self._ask("/instances?expand"))
        return {one["MainDicomTags"]["SOPInstanceUID"]: self._ask(f"/instances/{one['ID']}/file") for one in found}

    def _ask(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['ARCHIVE http']}{path}", timeout=30) as answer:
            return answer.read()


def free_ports(*names: str) -> dict[str, int]:
    """A free port for each name."""
    with ExitStack() as held:
        probes = {name: held.enter_context(socket.socket()) for name in names}
        for probe in probes.values():
            probe.bind(("127.0.0.1", 0))
        return {name: probe.getsockname()[1] for name, probe in probes.items()}
