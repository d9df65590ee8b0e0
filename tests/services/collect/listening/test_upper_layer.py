"""Data transfer, byte by byte: what is right in any cut is stored whole, what is wrong aborts its association only."""

import os
import resource
import select
import socket
import struct
import time

import pytest
from pydicom.uid import MRImageStorage
from pynetdicom.pdu import A_ASSOCIATE_AC

from tests.dicom_peer import (
    ABORT,
    ASSOCIATE_AC,
    COMMAND,
    EXPLICIT,
    LAST,
    RELEASE_RP,
    Peer,
    command_set,
    echo_command,
    item,
    pdu,
    pieces,
    store_command,
    store_message,
)

STUDY = "1.2.826.7"
MR = [(MRImageStorage, EXPLICIT)]
VERIFICATION = ("1.2.840.10008.1.1", EXPLICIT)


@pytest.fixture
def collect(start):
    return start()


@pytest.fixture
def peer(collect):
    peers = []

    def begin(contexts=MR, to=None, **kwargs):
        peers.append(Peer((to or collect).listener.port, contexts, **kwargs))
        return peers[-1]

    yield begin
    for one in peers:
        one.close()


@pytest.fixture
def image(tools):
    """An image, its bytes, and whether these lie in the store."""

    def make(**more):
        ds = tools.image(STUDY, PixelData=os.urandom(3000), **more)
        return ds, tools.encode(ds)

    return make


def lies_in(collect, ds, data: bytes) -> bool:
    path = collect.folder.root / ds.StudyInstanceUID / ds.SeriesInstanceUID / f"{ds.SOPInstanceUID}.dcm"
    return path.exists() and path.read_bytes()[128:132] == b"DICM" and path.read_bytes().endswith(data)


def nothing_half(collect) -> bool:
    return not [p for p in collect.folder.incoming.rglob("*") if p.is_file()]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 64, 255, 1000, 4096])
def test_fragments_of_any_size(collect, peer, image, size) -> None:
    sender, (ds, data) = peer(), image()
    command = pieces(COMMAND, store_command(MRImageStorage, ds.SOPInstanceUID), size)
    sender.send(b"".join(pdu(piece) for piece in command + pieces(0, data, size)))
    assert sender.status() == 0
    assert lies_in(collect, ds, data)


@pytest.mark.parametrize("size", [1, 6, 50, 5000])
def test_several_items_in_a_pdu(collect, peer, image, size) -> None:
    sender, (ds, data) = peer(), image()
    command = item(COMMAND | LAST, store_command(MRImageStorage, ds.SOPInstanceUID))
    sender.send(pdu(command, *pieces(0, data, size)))
    assert sender.status() == 0
    assert lies_in(collect, ds, data)


@pytest.mark.parametrize("segment", [1, 5, 7, 1000])
def test_the_network_cuts_where_it_likes(collect, peer, image, segment) -> None:
    sender, (ds, data) = peer(), image()
    message = store_message(MRImageStorage, ds.SOPInstanceUID, data, size=900)
    for at in range(0, len(message), segment):
        sender.send(message[at : at + segment])
    assert sender.status() == 0
    assert lies_in(collect, ds, data)


def test_items_without_bytes_and_a_last_one_without_bytes(collect, peer, image) -> None:
    sender, (ds, data) = peer(), image()
    command = item(COMMAND | LAST, store_command(MRImageStorage, ds.SOPInstanceUID))
    sender.send(pdu(item(COMMAND, b""), command) + pdu(item(0, b"")) + pdu(item(0, data)) + pdu(item(LAST, b"")))
    assert sender.status() == 0
    assert lies_in(collect, ds, data)


def test_a_pdu_somewhat_longer_than_offered_is_taken(start, peer, image) -> None:
    collect = start(maximum_pdu_bytes=16384)
    ds, data = image()
    data = data.replace(b"", b"", 0)
    sender = peer(to=collect)
    sender.send(store_message(MRImageStorage, ds.SOPInstanceUID, data, size=10**6))
    assert sender.status() == 0
    assert lies_in(collect, ds, data)


