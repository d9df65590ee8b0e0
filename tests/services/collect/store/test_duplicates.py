"""Other bytes under a known SOP Instance UID, by each policy: live, after a crash, and in whatever order rows come."""

import os
import threading
from datetime import UTC, datetime, timedelta
from io import BytesIO

import pytest
from pydicom import dcmread
from sqlmodel import select

from services.collect.handlers import is_beside, place, place_beside
from services.collect.store.folder import Kept, StoreFolder, data_set_digest
from services.collect.store.index import write_rows
from services.collect.store.reconcile import reconcile
from shared.dicom.header import read_header
from shared.digest import algorithm_of
from shared.own_results import MANUFACTURER
from shared.store import Duplicate, Instance, Run, Study
from shared.store.moves import move
from shared.store.views import study_detail
from shared.study import StudyEvent

STUDY = "1.2.3"
ROUND = (StudyEvent.COMPLETED, StudyEvent.CHOSEN, StudyEvent.GATED, StudyEvent.DELIVERED)
POLICIES = ("keep-first", "replace", "refuse")
THEN = datetime(2026, 1, 2, 3, tzinfo=UTC)


def write(book, policy, *rows) -> None:
    with book.write() as session:
        write_rows(session, list(rows), policy)


def version(tools, name: str, seconds: int, **more):
    """One of the versions of an image: "a" has the instance's own name, the others lie beside it."""
    path = f"{STUDY}/1.9/1.1.dcm" if name == "a" else f"{STUDY}/1.9/1.1~{name * 8}.dcm"
    more.setdefault("patient_id", name)
    return tools.instance(STUDY, "1.1", digest=name * 64, path=path, at=THEN + timedelta(seconds=seconds), **more)


def settle(book) -> None:
    with book.write() as session:
        for event in ROUND:
            move(session, session.get_one(Study, STUDY), event)


def others(book) -> dict[str, bool]:
    with book.read() as session:
        return {row.digest[-1]: row.overtaken for row in session.exec(select(Duplicate))}


def test_keep_first_reads_the_first_and_flags_the_other(any_book, pages_of, tools) -> None:
    pages = pages_of(any_book)
    write(any_book, "keep-first", version(tools, "a", 0))
    settle(any_book)
    write(any_book, "keep-first", version(tools, "b", 1), version(tools, "b", 2))
    (row,) = pages.instances()
    assert (row.digest[-1], row.conflicts, pages.study(STUDY).state) == ("a", 1, "delivered")
    assert others(any_book) == {"b": False}
    with any_book.read() as session:
        detail = study_detail(session, session.get_one(Study, STUDY))
    assert (detail.conflicts, detail.series[0].conflicts) == (1, 1)
    assert "the ones before are read" in detail.journal[-1].reason


@pytest.mark.parametrize("events", [ROUND[:n] for n in range(5)])
def test_replace_reads_the_new_bytes_and_reads_the_study_again(any_book, pages_of, tools, events) -> None:
    pages = pages_of(any_book)
    write(any_book, "replace", version(tools, "a", 0, accession_number="WRONG"))
    with any_book.write() as session:
        for event in events:
            move(session, session.get_one(Study, STUDY), event)
        session.add(Run(id="r", study_instance_uid=STUDY, revision=1, package="p", version="1", kind="reader"))
    before = pages.study(STUDY)
    write(any_book, "replace", version(tools, "b", 90, accession_number="RIGHT"))
    (row,), study = pages.instances(), pages.study(STUDY)
    assert (row.digest, row.path, row.conflicts) == ("blake3:" + "b" * 64, f"{STUDY}/1.9/1.1~bbbbbbbb.dcm", 1)
    assert (study.state, study.revision) == ("collecting", 1 + (len(events) > 1))
    assert (study.patient_id, study.accession_number) == ("b", "RIGHT"), "the correction is what the book says"
    assert study.last_instance_at > before.last_instance_at
    assert others(any_book) == {"a": True}
    with any_book.read() as session:
        assert session.get_one(Run, "r").state == ("superseded" if events else "waiting")


