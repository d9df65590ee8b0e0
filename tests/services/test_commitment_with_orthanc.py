"""Storage commitment with a PACS that nobody here has written: Orthanc asks us, and we ask Orthanc."""

from collections.abc import Iterator
from pathlib import Path

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
from tests.orthanc import Orthanc, until
from tests.services.send.stand_ins import Post, free_port, write_object

pytestmark = pytest.mark.hospital


@pytest.fixture
def our_port() -> int:
    return free_port()


@pytest.fixture
def orthanc(tmp_path: Path, our_port: int) -> Iterator[Orthanc]:
    pacs = Orthanc(tmp_path / "pacs", our_port)
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
