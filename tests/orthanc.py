"""A PACS that nobody here has written, in a folder of a test's own."""

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.services.send.stand_ins import free_port


class Orthanc:
    """A PACS of this test's own, in a folder of its own; skips the test where none is installed.

    `our_port` is where it finds ISOCENTER.
    """

    def __init__(self, folder: Path, our_port: int) -> None:
        program = shutil.which("Orthanc", path="/usr/sbin:/usr/bin:/usr/local/bin") or shutil.which("Orthanc")
        if program is None:
            pytest.skip("no Orthanc: apt-get install orthanc")
        folder.mkdir()
        self.http, self.port = free_port(), free_port()
        page = {
            "StorageDirectory": str(folder / "db"), "IndexDirectory": str(folder / "db"), "Plugins": [],
            "HttpPort": self.http, "DicomPort": self.port, "DicomAet": "ORTHANC", "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False, "OverwriteInstances": True, "DicomAlwaysAllowStore": True,
            "DicomScuTimeout": 60, "DicomScpTimeout": 60, "UnknownSopClassAccepted": True,
            "DicomModalities": {"isocenter": ["ISOCENTER", "127.0.0.1", our_port]},
        }  # fmt: skip
        (folder / "orthanc.json").write_text(json.dumps(page))
        with (folder / "orthanc.log").open("wb") as log:
            command = [program, str(folder / "orthanc.json")]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.rest = httpx.Client(base_url=f"http://127.0.0.1:{self.http}", timeout=70)
        until(self._is_up, 60)

    def _is_up(self) -> bool:
        try:
            return self.rest.get("/system").status_code == 200
        except httpx.TransportError:
            return False

    def send(self, path: Path) -> str:
        """Has it store the file to us; Orthanc's own ID of the instance."""
        made = self.rest.post("/instances", content=path.read_bytes()).json()["ID"]
        sent = self.rest.post("/modalities/isocenter/store", json=made)
        assert sent.status_code == 200, sent.text
        return made

    def ask(self, *instances: tuple[str, str]) -> dict[str, Any]:
        """Has it ask us for storage commitment; what it heard."""
        asked = self.rest.post(
            "/modalities/isocenter/storage-commitment",
            json={"DicomInstances": [{"SOPClassUID": c, "SOPInstanceUID": i} for c, i in instances]},
        )
        assert asked.status_code == 200, asked.text
        report = asked.json()["Path"]
        return until(lambda: (r := self.rest.get(report).json())["Status"] != "Pending" and r, 60)

    def pull(self, folder: Path) -> list[Path]:
        """Everything that it holds, as files called by their SOP Instance UIDs, byte for byte as it gives them."""
        paths = []
        for instance in self.rest.get("/instances").json():
            uid = self.rest.get(f"/instances/{instance}").json()["MainDicomTags"]["SOPInstanceUID"]
            paths.append(folder / f"{uid}.dcm")
            paths[-1].write_bytes(self.rest.get(f"/instances/{instance}/file").content)
        return sorted(paths)

    def forget(self) -> None:
        for instance in self.rest.get("/instances").json():
            self.rest.delete(f"/instances/{instance}")

    def stop(self) -> None:
        self.rest.close()
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)


def until(check: Callable[[], Any], seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
    return found