def test_replaced_bytes_that_come_again_change_nothing(any_book, pages_of, tools) -> None:
    """A sender that got no answer repeats; a repeat of the old bytes must not undo the correction."""
    pages = pages_of(any_book)
    write(any_book, "replace", version(tools, "a", 0), version(tools, "b", 1))
    settle(any_book)
    write(any_book, "replace", version(tools, "a", 2), version(tools, "b", 3))
    (row,) = pages.instances()
    assert (row.digest[-1], row.conflicts, pages.study(STUDY).state) == ("b", 1, "delivered")
    write(any_book, "replace", version(tools, "c", 4))
    write(any_book, "replace", version(tools, "b", 5))
    (row,) = pages.instances()
    assert (row.digest[-1], row.conflicts, pages.study(STUDY).revision) == ("c", 2, 2)


def test_a_new_policy_changes_nothing_that_was_decided_and_decides_what_comes(any_book, pages_of, tools) -> None:
    pages = pages_of(any_book)
    write(any_book, "keep-first", version(tools, "a", 0), version(tools, "b", 1))
    write(any_book, "replace", version(tools, "a", 2))
    assert [row.digest[-1] for row in pages.instances()] == ["a"]
    write(any_book, "replace", version(tools, "b", 3))
    assert [(row.digest[-1], row.conflicts) for row in pages.instances()] == [("b", 1)]
    assert others(any_book) == {"a": True}
    for policy in ("keep-first", "refuse"):
        write(any_book, policy, version(tools, "a", 4), version(tools, "b", 5))
        assert [row.digest[-1] for row in pages.instances()] == ["b"], "what is read stays read"
    write(any_book, "keep-first", version(tools, "c", 6))
    assert [row.digest[-1] for row in pages.instances()] == ["b"]


@pytest.mark.parametrize(("policy", "read"), [("keep-first", "a"), ("replace", "c"), ("refuse", "a")])
@pytest.mark.parametrize("order", ["abc", "bac", "cba", "cab"])
def test_rows_that_are_written_in_another_order_come_to_the_same_end(any_book, pages_of, tools, policy, read, order):
    """Several listener processes write their rows when they like; who took the instance's own name was first."""
    versions = {"a": version(tools, "a", 0), "b": version(tools, "b", 1), "c": version(tools, "c", 2)}
    for name in order:
        write(any_book, policy, versions[name])
    (row,) = pages_of(any_book).instances()
    assert (row.digest[-1], row.conflicts) == (read, 2)
    assert set(others(any_book)) == {"a", "b", "c"} - {read}


@pytest.mark.parametrize("policy", POLICIES)
def test_our_own_results_in_another_form_reopen_nothing(any_book, pages_of, tools, policy) -> None:
    own = {"manufacturer": MANUFACTURER}
    write(any_book, policy, tools.instance(STUDY, "1.5"), version(tools, "a", 0, **own))
    settle(any_book)
    write(any_book, policy, version(tools, "b", 1, **own))
    assert pages_of(any_book).study(STUDY).state == "delivered"
    write(any_book, policy, tools.instance(STUDY, "1.5", digest="d" * 64, path="1.2.3/1.9/1.5~dddddddd.dcm", **own))
    assert {row.digest[-1] for row in pages_of(any_book).instances() if row.sop_instance_uid == "1.5"} == {"a"}
    assert pages_of(any_book).study(STUDY).state == "delivered", "a result takes no image's place"


@pytest.fixture
def corrected(dicom_bench) -> list[bytes]:
    """A real image, and the same with its demographics corrected twice."""
    path = sorted((dicom_bench / "series/mr_brain_t1_philips_elition").iterdir())[0]
    made = []
    for patient_id in (None, "CORRECTED-1", "CORRECTED-2"):
        ds = dcmread(path)
        ds.PatientID = patient_id or ds.PatientID
        out = BytesIO()
        ds.save_as(out, enforce_file_format=True)
        made.append(out.getvalue())
    return made


def data_set(part10: bytes) -> bytes:
    return part10[144 + int.from_bytes(part10[140:144], "little") :]


