"""A running collect on a free port, and a sender that can send anything."""

import shutil
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid
from pynetdicom import AE
from pynetdicom.dimse_primitives import C_STORE
from sqlmodel import SQLModel, select

from services.collect.handlers import StoredInstance
from services.collect.main import Collect
from services.collect.quiet import quiet_pydicom
from services.collect.settings import Settings
from services.collect.store.folder import Kept, StoreFolder, data_set_digest
from shared.bus import Bus, celery_app
from shared.dicom.header import Header
from shared.service import Service
from shared.settings import Config, Core
from shared.store import Book, Instance, Journal, Quarantine, Study, open_book
from tests.books import KINDS, new_book


@pytest.fixture
def dicom_bench(bench: Path) -> Path:
    """The real DICOM files of the team's bench."""
    return bench / "data" / "dicom"


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty book on SQLite, migrated once."""
    path = tmp_path_factory.mktemp("collect") / "migrated.db"
    book = open_book(f"sqlite:///{path}")
    book.migrate()
    book.close()
    return path


@pytest.fixture
def book(migrated: Path, tmp_path: Path) -> Iterator[Book]:
    shutil.copy(migrated, tmp_path / "isocenter.db")
    book = open_book(f"sqlite:///{tmp_path}/isocenter.db")
    yield book
    book.close()


@pytest.fixture(scope="module", params=KINDS)
def module_book(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Book]:
    with new_book(request.param, tmp_path_factory.mktemp("book")) as book:
        yield book


@pytest.fixture
def any_book(module_book: Book) -> Iterator[Book]:
    """An empty book, on each database that it runs on."""
    yield module_book
    with module_book.write() as session:
        for table in reversed(SQLModel.metadata.sorted_tables):
            session.execute(table.delete())


@pytest.fixture
def start(book: Book, tmp_path: Path) -> Iterator[Callable[..., Collect]]:
    """Starts collect with the given settings; all that was started is stopped at the end."""
    started: list[Collect] = []
    quiet_pydicom()

    def begin(**settings: Any) -> Collect:
        core = Core(data_dir=tmp_path, database_url=book.url)
        app = celery_app("memory://", tmp_path)
        service = Service("collect", Config(), core, book, app, Bus(book, app))
        defaults = {"port": 0, "host": "127.0.0.1", "stop_seconds": 1, "least_free_bytes": 0, "processes": 1}
        collect = Collect(service, Settings(**{**defaults, **settings}))
        collect.start()
        started.append(collect)
        return collect

    yield begin
    for collect in started:
        collect.stop()


class Sender:
    """An association to collect over which any bytes can be sent as a data set."""

    def __init__(self, port: int, contexts: list[tuple[str, str]], calling: str = "PACS1", called: str = "ISOCENTER"):
        entity = AE(ae_title=calling)
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 15
        for sop_class, syntax in dict.fromkeys(contexts):
            entity.add_requested_context(sop_class, syntax)
        requested = []
        for cx in entity.requested_contexts:  # one context for each syntax, so that the sender chooses
            requested += [_context(cx.abstract_syntax, syntax) for syntax in cx.transfer_syntax]
        self.assoc = entity.associate("127.0.0.1", port, contexts=requested, ae_title=called)
        # pynetdicom's reactor is held while we send: in the moment in which it passes its checkpoint it would take the
        # response for a request
        self.assoc._reactor_checkpoint.clear()
        while not self.assoc._is_paused and self.assoc.is_alive():
            time.sleep(0.01)
        time.sleep(0.03)

    def store(self, data: bytes, sop_class: str, sop_instance: str, syntax: str = ExplicitVRLittleEndian) -> Dataset:
        """Sends a C-STORE-RQ with exactly these bytes; returns the response's status (empty: none came)."""
        assoc = self.assoc
        accepted = [
            cx for cx in assoc.accepted_contexts if (cx.abstract_syntax, cx.transfer_syntax[0]) == (sop_class, syntax)
        ]
        assert accepted, f"no context was accepted for {sop_class} {syntax}"
        request = C_STORE()
        request.MessageID, request.Priority = 1, 2
        request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = sop_class, sop_instance
        request.DataSet = BytesIO(data)
        assoc.dimse.send_msg(request, accepted[0].context_id)
        _, response = assoc.dimse.get_msg(block=True)
        status = Dataset()
        if response is None:
            assoc._reactor_checkpoint.set()
        else:
            status.Status = response.Status
            status.ErrorComment = response.ErrorComment or ""
        return status

    def release(self) -> None:
        if self.assoc.is_established:
            self.assoc.release()