def test_messages_that_come_before_their_turn_are_answered_in_order(collect, peer, image) -> None:
    """C-ECHO between C-STOREs and a C-CANCEL, all in one segment."""
    sender, some = peer([*MR, VERIFICATION]), [image() for _ in range(4)]
    cancel = command_set({0x0100: b"\xff\x0f", 0x0120: b"\x01\x00", 0x0800: b"\x01\x01"})
    stream = b""
    for number, (ds, data) in enumerate(some):
        stream += store_message(MRImageStorage, ds.SOPInstanceUID, data, message_id=number)
        stream += pdu(item(COMMAND | LAST, cancel))
        stream += pdu(item(COMMAND | LAST, echo_command(100 + number), context_id=3))
    sender.send(stream)
    answers = [sender.response() for _ in range(8)]
    assert [(a[0x0100], struct.unpack("<H", a[0x0120])[0], a[0x0900]) for a in answers] == [
        answer for n in range(4) for answer in ((b"\x01\x80", n, b"\0\0"), (b"\x30\x80", 100 + n, b"\0\0"))
    ]
    assert all(lies_in(collect, ds, data) for ds, data in some)
    assert sender.release() == RELEASE_RP


def test_a_response_names_what_it_answers(peer, image) -> None:
    sender, (ds, data) = peer(), image()
    sender.send(store_message(MRImageStorage, ds.SOPInstanceUID, data, message_id=65535))
    answer = sender.response()
    assert answer[0x0002].rstrip(b"\0").decode() == MRImageStorage
    assert answer[0x1000].rstrip(b"\0").decode() == ds.SOPInstanceUID
    assert (answer[0x0120], answer[0x0800]) == (b"\xff\xff", b"\x01\x01")


@pytest.mark.parametrize(
    "wrong",
    [
        pdu(item(0, b"data")),
        pdu(item(LAST, b"")),
        pdu(struct.pack(">LBB", 500, 1, 3) + b"short"),
        pdu(struct.pack(">LBB", 1, 1, 3)),
        pdu(struct.pack(">LBB", 2**32 - 1, 1, 3) + bytes(50)),
        pdu(b"\0\0"),
        pdu(item(COMMAND | LAST, b"\0\0\0\0\4")),
        pdu(item(COMMAND | LAST, store_command(MRImageStorage, "1.2", x1000=None))),
        pdu(item(COMMAND | LAST, store_command(MRImageStorage, "1.2", x0110=None))),
        pdu(item(COMMAND | LAST, store_command(MRImageStorage, "1.2", x0002=b"\xff\xfe"))),
        pdu(item(COMMAND | LAST, store_command(MRImageStorage, "1.2"), context_id=9)),
        pdu(item(COMMAND | LAST, store_command(MRImageStorage, "1.2")), item(COMMAND | LAST, echo_command())),
        pdu(item(COMMAND | LAST, store_command(MRImageStorage, "1.2")), item(LAST, b"12", context_id=3)),
        pdu(*[item(COMMAND, bytes(16000))] * 5),
    ],
)  # fmt: skip
def test_what_breaks_the_protocol_aborts_its_association_only(collect, peer, image, tools, wrong) -> None:
    bystander, breaker = peer(), peer([*MR, VERIFICATION])
    breaker.send(wrong)
    assert breaker.receive()[0] == ABORT
    tools.until(lambda: len(collect.listener.open.current()) == 1)
    assert nothing_half(collect)
    ds, data = image()
    bystander.send(store_message(MRImageStorage, ds.SOPInstanceUID, data))
    assert bystander.status() == 0