@pytest.mark.parametrize(
    ("policy", "answers"), [("keep-first", [0, 0, 0]), ("replace", [0, 0, 0]), ("refuse", [0, 0x0111, 0])]
)
def test_corrected_demographics_on_the_wire(start, associate, pages, tools, corrected, policy, answers, caplog) -> None:
    collect, said = start(duplicates=policy), dcmread(BytesIO(corrected[0]), stop_before_pixels=True)
    sender = associate(collect, [(said.SOPClassUID, said.file_meta.TransferSyntaxUID)])
    got = [
        sender.store(data_set(part10), said.SOPClassUID, said.SOPInstanceUID, said.file_meta.TransferSyntaxUID)
        for part10 in (corrected[0], corrected[1], corrected[0])
    ]
    sender.release()
    assert [answer.Status for answer in got] == answers
    row = tools.until(lambda: len(found := pages.instances()) == 1 and found[0])
    if policy == "refuse":
        assert got[1].ErrorComment == "other bytes are stored under this SOPInstanceUID"
        (kept,) = tools.until(pages.quarantine)
        assert data_set((collect.reception.quarantine.root / kept.path).read_bytes()) == data_set(corrected[1])
        assert kept.reason == got[1].ErrorComment
        assert row.conflicts == 0
        return
    row = tools.until(lambda: (found := pages.instances()[0]).conflicts and found)
    read = data_set((collect.folder.root / row.path).read_bytes())
    assert read == data_set(corrected[1 if policy == "replace" else 0])
    assert len(list(collect.folder.root.glob("[0-9]*/*/*.dcm"))) == 2, "none of them is ever lost"
    told = tools.until(lambda: [m for m in caplog.messages if "kept beside" in m])
    assert told == [f"other bytes under known UIDs kept beside count=1 study_instance_uid={said.StudyInstanceUID}"]


@pytest.mark.parametrize(("policy", "read"), [("keep-first", 0), ("replace", 2), ("refuse", 0)])
def test_a_crash_between_files_and_rows_decides_the_same(any_book, pages_of, tmp_path, corrected, policy, read) -> None:
    folder, places = StoreFolder(tmp_path / "store"), []
    for number, part10 in enumerate(corrected):
        received = folder.incoming / "in.dcm"
        received.write_bytes(part10)
        os.utime(received, (1.7e9 + number, 1.7e9 + number))
        header = read_header(received)
        kept, where = folder.keep(received, place(header), data_set_digest(received), beside=policy != "refuse")
        places.append(where)
        assert kept is [Kept.NEW, Kept.REFUSED if policy == "refuse" else Kept.BESIDE][number > 0]
        received.unlink(missing_ok=True)
    reconcile(any_book, folder, 120, policy)
    reconcile(any_book, folder, 120, policy)
    (row,) = pages_of(any_book).instances()
    assert (row.path, row.conflicts) == (places[read], 0 if policy == "refuse" else 2)


