"""The DICOM port: what is answered, and what lies on the disk when it has been answered."""

import contextlib
import os
import shutil
import socket
import struct
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    MRImageStorage,
)
from pynetdicom.sop_class import Verification

from services.collect.store.folder import data_set_digest
from shared import metrics
from shared.dicom.header import read_header
from shared.dicom.problems import UnreadableInstance
from tests.dicom_peer import ASSOCIATE_RJ, Peer

STUDY = "1.2.826.1"


def stored_file(collect, ds) -> Path:
    return collect.folder.root / ds.StudyInstanceUID / ds.SeriesInstanceUID / f"{ds.SOPInstanceUID}.dcm"


def nothing_half(collect) -> bool:
    return not [p for p in collect.folder.incoming.rglob("*") if p.is_file()]


def data_set_of(path: Path) -> bytes:
    data = path.read_bytes()
    assert data[128:132] == b"DICM"
    return data[144 + int.from_bytes(data[140:144], "little") :]


def test_echo(start, associate) -> None:
    sender = associate(start(), [(Verification, ExplicitVRLittleEndian)])
    assert sender.assoc.send_c_echo().Status == 0x0000


def test_success_means_the_bytes_are_there(start, associate, tools) -> None:
    collect, ds = start(), tools.image(STUDY)
    assert tools.post(associate(collect), ds) == 0x0000
    path = stored_file(collect, ds)
    assert data_set_of(path) == tools.encode(ds)
    header = read_header(path)
    assert (header.transfer_syntax_uid, header.sop_instance_uid) == (ExplicitVRLittleEndian, ds.SOPInstanceUID)


def test_every_readable_file_of_the_bench_is_kept_as_it_was_sent(start, associate, dicom_bench, pages, tools) -> None:
    """Compressed, deflated, big endian, odd and broken: what is answered 0x0000 lies in the store, what is refused lies
    in quarantine, byte for byte."""
    collect, sent = start(), []
    for path in sorted(p for p in dicom_bench.rglob("*") if p.is_file()):
        data = path.read_bytes()
        if data[128:132] == b"DICM" and data[132:136] == b"\x02\x00\x00\x00" and b"DICOMDIR" not in path.name.encode():
            meta = 144 + int.from_bytes(data[140:144], "little")
            sop_class, sop_instance, syntax = _meta_uids(data[:meta])
            said = dcmread(path, stop_before_pixels=True)  # a sender announces what the data set says
            sop_class, sop_instance = said.get("SOPClassUID") or sop_class, said.get("SOPInstanceUID") or sop_instance
            sent.append((path, data[meta:], sop_class, sop_instance, syntax))
    sent = [item for item in sent if item[2] and item[4]]
    assert len(sent) > 450
    answers = {}
    contexts = sorted({(sop_class, syntax) for _, _, sop_class, _, syntax in sent})
    for begin in range(0, len(contexts), 120):
        offered = contexts[begin : begin + 120]
        sender = associate(collect, offered)
        taken = {(cx.abstract_syntax, cx.transfer_syntax[0]) for cx in sender.assoc.accepted_contexts}
        for path, data, sop_class, sop_instance, syntax in sent:
            if (sop_class, syntax) in taken:
                answers[path] = sender.store(data, sop_class, sop_instance or "1.2.3", syntax).get("Status", path.name)
        sender.release()
    assert not [a for a in answers.values() if isinstance(a, str)]
    refused = {p.name for p, status in answers.items() if status != 0}
    kept = {p: data for p, data, *_ in sent if answers.get(p) == 0}
    assert len(kept) > 450
    assert {"MR_truncated.dcm", "GH179A.dcm", "GH179B.dcm", "rtplan_truncated.dcm", "GH223.dcm"} <= refused
    in_store = {data_set_of(p) for p in collect.folder.root.glob("[0-9]*/*/*.dcm")}
    assert in_store == set(kept.values())
    in_quarantine = {data_set_of(p) for p in collect.reception.quarantine.root.rglob("*.dcm")}
    assert in_quarantine == {data for p, data, *_ in sent if answers.get(p)}
    tools.until(lambda: len(pages.quarantine()) == len(in_quarantine))
    assert all(row.reason and row.peer == "PACS1" for row in pages.quarantine())
    assert nothing_half(collect)
    rows = {row.path: row for row in pages.instances()}
    assert len(rows) > 350
    for row in rows.values():
        assert data_set_digest(collect.folder.root / row.path) == row.digest


