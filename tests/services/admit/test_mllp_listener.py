"""admit on the wire: real sockets, a real book; each peer gets its answer whatever the others do."""

import asyncio
import os
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import select

from services.admit.desk import Desk
from services.admit.mllp_listener import listener
from services.admit.quarantine import Hl7Quarantine
from services.admit.settings import Settings
from shared.hl7.acknowledgement import Acknowledgement, read_acknowledgement
from shared.hl7.mllp import Decoder, frame, send_message
from shared.store import Book, Order, Quarantine


class Admit:
    """admit, listening in this process."""

    def __init__(self, book: Book, folder: Path, settings: Settings) -> None:
        self.book, self.folder = book, folder
        self.desk = Desk(book, Hl7Quarantine(book, folder), settings)
        self._loop = asyncio.new_event_loop()
        self._server = listener(self.desk, settings)
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.port = asyncio.run_coroutine_threadsafe(self._server.start("127.0.0.1", 0), self._loop).result(10)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._server.stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def send(self, content: bytes) -> Acknowledgement:
        return read_acknowledgement(send_message("127.0.0.1", self.port, content, 20))

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def orders(self) -> list[Order]:
        with self.book.read() as session:
            return list(session.exec(select(Order).order_by(Order.accession_number)))

    def quarantine(self) -> list[Quarantine]:
        with self.book.read() as session:
            return list(session.exec(select(Quarantine).order_by(Quarantine.id)))


SETTINGS = Settings(most_bytes=50_000, most_connections=4, idle_seconds=3, frame_seconds=1)


@pytest.fixture
def admit(book: Book, tmp_path: Path) -> Iterator[Admit]:
    admit = Admit(book, tmp_path / "quarantine", SETTINGS)
    yield admit
    admit.stop()


def orm(control_id: str = "ID1", accession: str = "ACC1", control: str = "NW", **more: str) -> bytes:
    charset, name, orc = more.get("charset", ""), more.get("name", "Doe^Jane"), more.get("orc", "")
    text = (
        f"MSH|^~\\&|RIS|HOSP|ISO|HOSP|20260101||ORM^O01^ORM_O01|{control_id}|P|2.5.1||||||{charset}\r"
        f"PID|1||123^^^HOSP^MR||{name}||19700101|F\rORC|{control}|P{accession}|F{accession}||{orc}\r"
    )
    if more.get("obr", "yes") == "yes":
        text += f"OBR|1|P{accession}|F{accession}|{more.get('procedure', 'CT^CT Head^L')}||||||||||||||{accession}\r"
    return text.encode(more.get("codec", "utf-8"))


def answers(connection: socket.socket, count: int) -> list[Acknowledgement]:
    decoder, got = Decoder(), []
    while len(got) < count:
        data = connection.recv(65536)
        assert data, f"closed after {len(got)} answers"
        got += [read_acknowledgement(f.content) for f in decoder.feed(data)]
    return got


def closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def test_an_order_is_committed_when_it_is_answered(admit: Admit) -> None:
    answer = admit.send(orm(control_id="ÄB^1"))
    assert (answer.code, answer.text) == ("AA", "")
    assert [o.accession_number for o in admit.orders()] == ["ACC1"]
    assert admit.quarantine() == []


def test_msa_2_is_their_msh_10(admit: Admit) -> None:
    assert admit.send(orm(control_id="20260101.A-7")).control_id == "20260101.A-7"


def test_the_same_message_again_is_accepted_and_changes_nothing(admit: Admit) -> None:
    assert admit.send(orm()).code == "AA"
    (before,) = admit.orders()
    assert admit.send(orm()).code == "AA"
    assert admit.orders() == [before]


def test_a_change_is_written_and_what_it_does_not_speak_of_stays(admit: Admit) -> None:
    admit.send(orm() + b"ZDS|1.2.3^^Application^DICOM\r")
    admit.send(orm(control_id="ID2", control="XO", procedure="MR^MR Brain^L"))
    (order,) = admit.orders()
    assert (order.order_control, order.requested_procedure) == ("XO", "MR^MR Brain^L")
    assert order.study_instance_uid == "1.2.3"


def test_a_cancellation_by_order_number_marks_the_order_and_a_status_leaves_the_mark(admit: Admit) -> None:
    admit.send(orm())
    assert admit.send(orm(control_id="ID2", control="CA", obr="no")).code == "AA"
    (order,) = admit.orders()
    assert (order.accession_number, order.order_control) == ("ACC1", "CA")
    assert order.requested_procedure == "CT^CT Head^L"
    admit.send(orm(control_id="ID3", control="SC", orc="IP"))
    assert admit.orders()[0].order_control == "CA"
    admit.send(orm(control_id="ID4"))
    assert admit.orders()[0].order_control == "NW"