def test_two_at_once_are_one_stored_and_one_refused(tmp_path) -> None:
    folder, where = StoreFolder(tmp_path / "store"), "1.2/1.3/1.4.dcm"
    at_once, kept = threading.Barrier(8), []

    def bring(number: int) -> None:
        received = folder.incoming / f"{number}.dcm"
        received.write_bytes(b"\0" * 128 + b"DICM" + b"%d" % number)
        digest = data_set_digest(received)
        at_once.wait()
        kept.append(folder.keep(received, where, digest, beside=False)[0])

    threads = [threading.Thread(target=bring, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(kept) == sorted([Kept.NEW] + 7 * [Kept.REFUSED])
    assert len(list((folder.root / "1.2/1.3").iterdir())) == 1


@pytest.mark.parametrize("durability", ["instance", "association"])
def test_half_a_file_is_not_read_once_the_whole_came_again(
    start, associate, book, pages, tools, put_file, durability
) -> None:
    """As a power cut leaves it where no sync was waited for: the row there, the file torn. Sent again, the image was
    acknowledged and its row went on naming the torn file."""
    collect, ds = start(durability=durability), tools.image(STUDY, sop="1.1")
    sender = associate(collect)
    assert tools.post(sender, ds) == 0
    (row,) = tools.until(lambda: pages.instances(STUDY))
    torn = collect.folder.root / row.path
    os.truncate(torn, row.size // 2)
    assert tools.post(sender, ds) == 0
    tools.until(lambda: pages.instances(STUDY)[0].path != row.path)
    (mended,) = pages.instances(STUDY)
    assert data_set_digest(collect.folder.root / mended.path) == mended.digest == row.digest
    assert pages.journal(STUDY)[-1].event == "mended"
    reconcile(book, collect.folder, 120)
    assert pages.instances(STUDY)[0].path == mended.path, "nor does the next look read the torn file"
    assert tools.post(sender, ds) == 0
    collect.index.flush()
    assert pages.instances(STUDY)[0].path == mended.path
    assert others(book) == {row.digest[-1]: True}


@pytest.mark.parametrize("policy", POLICIES)
def test_a_row_of_an_older_store_knows_its_bytes_again(start, associate, book, pages, tools, policy) -> None:
    """What was stored when SHA-256 was all there was: sent again it is known, and other bytes are told apart."""
    collect = start(duplicates=policy)
    first, other = (tools.image(STUDY, sop="1.1", PatientID=name) for name in ("a", "b"))
    sender = associate(collect)
    assert tools.post(sender, first) == 0
    tools.until(lambda: pages.instances(STUDY))
    _make_older(book, collect.folder)
    assert tools.post(sender, first) == 0
    collect.index.flush()
    (row,) = pages.instances(STUDY)
    assert (row.conflicts, algorithm_of(row.digest), others(book)) == (0, "sha256", {})
    assert tools.post(sender, other) == (0x0111 if policy == "refuse" else 0)
    collect.index.flush()
    (row,) = pages.instances(STUDY)
    assert row.conflicts == (policy != "refuse")
    assert data_set_digest(collect.folder.root / row.path, algorithm_of(row.digest)) == row.digest


@pytest.mark.parametrize("policy", ["keep-first", "replace"])
def test_other_bytes_of_an_older_store_are_not_kept_a_second_time(start, associate, book, pages, tools, policy) -> None:
    collect = start(duplicates=policy)
    first, other = (tools.image(STUDY, sop="1.1", PatientID=name) for name in ("a", "b"))
    sender = associate(collect)
    for ds in (first, other):
        assert tools.post(sender, ds) == 0
        collect.index.flush()
    _make_older(book, collect.folder)
    files, (before,) = sorted(collect.folder.root.glob("*/*/*.dcm")), pages.instances(STUDY)
    for ds in (other, first, other):
        assert tools.post(sender, ds) == 0
        collect.index.flush()
    assert sorted(collect.folder.root.glob("*/*/*.dcm")) == files
    (after,) = pages.instances(STUDY)
    assert (after.path, after.digest, after.conflicts) == (before.path, before.digest, 1)


def test_a_torn_file_of_an_older_store_is_mended(start, associate, book, pages, tools) -> None:
    collect, ds = start(), tools.image(STUDY, sop="1.1")
    sender = associate(collect)
    assert tools.post(sender, ds) == 0
    tools.until(lambda: pages.instances(STUDY))
    _make_older(book, collect.folder)
    (row,) = pages.instances(STUDY)
    os.truncate(collect.folder.root / row.path, row.size // 2)
    assert tools.post(sender, ds) == 0
    collect.index.flush()
    (mended,) = pages.instances(STUDY)
    assert (mended.path != row.path, mended.digest, pages.journal(STUDY)[-1].event) == (True, row.digest, "mended")


def _make_older(book, folder) -> None:
    """Rows and names as they were when digests were SHA-256 and did not say so, and a migration has passed."""
    with book.write() as session:
        for row in [*session.exec(select(Instance)), *session.exec(select(Duplicate))]:
            path = folder.root / row.path
            row.digest = data_set_digest(path, "sha256")
            if is_beside(path.name):
                place = f"{row.path.partition('~')[0]}.dcm"
                row.path = place_beside(place, row.digest)
                path.rename(folder.root / row.path)
            session.add(row)