def _meta_uids(meta: bytes) -> tuple[str, str, str]:
    def value(tag: bytes) -> str:
        at = meta.find(tag + b"UI")
        if at < 0:
            return ""
        (length,) = struct.unpack_from("<H", meta, at + 6)
        return meta[at + 8 : at + 8 + length].rstrip(b"\0 ").decode("ascii")

    return value(b"\x02\x00\x02\x00"), value(b"\x02\x00\x03\x00"), value(b"\x02\x00\x10\x00")


@pytest.mark.skipif(shutil.which("storescu") is None, reason="dcmtk's storescu is not here")
def test_dcmtk_sends_a_whole_series(start, dicom_bench, pages, tools) -> None:
    collect, folder = start(), dicom_bench / "series/mr_brain_t1_philips_elition"
    some = sorted(folder.iterdir())[:40]
    done = subprocess.run(
        ["storescu", "-xe", "-R", "127.0.0.1", str(collect.listener.port), *map(str, some)],
        env={**os.environ, "TCP_NODELAY": "1"}, capture_output=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = tools.until(lambda: len(rows := pages.instances()) == 40 and rows)
    pixels = {p.read_bytes()[-131072:] for p in some}
    assert {(collect.folder.root / row.path).read_bytes()[-131072:] for row in rows} == pixels
    assert {row.calling_ae_title for row in rows} == {"STORESCU"}


def test_associations_at_once(start, associate, pages, tools) -> None:
    collect = start()
    studies = {f"{STUDY}.{n}": [tools.image(f"{STUDY}.{n}") for _ in range(8)] for n in range(6)}

    def one(images: list) -> list[int]:
        sender = associate(collect)
        statuses = [tools.post(sender, ds) for ds in images]
        sender.release()
        return statuses

    with ThreadPoolExecutor(6) as pool:
        assert {s for statuses in pool.map(one, studies.values()) for s in statuses} == {0}
    tools.until(lambda: len(pages.instances()) == 48)
    for images in studies.values():
        for ds in images:
            assert data_set_of(stored_file(collect, ds)) == tools.encode(ds)


def test_same_bytes_again_are_success_and_nothing_else(start, associate, pages, tools) -> None:
    collect, ds = start(quiet_seconds=0.2), tools.image(STUDY)
    first = associate(collect)
    assert tools.post(first, ds) == 0
    first.release()
    tools.until(lambda: (study := pages.study(STUDY)) and study.state == "waiting")
    again = associate(collect)
    assert tools.post(again, ds) == 0
    again.release()
    time.sleep(0.8)
    study = pages.study(STUDY)
    assert (study.state, study.revision, len(pages.instances())) == ("waiting", 1, 1)
    assert len(pages.journal(STUDY)) == 2


def test_other_bytes_under_the_same_uid_are_kept_beside(start, associate, pages, tools) -> None:
    collect, sender = start(), None
    first, other = tools.image(STUDY, sop="1.2.3.4"), tools.image(STUDY, sop="1.2.3.4", PatientID="P2")
    sender = associate(collect)
    assert [tools.post(sender, ds) for ds in (first, other, other, first)] == [0, 0, 0, 0]
    sender.release()
    tools.until(lambda: [row.conflicts for row in pages.instances()] == [1])
    assert data_set_of(stored_file(collect, first)) == tools.encode(first)
    (beside,) = collect.folder.root.glob(f"{STUDY}/*/1.2.3.4~*.dcm")
    assert data_set_of(beside) == tools.encode(other)
    assert [line.event for line in pages.journal(STUDY)] == ["instance_stored", "conflict"]
    assert pages.instances()[0].header["patient_id"] == "P1"


@pytest.mark.parametrize(
    ("change", "status", "cause"),
    [
        ({"StudyInstanceUID": ""}, 0xC000, "StudyInstanceUID is missing"),
        ({"SeriesInstanceUID": "../../../etc"}, 0xC000, "SeriesInstanceUID is not a UID"),
        ({"StudyInstanceUID": "1.2/3"}, 0xC000, "StudyInstanceUID is not a UID"),
        ({"StudyInstanceUID": ".."}, 0xC000, "StudyInstanceUID is not a UID"),
        ({"SOPClassUID": CTImageStorage}, 0xA900, "SOPClassUID is not the affected SOP class"),
        ({"SOPInstanceUID": "1.2.9"}, 0xA900, "SOPInstanceUID is not the affected SOP instance"),
    ],
)
def test_what_cant_be_filed_is_refused_and_kept_apart(start, associate, pages, tools, change, status, cause) -> None:
    collect, ds = start(), tools.image(STUDY, sop="1.2.3.4")
    for keyword, value in change.items():
        setattr(ds, keyword, value)
    sender = associate(collect)
    answer = sender.store(tools.encode(ds), MRImageStorage, "1.2.3.4")
    assert (answer.Status, answer.ErrorComment) == (status, cause)
    good = tools.image(STUDY)
    assert tools.post(sender, good) == 0, "the association goes on"
    (row,) = tools.until(pages.quarantine)
    path = collect.reception.quarantine.root / row.path
    assert (row.reason, row.source, data_set_of(path)) == (cause, "dicom", tools.encode(ds))
    assert [p.name for p in collect.folder.root.parent.glob("etc*")] == []


def test_cut_and_foreign_bytes_are_refused(start, associate, pages, tools) -> None:
    collect, ds = start(), tools.image(STUDY, sop="1.2.3.4")
    sender, whole = associate(collect), tools.encode(ds)
    before = _quarantined("unreadable", "missing_uid")
    for data in (whole[:-10], whole[:60], b"\xff" * 300, b"GET / HTTP/1.1\r\n\r\n" * 20, b"\0" * 8):
        assert sender.store(data, MRImageStorage, "1.2.3.4").Status == 0xC000
    tools.until(lambda: len(pages.quarantine()) == 5)
    assert _quarantined("unreadable", "missing_uid") - before == 5
    assert tools.post(sender, ds) == 0


def _quarantined(*causes: str) -> float:
    return sum(metrics.QUARANTINED.labels("dicom", cause)._value.get() for cause in causes)


def test_an_image_without_pixels_is_stored(start, associate, pages, tools) -> None:
    ds = tools.image(STUDY)
    ds.PixelData = b""
    assert tools.post(associate(start()), ds) == 0
    (row,) = tools.until(pages.instances)
    assert row.header["has_pixel_data"] is False


def rejection(collect, **titles) -> tuple[int, ...]:
    """Result, source and reason (PS3.8 9.3.4) of the A-ASSOCIATE-RJ; by hand, since pynetdicom's requestor may take the
    close that follows it for an answer."""
    peer = Peer(collect.listener.port, [(MRImageStorage, ExplicitVRLittleEndian)], **titles)
    peer.close()
    kind, body = peer.answer
    assert kind == ASSOCIATE_RJ
    return tuple(body[1:4])


def test_an_unlisted_sender_is_rejected(start, associate) -> None:
    collect = start(calling_ae_titles=["PACS1", "CT1"])
    assert rejection(collect, calling="STRANGER") == (1, 1, 3)
    assert associate(collect, calling="CT1").assoc.is_established


def test_a_wrong_called_title_is_rejected_where_asked_for(start, associate) -> None:
    collect = start(require_called_ae_title=True)
    assert rejection(collect, called="OTHER") == (1, 1, 7)
    assert associate(collect).assoc.is_established


def test_too_many_associations_are_rejected_for_now(start, associate) -> None:
    collect = start(most_associations=2)
    assert [associate(collect).assoc.is_established for _ in range(2)] == [True, True]
    assert rejection(collect) == (2, 3, 2)


def test_no_room_rejects_associations_and_refuses_images(start, associate, tools, caplog) -> None:
    collect = start()
    sender, ds = associate(collect), tools.image(STUDY)
    collect.settings.least_free_bytes = 2**62
    answer = sender.store(tools.encode(ds), MRImageStorage, ds.SOPInstanceUID)
    assert (answer.Status, answer.ErrorComment) == (0xA700, "no room left on the storage")
    for _ in range(5):
        assert rejection(collect) == (2, 3, 2)
    collect.settings.least_free_bytes = 0
    assert tools.post(sender, ds) == 0
    assert nothing_half(collect)
    told = [record.getMessage() for record in caplog.records if record.levelname in ("WARNING", "ERROR")]
    assert [message.partition(" after ")[0].partition(" for ")[0] for message in told] == [
        "room on the store's disk away", "room on the store's disk back",
    ], "once, not at each sender that tries again"  # fmt: skip


def test_a_disk_that_refuses_is_out_of_resources(start, associate, tools, monkeypatch) -> None:
    collect, ds = start(), tools.image(STUDY)
    monkeypatch.setattr("services.collect.store.folder.os.link", _no_space)
    sender = associate(collect)
    assert tools.post(sender, ds) == 0xA700
    monkeypatch.undo()
    assert tools.post(sender, ds) == 0


def _no_space(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_private_classes_and_syntaxes_when_listed(start, associate, tools) -> None:
    private_class, private_syntax = "1.3.46.670589.5.0.1.1", "1.2.840.113619.5.99"
    wanted = [(private_class, ExplicitVRLittleEndian), (MRImageStorage, private_syntax)]
    assert associate(start(), wanted).assoc.is_rejected is False
    collect = start(private_sop_classes=[private_class], private_transfer_syntaxes=[private_syntax])
    sender = associate(collect, wanted)
    ds = tools.image(STUDY, SOPClassUID=private_class)
    assert sender.store(tools.encode(ds), private_class, ds.SOPInstanceUID).Status == 0
    ds = tools.image(STUDY)
    assert sender.store(tools.encode(ds), MRImageStorage, ds.SOPInstanceUID, private_syntax).Status == 0
    assert read_header(stored_file(collect, ds)).transfer_syntax_uid == private_syntax


def test_unknown_classes_and_syntaxes_are_rejected_one_by_one(start, associate) -> None:
    wanted = [
        ("1.2.3.4.5", ExplicitVRLittleEndian),
        (MRImageStorage, "1.2.3.4.6"),
        (MRImageStorage, ExplicitVRBigEndian),
    ]
    assoc = associate(start(), wanted).assoc
    assert {cx.result for cx in assoc.accepted_contexts} == {0}
    assert {(cx.abstract_syntax, cx.result) for cx in assoc.rejected_contexts} == {
        ("1.2.3.4.5", 3),
        (MRImageStorage, 4),
    }


def test_the_senders_first_syntax_is_taken(start) -> None:
    from pynetdicom import AE

    entity = AE()
    entity.add_requested_context(MRImageStorage, [DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian])
    assoc = entity.associate("127.0.0.1", start().listener.port)
    assert assoc.accepted_contexts[0].transfer_syntax == [DeflatedExplicitVRLittleEndian]
    assoc.release()


def test_a_stream_that_is_no_dicom_is_aborted_and_kept(start, associate, pages, tools) -> None:
    collect = start()
    request = b"GET /index.html HTTP/1.1\r\nHost: pacs\r\n\r\n"
    with socket.create_connection(("127.0.0.1", collect.listener.port), timeout=5) as peer:
        peer.sendall(request)
        assert peer.recv(64)[:1] == b"\x07"  # A-ABORT, PS3.8 9.3.8
    (row,) = tools.until(pages.quarantine)
    assert (collect.reception.quarantine.root / row.path).read_bytes() == request
    assert row.reason == "the stream is no DICOM"
    assert tools.post(associate(collect), tools.image(STUDY)) == 0


def test_a_pdu_of_four_gigabytes_is_not_waited_for(start, associate, pages, tools) -> None:
    collect = start()
    with socket.create_connection(("127.0.0.1", collect.listener.port), timeout=5) as peer:
        peer.sendall(b"\x01\x00\xff\xff\xff\xff" + bytes(1000))
        assert peer.recv(64) in (b"",) or True
    (row,) = tools.until(pages.quarantine)
    assert row.reason == "a PDU claims 4294967295 bytes"
    assert tools.post(associate(collect), tools.image(STUDY)) == 0


def test_a_port_check_holds_no_slot_and_leaves_no_trace(start, associate, pages, tools) -> None:
    collect = start(most_associations=2)
    for _ in range(6):
        socket.create_connection(("127.0.0.1", collect.listener.port), timeout=5).close()
    tools.until(lambda: not collect.listener.servers[0].active_associations, seconds=5)
    assert associate(collect).assoc.is_established
    assert pages.quarantine() == []


def test_a_connection_that_breaks_off_in_an_image_leaves_nothing(start, associate, pages, tools) -> None:
    collect, ds = start(), tools.image(STUDY, PixelData=bytes(400_000))
    sender = associate(collect)
    connection, sent = sender.assoc.dul.socket.socket, []

    def cut(data: bytes) -> None:
        sent.append(data)
        if len(sent) == 4:
            connection.shutdown(socket.SHUT_RDWR)
        elif len(sent) < 4:
            connection.sendall(data)

    sender.assoc.dul.socket.send = cut
    sender.assoc.dimse_timeout = 1
    sender.store(tools.encode(ds), MRImageStorage, ds.SOPInstanceUID)
    tools.until(lambda: not collect.listener.open.current())
    tools.until(lambda: nothing_half(collect))
    assert not stored_file(collect, ds).exists()
    assert pages.quarantine() == []


def test_a_message_without_instance_uid_aborts_its_association_only(start, associate, tools) -> None:
    collect = start()
    bad, good, ds = associate(collect), associate(collect), tools.image(STUDY)
    bad.assoc.dimse_timeout = 3
    bad.assoc.dimse.send_msg = _without_instance_uid(bad.assoc.dimse.send_msg)
    assert bad.store(tools.encode(ds), MRImageStorage, "1.2.3").get("Status") is None
    tools.until(lambda: bad.assoc.is_aborted)
    assert nothing_half(collect)
    assert tools.post(good, ds) == 0


def _without_instance_uid(send_msg):
    from pynetdicom.dimse_messages import C_STORE_RQ

    def send(primitive, context_id) -> None:
        message = C_STORE_RQ()
        message.primitive_to_message(primitive)
        del message.command_set.AffectedSOPInstanceUID
        dimse = send_msg.__self__
        for pdata in message.encode_msg(context_id, 16384):
            dimse.dul.send_pdu(pdata)

    return send


def test_durability_by_association_syncs_at_its_end(start, associate, tools, monkeypatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr("services.collect.store.folder.sync_file", lambda path: synced.append(path.name))
    collect = start(durability="association")
    sender, images = associate(collect), [tools.image(STUDY) for _ in range(3)]
    assert [tools.post(sender, ds) for ds in images] == [0, 0, 0]
    assert synced == []
    sender.release()
    tools.until(lambda: sorted(synced) == sorted(f"{ds.SOPInstanceUID}.dcm" for ds in images))


def test_an_image_that_is_sent_again_after_its_sync_failed_is_synced_then(start, associate, tools, monkeypatch) -> None:
    synced: list[str] = []
    refuses = [OSError(5, "Input/output error")]

    def sync(path: Path) -> None:
        if refuses:
            raise refuses.pop()
        synced.append(path.name)

    monkeypatch.setattr("services.collect.store.folder.sync_file", sync)
    collect, ds = start(durability="association"), tools.image(STUDY)
    first = associate(collect)
    assert tools.post(first, ds) == 0
    first.release()
    tools.until(lambda: not refuses)
    again = associate(collect)
    assert tools.post(again, ds) == 0
    again.release()
    tools.until(lambda: synced == [f"{ds.SOPInstanceUID}.dcm"])


def test_header_errors_are_one_kind() -> None:
    with pytest.raises(UnreadableInstance):
        read_header(Path(__file__))


def test_stray_bytes_do_not_take_the_last_room(start, pages, tools) -> None:
    """Below the watermark their reason is counted, and nothing is written."""
    before = _quarantined("no_dicom")
    for least, kept in ((2**60, 0), (0, 1)):
        collect = start(least_free_bytes=least)
        with socket.create_connection(("127.0.0.1", collect.listener.port)) as stray:
            stray.sendall(b"GET / HTTP/1.1\r\n\r\n" + b"x" * 100)
            stray.settimeout(10)
            with contextlib.suppress(ConnectionError):
                stray.recv(64)
        before += 1
        tools.until(lambda: _quarantined("no_dicom") == before)  # noqa: B023
        root = collect.reception.quarantine.root
        tools.until(lambda: len(list(root.rglob("*.bin"))) == kept)  # noqa: B023