@pytest.mark.parametrize("ending", ["abort", "close", "reset"])
def test_an_end_in_the_middle_of_a_data_set_leaves_nothing(collect, peer, image, tools, ending) -> None:
    sender, (ds, data) = peer(), image()
    sender.send(store_message(MRImageStorage, ds.SOPInstanceUID, data)[:-500])
    tools.until(lambda: not nothing_half(collect))
    if ending == "abort":
        sender.send(pdu(b"\0\0\0\0", kind=ABORT))
    elif ending == "reset":
        sender.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sender.close()
    tools.until(lambda: not collect.listener.open.current())
    tools.until(lambda: nothing_half(collect))
    assert not lies_in(collect, ds, data)


def test_an_asynchronous_operations_window_is_refused(peer) -> None:
    kind, body = peer(window=8).answer
    assert kind == ASSOCIATE_AC
    accepted = A_ASSOCIATE_AC()
    accepted.decode(struct.pack(">BBL", kind, 0, len(body)) + body)
    windows = [i for i in accepted.user_information.user_data if i.item_type == 0x53]
    assert [(w.maximum_number_operations_invoked, w.maximum_number_operations_performed) for w in windows] in (
        [],
        [(1, 1)],
    )


def test_a_slow_sender_does_not_hold_its_place(collect, peer, image, monkeypatch) -> None:
    monkeypatch.setattr("services.collect.listening.transfer._PACE_SECONDS", 0.4)
    sender, (ds, data) = peer(), image()
    sender.send(store_message(MRImageStorage, ds.SOPInstanceUID, data)[:600])
    began = time.monotonic()
    sender.socket.settimeout(0.05)
    kind = None
    while kind is None and time.monotonic() - began < 10:
        try:
            kind = sender.receive()[0]
        except TimeoutError:
            sender.send(b"\0")
    assert kind == ABORT
    assert nothing_half(collect)


def test_a_slow_association_request_does_not_hold_its_place(start, tools) -> None:
    collect = start(acse_timeout_seconds=0.5)
    with socket.create_connection(("127.0.0.1", collect.listener.port), timeout=10) as connection:
        connection.sendall(b"\x01\x00\x00\x00\x01\x00")
        began = time.monotonic()
        while time.monotonic() - began < 10:
            try:
                connection.sendall(b"\0")
            except OSError:
                break
            time.sleep(0.1)
    tools.until(lambda: not collect.listener.servers[0].active_associations, seconds=8)


def test_an_instance_that_is_too_large_is_refused_and_the_association_goes_on(start, peer, image, tools) -> None:
    collect = start(most_instance_bytes=2**20)
    sender, (ds, data) = peer(to=collect), image()
    sender.send(store_message(MRImageStorage, ds.SOPInstanceUID, data + bytes(2**20)))
    answer = sender.response()
    assert answer[0x0900] == b"\x00\xa7"
    assert answer[0x0902].strip() == b"the instance is larger than is taken"
    assert nothing_half(collect)
    sender.send(store_message(MRImageStorage, ds.SOPInstanceUID, data))
    assert sender.status() == 0
    assert lies_in(collect, ds, data)


def test_an_instance_without_end_is_aborted(start, peer, image, tools) -> None:
    collect = start(most_instance_bytes=2**20)
    sender, (ds, _) = peer(to=collect), image()
    sender.send(pdu(item(COMMAND | LAST, store_command(MRImageStorage, ds.SOPInstanceUID))))
    chunk = pdu(item(0, bytes(120_000)))
    sent = 0
    while not select.select([sender.socket], [], [], 0)[0]:
        sender.send(chunk)
        sent += len(chunk)
        assert sent < 2**27
    assert sender.receive()[0] == ABORT
    assert nothing_half(collect)


