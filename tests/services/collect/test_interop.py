"""What independent senders send to the real collect is stored as it came over the wire, byte for byte."""

import itertools
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest
from sqlmodel import select

from shared.dicom.header import read_header
from shared.store import Duplicate, Instance
from tests.collecting import CollectProcess
from tests.recording import Recorder, SentInstance
from tests.services.collect import senders

pytestmark = [pytest.mark.bench, pytest.mark.filterwarnings("ignore::UserWarning:pydicom")]
Send = Callable[[int, list[Path]], None]


@pytest.fixture
def collecting(tmp_path: Path) -> Iterator[CollectProcess]:
    process = CollectProcess(tmp_path)
    process.start()
    yield process
    process.stop()


@contextmanager
def recorder(collecting: CollectProcess, cut_after: Iterator[int | None] | None = None) -> Iterator[Recorder]:
    recording = Recorder(collecting.port, cut_after)
    try:
        yield recording
    finally:
        recording.close()


@pytest.fixture
def files(dicom_bench: Path) -> list[Path]:
    return sorted(path for path in dicom_bench.rglob("*") if path.is_file())


@pytest.fixture
def send_by_pynetdicom(sender_to) -> Send:
    """Each file's bytes as they are: with them go syntaxes that no other sender knows, and errors."""

    def send(port: int, files: list[Path]) -> None:
        some = list(senders.readable(files))
        for start in range(0, len(some), 60):  # at most 128 contexts an association
            batch = some[start : start + 60]
            sender = sender_to(port, [(header.sop_class_uid, header.transfer_syntax_uid) for _, header in batch])
            accepted = {str(context.abstract_syntax) for context in sender.assoc.accepted_contexts}
            for file, header in (one for one in batch if one[1].sop_class_uid in accepted):
                data = file.read_bytes()[header.data_set_offset :]
                sender.store(data, header.sop_class_uid, header.sop_instance_uid, header.transfer_syntax_uid)
            sender.release()

    return send


def stored_as_sent(collecting: CollectProcess, sent: list[SentInstance]) -> list[SentInstance]:
    """Holds the store against the wire: what was acknowledged is there with its bytes and transfer syntax, nothing else
    is, and the index knows each file. Returns what was acknowledged."""
    acknowledged = [one for one in sent if one.status == 0]
    whole = {_key(one.data_set, one) for one in sent if one.data_set is not None}
    collecting.stop()  # every association has ended; the rows are written
    found = dict(_stored(collecting.store))
    assert {_key(one.data_set, one) for one in acknowledged} <= set(found)
    assert set(found) <= whole
    assert not [path for path in (collecting.store / ".incoming").rglob("*") if path.is_file()]
    with collecting.book() as book, book.read() as session:
        paths = {*session.exec(select(Instance.path)), *session.exec(select(Duplicate.path))}
    assert paths == {path.relative_to(collecting.store).as_posix() for path in found.values()}
    assert "Traceback" not in collecting.log()
    return acknowledged


def _key(data_set: bytes | None, one: SentInstance) -> tuple[str, str, str]:
    assert data_set is not None, "acknowledged before it had come whole"
    return one.sop_instance_uid, one.transfer_syntax_uid, sha256(data_set).hexdigest()


def _stored(store: Path) -> Iterator[tuple[tuple[str, str, str], Path]]:
    for path in store.glob("[0-9]*/*/*.dcm"):
        header, data = read_header(path), path.read_bytes()
        digest = sha256(memoryview(data)[header.data_set_offset :]).hexdigest()
        yield (header.sop_instance_uid, header.transfer_syntax_uid, digest), path


def send_all(collecting: CollectProcess, send: Send, files: list[Path]) -> list[SentInstance]:
    with recorder(collecting) as recording:
        send(recording.port, files)
    return stored_as_sent(collecting, recording.instances())


def syntaxes(instances: list[SentInstance]) -> set[str]:
    return {one.transfer_syntax_uid for one in instances}


def test_dcmtk(collecting, files) -> None:
    acknowledged = send_all(collecting, senders.storescu, files)
    assert len(acknowledged) > 440
    assert len(syntaxes(acknowledged)) >= 11


def test_pynetdicom(collecting, files, send_by_pynetdicom) -> None:
    """What it sends is what lies in the files: so the store is held against the files too."""
    acknowledged = send_all(collecting, send_by_pynetdicom, files)
    assert len(acknowledged) > 450
    assert len(syntaxes(acknowledged)) >= 12
    of_files = {
        (header.sop_instance_uid, header.transfer_syntax_uid, _digest(file, header.data_set_offset))
        for file, header in senders.readable(files)
    }
    assert {key for key, _ in _stored(collecting.store)} <= of_files


def _digest(file: Path, offset: int) -> str:
    return sha256(file.read_bytes()[offset:]).hexdigest()


def test_orthanc_as_a_modality(collecting, files, tmp_path) -> None:
    (tmp_path / "orthanc").mkdir()
    acknowledged = send_all(collecting, lambda port, some: senders.orthanc(port, some, tmp_path / "orthanc"), files)
    assert len(acknowledged) > 440
    assert len(syntaxes(acknowledged)) >= 10


def test_gdcm(collecting, files) -> None:
    acknowledged = send_all(collecting, senders.gdcmscu, files[::12])
    assert len(acknowledged) > 30
    assert len(syntaxes(acknowledged)) >= 3


def test_pixelmed(collecting, files) -> None:
    acknowledged = send_all(collecting, senders.pixelmed, files[::4])
    assert len(acknowledged) > 70
    assert len(syntaxes(acknowledged)) >= 2


def test_dcmjs(collecting, dicom_bench) -> None:
    plain = sorted((dicom_bench / "series/mr_brain_t1_philips_elition").iterdir())[::12]
    acknowledged = send_all(collecting, senders.dcmjs, plain)
    assert len(acknowledged) == len(plain) > 10


def test_eight_at_once_and_half_of_them_cut_off(collecting, files) -> None:
    """What was answered with success is there; of what was cut off nothing is."""
    rng = random.Random(4)
    groups = [files[n::8] for n in range(8)]
    cut_after = (rng.randrange(1, 2_000_000) if rng.random() < 0.5 else None for _ in itertools.count())
    with recorder(collecting, cut_after) as recording:
        threads = [threading.Thread(target=senders.storescu, args=(recording.port, group)) for group in groups]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    sent = recording.instances()
    assert any(one.data_set is None for one in sent), "nothing was cut in the middle"
    assert len(stored_as_sent(collecting, sent)) > 100
