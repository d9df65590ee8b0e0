"""Peers that behave as told, and a book with deliveries for them."""

import socket
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage
from pynetdicom import AE, evt
from sqlmodel import col, select

from shared.dicom.commitment import PUSH_MODEL, PUSH_MODEL_INSTANCE, Report, read_request, write_report
from shared.settings import Destination
from shared.stage import Stage, run_next
from shared.store import Book, Delivery, Run, Study
from shared.store.moves import enter
from shared.study import DeliveryState, RunState, StudyState


class StandInPacs:
    """A C-STORE SCP that answers with the next of `statuses`, and keeps what it accepted; it takes Secondary Captures,
    and what `takes` names."""

    def __init__(
        self, port: int = 0, statuses: list[int] | None = None, wait: threading.Event | None = None,
        takes: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self.statuses, self.wait = statuses or [], wait
        self.received: list[str] = []
        self.asked = threading.Event()
        self.ae = AE("PACS")
        for sop_class in (SecondaryCaptureImageStorage, *takes):
            self.ae.add_supported_context(sop_class)
        self.ae.maximum_associations = 50
        handlers = [(evt.EVT_C_STORE, self._store), *self.serve()]
        self._server = self.ae.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
        self.port = int(self._server.socket.getsockname()[1])

    def serve(self) -> list[Any]:
        """What it serves besides."""
        return []

    def _store(self, event: Any) -> int:
        self.asked.set()
        if self.wait:
            self.wait.wait(20)
        status = self.statuses.pop(0) if self.statuses else 0x0000
        if status == 0x0000:
            self.received.append(str(event.dataset.SOPInstanceUID))
        return status

    def stop(self) -> None:
        self.ae.shutdown()


class CommittingPacs(StandInPacs):
    """A PACS that offers storage commitment: it keeps what it received, save what is named in `loses`.

    It says so on our association (`here`), or hands its report to `reports`, as a PACS does that opens one of its own.
    """

    def __init__(self, here: bool = True, status: int = 0x0000, loses: dict[str, list[int]] | None = None) -> None:
        self.here, self.status, self.loses = here, status, loses or {}
        self.hangs_up = False  # before its answer to the request
        self.questions: list[str] = []
        self.reports: list[Report] = []
        super().__init__()

    def serve(self) -> list[Any]:
        self.ae.add_supported_context(PUSH_MODEL)
        return [(evt.EVT_N_ACTION, self._asked)]

    def _asked(self, event: Any) -> tuple[int, None]:
        transaction_uid, references = read_request(event.action_information)
        self.questions.append(transaction_uid)
        if self.status:
            return self.status, None
        if self.hangs_up:
            event.assoc.abort()
        report = Report(transaction_uid)
        for reference in references:
            if lost := self.loses.get(reference[1]):
                report.failed.append((reference, lost.pop(0)))
            else:
                report.committed.append(reference)
        if self.here:
            threading.Timer(0.2, self._say, (event.assoc, report)).start()
        else:
            self.reports.append(report)
        return 0x0000, None

    def _say(self, association: Any, report: Report) -> None:
        association.send_n_event_report(write_report(report), report.event_type, PUSH_MODEL, PUSH_MODEL_INSTANCE)


class StandInRis:
    """An MLLP receiver; `behave` gets the connection and the message, and does as it likes."""

    def __init__(self, behave: Callable[[socket.socket, bytes], None], port: int = 0) -> None:
        self.messages: list[bytes] = []
        self.heard_at: list[float] = []
        self._behave = behave
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(20)
            data = b""
            while not data.endswith(b"\x1c\x0d"):
                more = connection.recv(65536)
                if not more:
                    return
                data += more
            self.heard_at.append(time.monotonic())
            self.messages.append(data[1:-2])
            self._behave(connection, data[1:-2])

    def control_ids(self) -> list[str]:
        """MSH-10 of what came, in order."""
        return [message.split(b"|")[9].decode() for message in self.messages]

    def stop(self) -> None:
        self._listener.close()


def answer(connection: socket.socket, message: bytes, code: str = "AA", control_id: str = "") -> None:
    """Acknowledges a message, or another one."""
    own = control_id or message.split(b"|")[9].decode()
    text = f"MSH|^~\\&|RIS|H|ISO|H|20260101||ACK^R01^ACK|A1|P|2.5.1\rMSA|{code}|{own}|{code} it is\r"
    connection.sendall(b"\x0b" + text.encode() + b"\x1c\x0d")


class Post:
    """A book with one study, one run, and deliveries."""

    def __init__(self, book: Book, data_dir: Path) -> None:
        self.book, self.data_dir = book, data_dir
        with book.write() as session:
            session.add(Study(study_instance_uid="1.2.3", state=StudyState.RUNNING))
            session.flush()
            run = Run(
                id="run-1", study_instance_uid="1.2.3", revision=1, package="chest_opacity", version="1.0.0",
                kind="reader", state=RunState.SENDING,
            )  # fmt: skip
            session.add(run)

    def add(self, destination: str, identifier: str, priority: int = 5) -> str:
        """A delivery of an object made for it: SC for a UID, ORU for anything else."""
        kind = "SC" if identifier.startswith("1.") else "ORU"
        path = self.data_dir / f"{identifier}.{kind.lower()}"
        if kind == "SC":
            write_object(path, identifier)
        else:
            path.write_bytes(f"MSH|^~\\&|ISO|H|RIS|H|20260101||ORU^R01^ORU_R01|{identifier}|P|2.5.1\rPID|1\r".encode())
        return self.put(destination, kind, identifier, path.name, priority)

    def put(self, destination: str, kind: str, identifier: str, name: str, priority: int = 5) -> str:
        """A delivery of the file `name` in the data folder."""
        with self.book.write() as session:
            row = Delivery(
                id=f"{destination}-{identifier}", run_id="run-1", study_instance_uid="1.2.3", destination=destination,
                kind=kind, identifier=identifier, path=name, priority=priority,
            )  # fmt: skip
            enter(session, row)
        return row.id

    def get(self, delivery_id: str) -> Delivery:
        with self.book.read() as session:
            return session.get_one(Delivery, delivery_id)

    def study(self) -> Study:
        with self.book.read() as session:
            return session.get_one(Study, "1.2.3")

    def hasten(self) -> None:
        """Makes what waits for its next time, or for a dead worker's lease to end, due now."""
        with self.book.write() as session:
            under_way = (DeliveryState.WAITING, DeliveryState.COMMITTING)
            for row in session.exec(select(Delivery).where(col(Delivery.state).in_(under_way))):
                row.next_at = row.lease_until = None
                session.add(row)

    def run(self, stage: Stage) -> int:
        """Works until nothing can be taken up; returns how many attempts that were."""
        count = 0
        while run_next(self.book, stage):
            count += 1
        return count


def write_object(path: Path, sop_instance_uid: str) -> None:
    """A small Secondary Capture."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = SecondaryCaptureImageStorage, sop_instance_uid
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.PatientID = "1.2.3", "1.2.3.4", "P1"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = sop_instance_uid
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.save_as(path, enforce_file_format=True)
    assert dcmread(path).SOPInstanceUID == sop_instance_uid


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def pacs_at(port: int, **more: Any) -> Destination:
    """[[destinations]] of a PACS."""
    return Destination(name="PACS", kind="dicom", host="127.0.0.1", port=port, ae_title="PACS", **more)


def ris_at(port: int, **more: Any) -> Destination:
    """[[destinations]] of a RIS."""
    return Destination(name="RIS", kind="mllp", host="127.0.0.1", port=port, **more)