def test_a_disk_that_fills_in_the_middle_is_answered_out_of_resources(collect, peer, image, monkeypatch) -> None:
    sender, (ds, data) = peer(), image()
    data = data + bytes(10)
    real, calls = os.writev, []

    def fills_up(descriptor: int, buffers: list) -> int:
        calls.append(descriptor)
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        return real(descriptor, buffers)

    monkeypatch.setattr("services.collect.listening.incoming.os.writev", fills_up)
    message = store_message(MRImageStorage, ds.SOPInstanceUID, data, size=300)
    for at in range(0, len(message), 400):
        sender.send(message[at : at + 400])
        time.sleep(0.005)
    answer = sender.response()
    assert answer[0x0900] == b"\x00\xa7"
    assert len(calls) == 2, "the rest of the data set is not written"
    monkeypatch.undo()
    assert nothing_half(collect)
    ds, data = image()
    sender.send(store_message(MRImageStorage, ds.SOPInstanceUID, data))
    assert sender.status() == 0


def test_memory_does_not_grow_with_the_instance(collect, peer, image, tools) -> None:
    """An instance of 192 MiB comes in as it is made; nothing holds it."""
    sender, (ds, _) = peer(), image()
    del ds.PixelData
    size, chunk = 192 * 2**20, bytes(2**17)
    header = tools.encode(ds) + struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OW", 0, size)
    sender.send(pdu(item(COMMAND | LAST, store_command(MRImageStorage, ds.SOPInstanceUID))) + pdu(item(0, header)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for left in range(size, 0, -len(chunk)):
        sender.send(pdu(item(LAST if left == len(chunk) else 0, chunk)))
    assert sender.status() == 0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 * 1024
    (stored,) = collect.folder.root.glob(f"{STUDY}/*/*.dcm")
    assert stored.stat().st_size > size
    stored.unlink()


def test_no_storage_class_is_no_storage(collect, peer) -> None:
    sender = peer([*MR, VERIFICATION])
    sender.send(store_message("1.2.840.10008.1.1", "1.2.3", b"12345678"))
    assert sender.status() == 0x0122
    assert nothing_half(collect)


def test_many_contexts(collect, peer, image) -> None:
    sender, (ds, data) = peer([(f"1.2.840.10008.5.1.4.1.1.{n}", EXPLICIT) for n in range(127)] + MR), image()
    command = item(COMMAND | LAST, store_command(MRImageStorage, ds.SOPInstanceUID), context_id=255)
    sender.send(pdu(command, item(LAST, data, context_id=255)))
    assert sender.status() == 0
    assert lies_in(collect, ds, data)


def test_a_released_association_is_durable(start, peer, image, monkeypatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(
        "services.collect.store.folder.sync_file", lambda path: (time.sleep(0.2), synced.append(path.name))
    )
    collect = start(durability="association")
    sender, (ds, data) = peer(to=collect), image()
    sender.send(store_message(MRImageStorage, ds.SOPInstanceUID, data))
    assert (sender.status(), synced) == (0, [])
    assert sender.release() == RELEASE_RP
    assert synced == [f"{ds.SOPInstanceUID}.dcm"]


def test_a_release_after_what_cant_be_made_durable_is_an_abort(start, peer, image, monkeypatch) -> None:
    def refuses(_path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("services.collect.store.folder.sync_file", refuses)
    sender, (ds, data) = peer(to=start(durability="association")), image()
    sender.send(store_message(MRImageStorage, ds.SOPInstanceUID, data))
    assert sender.status() == 0
    assert sender.release() == ABORT


def test_short_associations_leave_no_thread_and_no_descriptor(collect, peer, image, tools) -> None:
    def one() -> None:
        sender, (ds, data) = peer(), image()
        sender.send(store_message(MRImageStorage, ds.SOPInstanceUID, data))
        assert sender.status() == 0
        assert sender.release() == RELEASE_RP
        sender.close()

    one()
    tools.until(lambda: not collect.listener.servers[0].active_associations)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(60):
        one()
    tools.until(lambda: not collect.listener.servers[0].active_associations)
    tools.until(lambda: len(os.listdir("/proc/self/fd")) <= before + 12)  # the database's pool may have grown
