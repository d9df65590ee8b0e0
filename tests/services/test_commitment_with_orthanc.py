"""Storage commitment with a PACS that nobody here has written: Orthanc asks us, and we ask Orthanc."""

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom import dcmread
from pydicom.uid import MRImageStorage

from services.collect.main import Collect, quiet_pydicom
from services.collect.settings import Peer
from services.collect.settings import Settings as CollectSettings
from services.send.main import send_stage
from services.send.settings import Settings as SendSettings
from shared.bus import Bus, celery_app
from shared.service import Service
from shared.settings import Config, Core, Destination
from shared.stage import run_next
from shared.store import Book
from tests.services.send.stand_ins import Post, free_port, write_object

pytestmark = pytest.mark.hospital


class Orthanc:
    """A PACS of this test's own, in a folder of its own."""

    def __init__(self, program: str, folder: Path, our_port: int) -> None:
        self.http, self.port = free_port(), free_port()
        page = {
            "StorageDirectory": str(folder / "db"), "IndexDirectory": str(folder / "db"), "Plugins": [],
            "HttpPort": self.http, "DicomPort": self.port, "DicomAet": "ORTHANC", "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False, "OverwriteInstances": True, "DicomAlwaysAllowStore": True,
            "DicomScuTimeout": 60, "DicomScpTimeout": 60,
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


@pytest.fixture
def our_port() -> int:
    return free_port()


@pytest.fixture
def orthanc(tmp_path: Path, our_port: int) -> Iterator[Orthanc]:
    program = shutil.which("Orthanc", path="/usr/sbin:/usr/bin:/usr/local/bin") or shutil.which("Orthanc")
    if program is None:
        pytest.skip("no Orthanc: apt-get install orthanc")
    (tmp_path / "pacs").mkdir()
    pacs = Orthanc(program, tmp_path / "pacs", our_port)
    yield pacs
    pacs.stop()


@pytest.fixture
def collect(book: Book, tmp_path: Path, our_port: int, orthanc: Orthanc) -> Iterator[Collect]:
    quiet_pydicom()
    core = Core(data_dir=tmp_path / "data", database_url=book.url)
    app = celery_app("memory://", tmp_path)
    settings = CollectSettings(
        port=our_port, host="127.0.0.1", stop_seconds=1, least_free_bytes=0, calling_ae_titles=["ORTHANC"], processes=1,
        peers=[Peer(ae_title="ORTHANC", host="127.0.0.1", port=orthanc.port)],
    )  # fmt: skip
    running = Collect(Service("collect", Config(), core, book, app, Bus(book, app)), settings)
    running.start()
    yield running
    running.stop()


def test_orthanc_asks_us(orthanc: Orthanc, collect: Collect, tmp_path: Path) -> None:
    paths = [tmp_path / f"{n}.dcm" for n in range(3)]
    for n, path in enumerate(paths):
        write_object(path, f"1.2.3.5.{n}")
        orthanc.send(path)
    references = [(str(dcmread(path).SOPClassUID), f"1.2.3.5.{n}") for n, path in enumerate(paths)]
    report = orthanc.ask(*references)
    assert (report["Status"], report["RemoteAET"]) == ("Success", "ISOCENTER")
    assert sorted(i["SOPInstanceUID"] for i in report["Success"]) == sorted(i for _, i in references)
    next(collect.folder.root.rglob("1.2.3.5.0.dcm")).unlink()
    report = orthanc.ask(*references, (references[0][0], "1.2.3.5.99"))
    assert report["Status"] == "Failure"
    assert sorted(i["SOPInstanceUID"] for i in report["Success"]) == ["1.2.3.5.1", "1.2.3.5.2"]
    assert {(i["SOPInstanceUID"], i["FailureReason"]) for i in report["Failures"]} == {
        ("1.2.3.5.0", 0x0112), ("1.2.3.5.99", 0x0112),
    }  # fmt: skip
    report = orthanc.ask((MRImageStorage, "1.2.3.5.1"))
    assert [i["FailureReason"] for i in report["Failures"]] == [0x0119]


def _asked(orthanc: Orthanc) -> Destination:
    facts = {"name": "PACS", "kind": "dicom", "host": "127.0.0.1", "port": orthanc.port, "ae_title": "ORTHANC"}
    return Destination(**facts, commitment=True)


def test_we_ask_orthanc_and_it_answers_on_our_port(
    orthanc: Orthanc, collect: Collect, book: Book, tmp_path: Path
) -> None:
    post = Post(book, tmp_path)
    delivery = post.add("PACS", "1.2.3.7")
    stage = send_stage(book, tmp_path, [_asked(orthanc)], SendSettings(), 2)
    assert post.run(stage) == 2
    until(lambda: post.get(delivery).state == "delivered")
    assert post.get(delivery).reason == "PACS says that it keeps it"
    assert len(orthanc.rest.get("/instances").json()) == 1


def test_what_orthanc_has_lost_is_stored_again(
    orthanc: Orthanc, collect: Collect, book: Book, tmp_path: Path
) -> None:  # fmt: skip
    post = Post(book, tmp_path)
    delivery = post.add("PACS", "1.2.3.8")
    stage = send_stage(book, tmp_path, [_asked(orthanc)], SendSettings(), 2)
    assert run_next(book, stage), "stored"
    assert post.get(delivery).state == "committing"
    orthanc.forget()
    assert run_next(book, stage), "asked"
    until(lambda: post.get(delivery).state == "waiting")
    assert post.get(delivery).reason == "PACS does not keep it: 0x0112 (no such object instance)"
    assert orthanc.rest.get("/instances").json() == []
    post.hasten()
    assert post.run(stage) == 2
    until(lambda: post.get(delivery).state == "delivered")
    assert len(orthanc.rest.get("/instances").json()) == 1