def _context(sop_class: str, syntax: str) -> Any:
    from pynetdicom import build_context

    return build_context(sop_class, syntax)


@pytest.fixture
def associate() -> Iterator[Callable[..., Sender]]:
    """Opens associations; they are aborted at the end if they are still open."""
    senders: list[Sender] = []

    def begin(collect: Collect, contexts: list[tuple[str, str]] | None = None, **kwargs: str) -> Sender:
        sender = Sender(collect.listener.port, contexts or [(MRImageStorage, ExplicitVRLittleEndian)], **kwargs)
        senders.append(sender)
        return sender

    yield begin
    for sender in senders:
        if sender.assoc.is_established:
            sender.assoc.abort()


@pytest.fixture
def sender_to() -> type[Sender]:
    """For a collect in a process of its own."""
    return Sender


def encoded(ds: Dataset, implicit: bool = False, little: bool = True) -> bytes:
    """The data set's bytes, without File Meta Information."""
    out = DicomBytesIO()
    out.is_implicit_VR, out.is_little_endian = implicit, little
    write_dataset(out, ds)
    return out.getvalue()


def mr(study: str, series: str | None = None, sop: str | None = None, **more: Any) -> Dataset:
    """A small MR image."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = MRImageStorage, sop or generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = study, series or f"{study}.1"
    ds.Modality, ds.PatientID, ds.AccessionNumber, ds.StudyDate = "MR", "P1", "A1", "20260102"
    ds.Rows = ds.Columns = 4
    ds.BitsAllocated, ds.SamplesPerPixel, ds.PixelRepresentation = 16, 1, 0
    ds.PixelData = bytes(32)
    for keyword, value in more.items():
        setattr(ds, keyword, value)
    ds["PixelData"].VR = "OW"
    return ds


def send(sender: Sender, ds: Dataset) -> int:
    """Sends one small image; the status."""
    return int(sender.store(encoded(ds), ds.SOPClassUID, ds.SOPInstanceUID).Status)


@pytest.fixture
def tools() -> Any:
    """What the tests make and send images with."""

    class Tools:
        encode = staticmethod(encoded)
        image = staticmethod(mr)
        post = staticmethod(send)
        until = staticmethod(until)
        instance = staticmethod(stored)

    return Tools


def until(check: Callable[[], Any], seconds: float = 10.0) -> Any:
    """Waits until `check` gives something true, and gives it."""
    deadline = time.monotonic() + seconds
    while True:
        if value := check():
            return value
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def stored(
    study: str, sop: str, *, series: str = "1.9", digest: str = "a" * 64, ae: str = "PACS1",
    at: datetime | None = None, path: str = "", **attributes: Any,
) -> StoredInstance:  # fmt: skip
    """A stored instance, as the index gets it."""
    header = Header(study, series, sop, MRImageStorage, ExplicitVRLittleEndian, 340, attributes)
    return StoredInstance(
        header, path or f"{study}/{series}/{sop}.dcm", 100, f"blake3:{digest}", at or datetime.now(UTC), ae
    )


class Pages:
    """What the book says."""

    def __init__(self, book: Book) -> None:
        self.book = book

    def _all(self, query: Any) -> list[Any]:
        with self.book.read() as session:
            return list(session.exec(query).all())

    def study(self, uid: str) -> Study | None:
        with self.book.read() as session:
            return session.get(Study, uid)

    def instances(self, uid: str | None = None) -> list[Instance]:
        query = select(Instance).order_by(Instance.sop_instance_uid)
        return self._all(query.where(Instance.study_instance_uid == uid) if uid else query)

    def journal(self, uid: str) -> list[Journal]:
        return self._all(select(Journal).where(Journal.study_instance_uid == uid).order_by(Journal.id))

    def quarantine(self) -> list[Quarantine]:
        return self._all(select(Quarantine))


@pytest.fixture
def pages(book: Book) -> Pages:
    return Pages(book)


@pytest.fixture
def pages_of() -> type[Pages]:
    return Pages


def put(folder: StoreFolder, ds: Dataset) -> Path:
    """A stored file, as a collect that died before its row left it."""
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    out = BytesIO()
    ds.save_as(out, enforce_file_format=True)
    received = folder.incoming / "in.dcm"
    received.write_bytes(out.getvalue())
    place = f"{ds.StudyInstanceUID}/{ds.SeriesInstanceUID}/{ds.SOPInstanceUID}.dcm"
    kept, place = folder.keep(received, place, data_set_digest(received))
    assert kept is not Kept.KNOWN
    return folder.root / place


@pytest.fixture
def put_file() -> Callable[[StoreFolder, Dataset], Path]:
    return put