def test_the_same_number_of_another_patient_is_another_order(admit: Admit) -> None:
    admit.send(orm())
    admit.send(orm(control_id="ID2", control="CA", obr="no").replace(b"123^^^", b"456^^^"))
    assert [(o.patient_id, o.order_control) for o in admit.orders()] == [("123", "NW"), ("456", "CA")]


def test_names_in_other_character_sets_are_kept(admit: Admit) -> None:
    assert admit.send(orm(accession="A", charset="8859/1", codec="latin-1", name="Zörb^Renée")).code == "AA"
    assert admit.send(orm(accession="B", charset="~ISO IR87", codec="iso2022_jp", name="山田^太郎")).code == "AA"
    assert [o.segments["PID"].split("|")[5] for o in admit.orders()] == ["Zörb^Renée", "山田^太郎"]


def test_many_messages_on_one_connection_are_answered_in_order(admit: Admit) -> None:
    with admit.connect() as connection:
        for n in range(3):
            connection.sendall(frame(orm(control_id=f"ID{n}", accession=f"A{n}")))
            assert answers(connection, 1)[0].control_id == f"ID{n}"
        connection.sendall(b"".join(frame(orm(control_id=f"P{n}", accession=f"B{n}")) for n in range(5)))
        assert [a.control_id for a in answers(connection, 5)] == [f"P{n}" for n in range(5)]
    assert len(admit.orders()) == 8


@pytest.mark.parametrize(
    ("content", "code", "control_id"),
    [
        (orm(control_id=""), "AE", ""),
        (b"PID|1||2\r", "AE", ""),
        (b"", "AE", ""),
        (b"\x00\xff\xfe" * 50, "AE", ""),
        (orm().replace(b"|2.5.1|", b"|2.9|"), "AR", "ID1"),
        (orm().replace(b"ORM^O01^ORM_O01", b"ADT^A08^ADT_A01"), "AR", "ID1"),
        (orm(charset="UNICODE UTF-8", name="Zörb", codec="latin-1"), "AE", "ID1"),
        (orm() + orm(), "AE", "ID1"),
    ],
)
def test_what_can_not_be_used_is_answered_kept_and_counted(
    admit: Admit, content: bytes, code: str, control_id: str
) -> None:
    with admit.connect() as connection:
        connection.sendall(frame(content) + frame(content) + frame(orm(control_id="NEXT")))
        first, again, good = answers(connection, 3)
    assert (first.code, first.control_id) == (again.code, again.control_id) == (code, control_id)
    assert first.text
    assert (good.code, good.control_id) == ("AA", "NEXT")
    (row,) = admit.quarantine()
    assert (row.source, row.peer, row.size) == ("hl7", "127.0.0.1", len(content))
    assert row.reason.startswith(first.text[:60])
    if content:
        assert (admit.folder / row.path).read_bytes() == content
    assert len(admit.orders()) == 1


def test_an_oversize_message_is_answered_and_the_connection_goes_on(admit: Admit) -> None:
    with admit.connect() as connection:
        connection.sendall(frame(orm(control_id="BIG") + b"OBX|1|ED|" + b"x" * 3_000_000 + b"\r"))
        connection.sendall(frame(orm(control_id="NEXT")))
        first, second = answers(connection, 2)
    assert (first.code, first.control_id) == ("AE", "BIG")
    assert "50000 bytes" in first.text
    assert (second.code, second.control_id) == ("AA", "NEXT")
    assert admit.quarantine()[0].size == 4096


def test_bytes_without_a_frame_are_answered_and_the_connection_closed(admit: Admit) -> None:
    with admit.connect() as connection:
        connection.sendall(orm())
        (answer,) = answers(connection, 1)
        assert (answer.code, answer.control_id) == ("AE", "ID1")
        assert "outside a frame" in answer.text
        assert closed(connection)
    assert admit.orders() == []
    assert (admit.folder / admit.quarantine()[0].path).read_bytes() == orm().strip(b"\r\n")


def test_a_peer_that_dies_inside_a_frame_disturbs_nobody_and_its_bytes_are_kept(admit: Admit) -> None:
    with admit.connect() as connection:
        connection.sendall(frame(orm())[:100])
    assert admit.send(orm(control_id="NEXT")).code == "AA"
    deadline = time.monotonic() + 5
    while not admit.quarantine() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "ended inside a frame" in admit.quarantine()[0].reason
    assert len(admit.orders()) == 1


def test_slow_and_idle_peers_are_let_go(admit: Admit) -> None:
    with admit.connect() as slow, admit.connect() as idle:
        started = time.monotonic()
        slow.sendall(b"\x0bMSH|")
        assert admit.send(orm()).code == "AA"
        assert closed(slow)
        assert time.monotonic() - started < 20
        assert closed(idle)
        assert time.monotonic() - started < 30


def test_a_slow_peer_that_keeps_dripping_is_let_go(admit: Admit) -> None:
    with admit.connect() as slow:
        started = time.monotonic()
        with pytest.raises(OSError):  # noqa: PT011 - reset or broken pipe, as the kernel likes
            while time.monotonic() - started < 30:
                slow.sendall(b"\x0b" if time.monotonic() - started < 0.05 else b"x")
                time.sleep(0.1)
        assert time.monotonic() - started < 20


