"""Storage commitment of what was sent to us: asked over a real association, told on it or on a new one, never a lie."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid
from pynetdicom import AE, build_role, evt
from sqlmodel import select

from services.collect.commitment.report import LOOK_SECONDS
from services.collect.main import Collect
from services.collect.settings import Peer
from shared.dicom.commitment import PUSH_MODEL, PUSH_MODEL_INSTANCE, Report, read_report, write_report, write_request
from shared.store import Book, Commitment, CommitmentAsked, Delivery, Instance, Journal, open_book, utc_now
from shared.store.moves import move
from shared.study import DeliveryEvent
from tests.books import Maker, sending
from tests.services.send.stand_ins import free_port

STUDY = "1.2.826.7"


@pytest.fixture
def book(any_book: Book) -> Book:
    """Both databases."""
    return any_book


class Modality:
    """A sender with a listener of its own: it stores, asks for storage commitment, and hears the report."""

    def __init__(self, port: int = 0, ae_title: str = "PACS1", status: int = 0x0000) -> None:
        self.ae_title, self.statuses = ae_title, [status]
        self.here: list[Report] = []  # on its own association
        self.new: list[Report] = []  # on one that Isocenter opened
        self.roles: list[Any] = []
        self.called_by: list[str] = []
        ae = AE(ae_title=ae_title)
        ae.add_supported_context(PUSH_MODEL, scu_role=False, scp_role=True)
        self._server = ae.start_server(
            ("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, self._on_new)]
        )
        self.port = int(self._server.socket.getsockname()[1])

    def _on_new(self, event: Any) -> tuple[int, None]:
        self.new.append(read_report(event.event_information))
        self.called_by.append(event.assoc.requestor.ae_title.strip())
        self.roles += [(r.scu_role, r.scp_role) for r in event.assoc.requestor.role_selection.values()]
        return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0], None

    def _on_here(self, event: Any) -> tuple[int, None]:
        self.here.append(read_report(event.event_information))
        return 0x0000, None

    def ask(self, collect: Collect, request: Dataset, hold: float = 0.0, **how: Any) -> Dataset:
        """Asks; holds its association open until the report or for so long. The status."""
        ae = AE(ae_title=self.ae_title)
        ae.add_requested_context(PUSH_MODEL)
        assoc = ae.associate("127.0.0.1", collect.listener.port, evt_handlers=[(evt.EVT_N_EVENT_REPORT, self._on_here)])
        assert assoc.is_established
        said = {"action_type": 1, "class_uid": PUSH_MODEL, "instance_uid": PUSH_MODEL_INSTANCE, **how}
        status, _ = assoc.send_n_action(request, said["action_type"], said["class_uid"], said["instance_uid"])
        deadline = time.monotonic() + hold
        while time.monotonic() < deadline and not self.here:
            time.sleep(0.02)
        time.sleep(0.1 if hold else 0)
        assoc.release()
        return status

    def stop(self) -> None:
        self._server.shutdown()


@pytest.fixture
def modality() -> Iterator[Callable[..., Modality]]:
    made: list[Modality] = []

    def make(**how: Any) -> Modality:
        made.append(Modality(**how))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def soon(check: Callable[[], Any], seconds: float = 60) -> Any:
    """Waits until `check` gives something true; on a busy machine that takes its time."""
    deadline = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
    return found


def request_for(*images: Dataset, uid: str = "") -> Dataset:
    return write_request(uid or generate_uid(), [(ds.SOPClassUID, ds.SOPInstanceUID) for ds in images])


def rows(book: Book) -> list[Commitment]:
    with book.read() as session:
        return list(session.exec(select(Commitment).order_by(Commitment.received_at)).all())


def journal(book: Book, event: str) -> list[str]:
    with book.read() as session:
        return list(session.exec(select(Journal.reason).where(Journal.event == event)).all())


def file_of(collect: Collect, ds: Dataset) -> Path:
    return collect.folder.root / ds.StudyInstanceUID / ds.SeriesInstanceUID / f"{ds.SOPInstanceUID}.dcm"


@pytest.fixture
def filled(start, associate, tools, book):
    """A collect with three images of one study in book and store; a modality that it knows."""

    def fill(one: Modality, **settings: Any) -> tuple[Collect, list[Dataset]]:
        peers = [Peer(ae_title=one.ae_title, host="127.0.0.1", port=one.port)]
        collect = start(**{"peers": peers, "commitment_same_association_seconds": 60, **settings})
        sender = associate(collect)
        images = [tools.image(STUDY, sop=f"{STUDY}.1.{n}") for n in range(3)]
        assert [tools.post(sender, ds) for ds in images] == [0] * 3
        sender.release()
        collect.index.flush()
        return collect, images

    return fill


def test_told_on_the_senders_own_association_while_it_holds_it(filled, modality, book) -> None:
    one = modality()
    collect, images = filled(one)
    request = request_for(*images)
    assert one.ask(collect, request, hold=60).Status == 0x0000
    assert [r.transaction_uid for r in one.here] == [request.TransactionUID]
    assert sorted(one.here[0].committed) == sorted((ds.SOPClassUID, ds.SOPInstanceUID) for ds in images)
    assert one.here[0].failed == []
    time.sleep(2 * LOOK_SECONDS)
    assert one.new == [], "told once"
    assert [row.state for row in rows(book)] == ["reported"]
    assert journal(book, "committed") == ["PACS1 was told that 3 of its instances are kept"]


def test_told_on_a_new_association_as_scp_when_the_sender_has_gone(filled, modality, tools) -> None:
    one = modality()
    collect, images = filled(one)
    request = request_for(*images)
    assert one.ask(collect, request).Status == 0x0000
    soon(lambda: one.new)
    assert one.new[0].transaction_uid == request.TransactionUID
    assert (len(one.new[0].committed), one.new[0].failed, one.here) == (3, [], [])
    assert one.roles == [(False, True)], "PS3.4 J.3.3: the association's requestor is the SCP"
    assert one.called_by == ["ANY-SCP"], "by the name by which it called us"


def test_only_what_is_kept_is_committed(filled, modality, tools, book) -> None:
    """A file removed or altered behind our back, another class, an instance that never came, a class unknown."""
    one = modality()
    collect, (whole, gone, altered) = filled(one)
    file_of(collect, gone).unlink()
    path = file_of(collect, altered)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    never, strange = "1.2.826.7.99", "1.2.826.7.98"
    request = write_request("1.2.3.9", [
        (MRImageStorage, whole.SOPInstanceUID), (MRImageStorage, gone.SOPInstanceUID),
        (MRImageStorage, altered.SOPInstanceUID), (MRImageStorage, never), ("1.2.3.4.5", strange),
    ])  # fmt: skip
    assert one.ask(collect, request, hold=60).Status == 0x0000
    (report,) = one.here
    assert report.event_type == 2
    assert report.committed == [(MRImageStorage, whole.SOPInstanceUID)]
    assert {instance: reason for (_, instance), reason in report.failed} == {
        gone.SOPInstanceUID: 0x0112, altered.SOPInstanceUID: 0x0110, never: 0x0112, strange: 0x0122,
    }  # fmt: skip
    other_class = write_request("1.2.3.10", [(CTImageStorage, whole.SOPInstanceUID)])
    one.here.clear()
    one.ask(collect, other_class, hold=60)
    assert one.here[0].failed == [((CTImageStorage, whole.SOPInstanceUID), 0x0119)]
    assert any("4 are not" in line for line in journal(book, "not_committed"))


def test_what_went_by_retention_is_not_committed_to_and_no_fault(filled, modality, book, caplog) -> None:
    one = modality()
    collect, images = filled(one)
    file_of(collect, images[0]).unlink()
    with book.write() as session:
        for row in session.exec(select(Instance).where(Instance.sop_instance_uid == images[0].SOPInstanceUID)):
            row.removed_at = utc_now()
    one.ask(collect, request_for(*images), hold=60)
    assert [reason for _, reason in one.here[0].failed] == [0x0112]
    assert "can't be committed" not in caplog.text


@pytest.mark.parametrize(("duplicates", "failed"), [("keep-first", [0x0110]), ("replace", [])])
def test_other_bytes_that_are_not_read_are_never_committed_to(
    filled, modality, associate, tools, duplicates, failed
) -> None:
    one = modality()
    collect, images = filled(one, duplicates=duplicates)
    other = tools.image(STUDY, sop=images[0].SOPInstanceUID, PatientID="P2")
    sender = associate(collect)
    assert tools.post(sender, other) == 0x0000
    sender.release()
    collect.index.flush()
    one.ask(collect, request_for(other), hold=60)
    assert [reason for _, reason in one.here[0].failed] == failed
    assert len(one.here[0].committed) == 1 - len(failed)


def test_images_whose_rows_are_still_on_their_way_are_waited_for(start, modality, associate, tools) -> None:
    one = modality()
    collect = start(commitment_same_association_seconds=60)
    collect.index.flush = lambda: None  # the rows stay in memory
    sender, image = associate(collect), tools.image(STUDY)
    assert tools.post(sender, image) == 0x0000
    held = threading.Timer(1.5, lambda: type(collect.index).flush(collect.index))
    held.start()
    one.ask(collect, request_for(image), hold=60)
    held.join()
    assert len(one.here[0].committed) == 1


def test_other_bytes_that_the_book_does_not_know_yet_are_waited_for(filled, modality, associate, tools) -> None:
    one = modality()
    collect, images = filled(one)
    collect.index.flush = lambda: None  # the rows stay in memory
    sender = associate(collect)
    assert tools.post(sender, tools.image(STUDY, sop=images[0].SOPInstanceUID, PatientID="P2")) == 0x0000
    threading.Timer(1.5, lambda: type(collect.index).flush(collect.index)).start()
    one.ask(collect, request_for(images[0]), hold=60)
    assert [reason for _, reason in one.here[0].failed] == [0x0110]


@pytest.mark.parametrize("durability", ["association", "none"])
def test_without_durability_it_is_forced_to_the_disk_first(filled, modality, durability, monkeypatch) -> None:
    one = modality()
    collect, images = filled(one, durability=durability)
    synced: list[str] = []
    monkeypatch.setattr(collect.folder, "sync", synced.extend)
    one.ask(collect, request_for(*images), hold=60)
    assert len(one.here[0].committed) == len(synced) == 3


def test_a_repeat_does_no_harm_and_is_told_again(filled, modality, tools, book) -> None:
    one = modality()
    collect, images = filled(one, commitment_same_association_seconds=0)
    request = request_for(*images)
    assert [one.ask(collect, request).Status for _ in range(3)] == [0] * 3
    soon(lambda: one.new)
    assert len(rows(book)) == 1
    assert one.ask(collect, request).Status == 0x0000
    soon(lambda: len(one.new) == 2)
    assert len(rows(book)) == 1
    assert one.new[0] == one.new[1]


def test_another_request_under_the_same_transaction_uid_fails(filled, modality, tools, book) -> None:
    one, other = modality(), modality(ae_title="PACS2")
    collect, images = filled(one)
    one.ask(collect, request_for(images[0], uid="1.2.3.4"), hold=60)
    assert len(one.here.pop().committed) == 1
    one.ask(collect, request_for(images[1], uid="1.2.3.4"), hold=60)
    assert [reason for _, reason in one.here[0].failed] == [0x0131]
    other.ask(collect, request_for(images[1], uid="1.2.3.4"), hold=60)
    assert len(other.here[0].committed) == 1, "another sender's transactions are its own"


def test_a_sender_that_is_down_is_tried_until_it_takes_the_report(filled, modality, tools, book) -> None:
    port = free_port()
    one = modality()
    collect, images = filled(one, peers=[Peer(ae_title="PACS1", host="127.0.0.1", port=port)])
    one.ask(collect, request_for(*images))
    (row,) = soon(lambda: [r for r in rows(book) if r.attempts == 1 and r.reason])
    assert (row.state, "can't be reached" in row.reason) == ("asked", True)
    back = modality(port=port, status=0x0110)  # up, and does not take it yet
    collect.reports._away.clear()
    hasten(book)
    soon(lambda: len(back.new) == 1)
    soon(lambda: "status 0x0110" in rows(book)[0].reason)
    back.statuses = [0x0000]
    hasten(book)
    soon(lambda: rows(book)[0].state == "reported")
    assert len(back.new) == 2


def hasten(book: Book) -> None:
    with book.write() as session:
        for row in session.exec(select(Commitment)):
            row.next_at = None
            session.add(row)


def test_attempts_end_dead_with_the_reason_and_asking_again_revives_it(filled, modality, tools, book) -> None:
    port = free_port()
    one = modality()
    collect, images = filled(
        one, commitment_attempts=1, peers=[Peer(ae_title="PACS1", host="127.0.0.1", port=port)]
    )  # fmt: skip
    request = request_for(*images)
    one.ask(collect, request)
    row = soon(lambda: [r for r in rows(book) if r.state == "dead"])[0]
    assert "can't be reached" in row.reason
    back = modality(port=port)
    collect.reports._away.clear()
    one.ask(collect, request)
    soon(lambda: back.new)


def test_a_sender_without_an_address_is_told_to_the_administrator(filled, modality, tools, book, caplog) -> None:
    one = modality()
    collect, images = filled(one, peers=[])
    one.ask(collect, request_for(*images))
    row = soon(lambda: [r for r in rows(book) if r.state == "dead"])[0]
    assert "[[collect.peers]]" in row.reason
    assert journal(book, "not_reported") == [row.reason]
    assert "add [[collect.peers]]" in caplog.text


@pytest.mark.parametrize(
    ("how", "change", "status", "said"),
    [
        ({"action_type": 2}, {}, 0x0123, "action type"),
        ({"instance_uid": "1.2.3"}, {}, 0x0112, "well-known"),
        ({}, {"TransactionUID": None}, 0x0115, "TransactionUID"),
        ({}, {"TransactionUID": "1.2.x"}, 0x0115, "TransactionUID"),
        ({}, {"ReferencedSOPSequence": []}, 0x0115, "ReferencedSOPSequence"),
        ({}, {"ReferencedSOPSequence": [Dataset()]}, 0x0115, "ReferencedSOP"),
    ],
)
def test_a_malformed_request_is_refused_with_its_reason(filled, modality, book, how, change, status, said) -> None:
    one = modality()
    collect, images = filled(one)
    request = request_for(*images)
    for keyword, value in change.items():
        if value is None:
            del request[keyword]
        else:
            request[keyword] = type(request[keyword])(request[keyword].tag, request[keyword].VR, value)
    answer = one.ask(collect, request, **how)
    assert (answer.Status, said in answer.ErrorComment) == (status, True)
    assert rows(book) == []


def test_not_offered(filled, modality, book) -> None:
    one = modality()
    collect, images = filled(one, commitment=False)
    assert one.ask(collect, request_for(*images)).Status == 0x0124
    assert rows(book) == []


def test_a_book_that_is_away_is_a_failure_and_never_success(filled, modality, book, monkeypatch) -> None:
    one = modality()
    collect, images = filled(one)
    away = open_book("postgresql+psycopg://nobody@127.0.0.1:1/nothing")
    monkeypatch.setattr(collect.listener.commitment, "book", away)
    answer = one.ask(collect, request_for(*images))
    assert (answer.Status, "ask again" in answer.ErrorComment) == (0x0110, True)
    monkeypatch.undo()
    assert rows(book) == []
    assert one.ask(collect, request_for(*images), hold=60).Status == 0x0000


def test_a_sender_that_goes_on_sending_gets_its_answers_and_then_the_report(filled, modality, tools, book) -> None:
    """N-ACTION in the middle of an association: what follows is stored as if nothing were."""
    one = modality()
    collect, images = filled(one)
    ae = AE(ae_title="PACS1")
    ae.add_requested_context(PUSH_MODEL)
    ae.add_requested_context(MRImageStorage, ExplicitVRLittleEndian)
    assoc = ae.associate("127.0.0.1", collect.listener.port, evt_handlers=[(evt.EVT_N_EVENT_REPORT, one._on_here)])
    status, _ = assoc.send_n_action(request_for(*images), 1, PUSH_MODEL, PUSH_MODEL_INSTANCE)
    assert status.Status == 0x0000
    for n in range(10):
        ds = tools.image(STUDY, sop=f"{STUDY}.2.{n}")
        ds.file_meta = file_meta(ds)
        assert assoc.send_c_store(ds).Status == 0x0000
        time.sleep(0.05)
    soon(lambda: one.here)
    assoc.release()
    assert assoc.is_released


def file_meta(ds: Dataset) -> Any:
    from pydicom.dataset import FileMetaDataset

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    return meta


@pytest.mark.parametrize("processes", [1, 2])
def test_killed_between_answer_and_report(filled, modality, book, tmp_path, processes) -> None:
    """A process that has answered 0x0000 and dies before the report leaves the report to the next."""
    one = modality()
    collect, images = filled(one)
    port = free_port()
    page = tmp_path / "isocenter.toml"
    page.write_text(
        f'[isocenter]\ndata_dir = "{collect.service.core.data_dir}"\ndatabase_url = "{book.url}"\n'
        f'[collect]\nhost = "127.0.0.1"\nport = {port}\nleast_free_bytes = 0\nprocesses = {processes}\n'
        "commitment_same_association_seconds = 60\n"
        f'[[collect.peers]]\nae_title = "PACS1"\nhost = "127.0.0.1"\nport = {one.port}\n'
    )
    collect.reports.stop()  # this process only watches; the one below does the work
    environment = {**os.environ, "ISOCENTER_CONFIG": str(page)}
    command = [sys.executable, "-m", "services.collect"]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        assoc = until_associated(port, one.ae_title)
        request = request_for(*images)
        status, _ = assoc.send_n_action(request, 1, PUSH_MODEL, PUSH_MODEL_INSTANCE)
        assert status.Status == 0x0000
        process.send_signal(signal.SIGKILL)  # it waits for a moment's silence before it reports
        process.wait()
        (row,) = rows(book)
        assert (row.state, one.new, one.here) == ("asked", [], [])
        assert row.lease_until is not None
        expire(book)
        process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        soon(lambda: one.new)
        assert one.new[0].transaction_uid == request.TransactionUID
        assert len(one.new[0].committed) == 3
    finally:
        process.kill()
        process.wait()


def test_a_pacs_reports_on_what_we_asked_and_its_delivery_moves(start, book) -> None:
    collect = start()
    with book.write() as session:
        _, _, sent = sending(Maker(session), "asked")
        for kind in ("SR", "SC"):
            move(session, sent[kind], DeliveryEvent.STORED)
            session.add(CommitmentAsked(transaction_uid=f"1.2.3.{kind == 'SR':d}", delivery_id=sent[kind].id))
        uids = {kind: sent[kind].identifier for kind in ("SR", "SC")}
        ids = {kind: sent[kind].id for kind in ("SR", "SC")}
    kept = Report("1.2.3.1", committed=[(MRImageStorage, uids["SR"])])
    not_kept = Report("1.2.3.0", failed=[((MRImageStorage, uids["SC"]), 0x0213)])
    assert [report_to(collect, r) for r in (kept, not_kept, kept, not_kept)] == [0] * 4, "a repeat does no harm"
    with book.read() as session:
        sr, sc = session.get_one(Delivery, ids["SR"]), session.get_one(Delivery, ids["SC"])
    assert (sr.state, sc.state) == ("delivered", "waiting")
    assert "0x0213 (resource limitation)" in sc.reason
    assert sc.next_at is not None
    assert report_to(collect, Report("1.2.99", committed=[(MRImageStorage, "1.2")])) == 0x0115, "never asked"
    assert report_to(collect, Report("1.2.3.1")) == 0x0115, "names no instance"


def report_to(collect: Collect, report: Report) -> int:
    """As a PACS does: it opens the association, and is the SCP (role selection)."""
    ae = AE(ae_title="PACS")
    ae.add_requested_context(PUSH_MODEL)
    roles = [build_role(PUSH_MODEL, scu_role=False, scp_role=True)]
    assoc = ae.associate("127.0.0.1", collect.listener.port, ext_neg=roles)
    assert assoc.is_established
    assert [(cx.as_scu, cx.as_scp) for cx in assoc.accepted_contexts] == [(False, True)]
    status, _ = assoc.send_n_event_report(write_report(report), report.event_type, PUSH_MODEL, PUSH_MODEL_INSTANCE)
    assoc.release()
    return int(status.Status)


def expire(book: Book) -> None:
    with book.write() as session:
        for row in session.exec(select(Commitment)):
            row.lease_until = utc_now() - timedelta(seconds=1)
            session.add(row)


def until_associated(port: int, ae_title: str) -> Any:
    ae = AE(ae_title=ae_title)
    ae.add_requested_context(PUSH_MODEL)
    deadline = time.monotonic() + 150
    while time.monotonic() < deadline:
        assoc = ae.associate("127.0.0.1", port)
        if assoc.is_established:
            return assoc
        time.sleep(0.1)
    raise AssertionError("collect does not listen")