def test_more_connections_than_the_bound_are_closed_at_the_door(admit: Admit) -> None:
    open_ones = [admit.connect() for _ in range(4)]
    time.sleep(0.2)
    with admit.connect() as fifth:
        assert closed(fifth)
    for connection in open_ones:
        connection.close()
    time.sleep(0.2)
    assert admit.send(orm()).code == "AA"


def test_senders_at_once_write_one_order(admit: Admit) -> None:
    got: list[str] = []

    def one(n: int) -> None:
        got.append(admit.send(orm(control_id=f"ID{n}")).code)

    threads = [threading.Thread(target=one, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert got == ["AA"] * 4
    assert len(admit.orders()) == 1


def test_with_the_book_away_the_sender_is_asked_to_repeat(admit: Admit, monkeypatch: pytest.MonkeyPatch) -> None:
    from sqlalchemy.exc import OperationalError

    def away() -> None:
        raise OperationalError("", {}, Exception("away"))

    with monkeypatch.context() as patch:
        patch.setattr(admit.book, "write", away)
        answer = admit.send(orm())
    assert (answer.code, answer.control_id) == ("AR", "ID1")
    assert "again later" in answer.text
    assert admit.send(orm()).code == "AA"
    assert admit.quarantine() == []


@pytest.mark.bench
def test_every_real_file_gets_its_answer(admit: Admit, bench: Path) -> None:
    files = [f for f in sorted((bench / "data" / "hl7").glob("*/*")) if f.is_file()]
    assert len(files) > 60
    accepted = set()
    for file in files:
        content = file.read_bytes()
        answer = admit.send(content)
        if answer.code == "AA":
            accepted.add(file.name)
        else:
            assert answer.code in ("AE", "AR")
            assert answer.text, file.name
        expected = content.split(b"\r")[0].split(b"\n")[0].split(b"|")
        if (
            len(expected) > 9
            and expected[0].endswith(b"MSH")
            and len(expected[1]) in (4, 5)
            and b"\\\\" not in expected[1]
        ):
            assert answer.control_id.encode() == expected[9], file.name
    assert accepted == {
        "orm-o01.hl7", "orm-o01__visage.hl7", "OMI_O23-ImagingOrder.hl7", "ORM-O01-01.hl7", "ORM-O01-02.hl7",
        "ORM-O01-03.hl7", "Sample-ORM.txt", "Sample-Orm.txt",
    }  # fmt: skip
    assert len({row.path for row in admit.quarantine() if row.path}) >= len(files) - 12


HOSPITAL = Path(os.environ.get("HOSPITAL_HOME", Path(tempfile.gettempdir()) / "hospital"))


@pytest.mark.hospital
@pytest.mark.parametrize("sender", ["node", "medplum", "mllp_send"])
def test_independent_senders_are_answered(admit: Admit, tmp_path: Path, sender: str) -> None:
    if not (HOSPITAL / "hl7" / "node_modules").is_dir():
        pytest.skip("the bench's hospital is not set up: hospital setup")
    script, file = HOSPITAL / "hl7" / f"send_{sender}.cjs", tmp_path / "order.hl7"
    command = ["node", str(script), str(admit.port), str(file)]
    if sender == "mllp_send":
        send = HOSPITAL / "venv" / "bin" / "mllp_send"
        command = [str(send), "-p", str(admit.port), "--loose", "-f", str(file), "127.0.0.1"]
    for control_id, processing, accepted in (("GOOD", "P", True), ("BAD", "T", False)):
        file.write_bytes(orm(control_id=control_id).replace(b"|P|2.5.1", f"|{processing}|2.5.1".encode()))
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False,
            env={**os.environ, "NODE_PATH": str(HOSPITAL / "hl7" / "node_modules")},
        )  # fmt: skip
        said = done.stdout + done.stderr
        assert control_id in said, said
        assert ("AA" in said) == accepted, said
        assert ("AR" in said) == (not accepted), said
    assert [o.message_control_id for o in admit.orders()] == ["GOOD"]


def test_what_no_database_can_store_is_refused_and_not_asked_for_again(book: Book, tmp_path: Path) -> None:
    """PostgreSQL takes no NUL in a text. Told to send it again later, a RIS does so for ever, and nothing behind it."""
    admit = Admit(book, tmp_path / "quarantine", SETTINGS)
    try:
        answer = admit.send(orm(accession="AC\0C1"))
        if book.url.startswith("sqlite"):
            assert answer.code == "AA"
        else:
            assert (answer.code, "later" in answer.text) == ("AE", False)
            assert len(admit.quarantine()) == 1
        assert admit.send(orm("ID2", "ACC2")).code == "AA"
    finally:
        admit.stop()
