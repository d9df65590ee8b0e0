"""At start the rows follow the files."""

import errno
import os
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, update
from sqlalchemy.exc import DataError
from sqlmodel import col, select

from services.collect.handlers import StoredInstance, instance_values
from services.collect.store.folder import StoreFolder
from services.collect.store.reconcile import Reconciler, reconcile
from services.collect.store.study_files import StudyFiles
from shared.store import Duplicate, Instance, Reconciliation, utc_now

STUDY = "1.2.3"


@pytest.fixture
def folder(tmp_path: Path) -> StoreFolder:
    return StoreFolder(tmp_path / "store")


def test_files_without_rows_get_them(put_file, any_book, pages_of, folder, tools) -> None:
    images = [tools.image(STUDY, sop=f"1.4.{n}") for n in range(3)] + [tools.image("1.2.4")]
    paths = [put_file(folder, ds) for ds in images]
    os.utime(paths[0], (1700000000, 1700000000))
    found = reconcile(any_book, folder, 120)
    assert (found.files, found.indexed, found.missing, found.strange) == (4, 4, 0, 0)
    pages = pages_of(any_book)
    rows = pages.instances(STUDY)
    assert {folder.root / row.path for row in rows} == set(paths[:3])
    assert rows[0].received_at == datetime.fromtimestamp(1700000000, UTC)
    assert rows[0].header["patient_id"] == "P1"
    assert pages.study(STUDY).state == "collecting"
    again = reconcile(any_book, folder, 120)
    assert (again.files, again.indexed) == (4, 0)


def test_a_file_that_came_after_the_study_was_complete_reopens_it(put_file, book, pages, folder, tools) -> None:
    from shared.store import Study
    from shared.store.moves import move
    from shared.study import StudyEvent

    put_file(folder, tools.image(STUDY))
    reconcile(book, folder, 120)
    with book.write() as session:
        move(session, session.get_one(Study, STUDY), StudyEvent.COMPLETED)
        move(session, session.get_one(Study, STUDY), StudyEvent.REFUSED)
    put_file(folder, tools.image(STUDY))
    reconcile(book, folder, 120)
    assert (pages.study(STUDY).state, pages.study(STUDY).revision) == ("collecting", 2)


def test_other_bytes_beside_are_told_once(put_file, book, pages, folder, tools) -> None:
    first, other = tools.image(STUDY, sop="1.4"), tools.image(STUDY, sop="1.4", PatientID="P2")
    put_file(folder, first)
    beside = put_file(folder, other)
    assert "~" in beside.name
    reconcile(book, folder, 120)
    assert reconcile(book, folder, 120).indexed == 0
    (row,) = pages.instances()
    assert (row.conflicts, row.header["patient_id"]) == (1, "P1")


def test_rows_without_files_are_told_and_stay(put_file, book, pages, folder, tools, caplog) -> None:
    gone, kept = put_file(folder, tools.image(STUDY)), put_file(folder, tools.image(STUDY))
    whole_study = put_file(folder, tools.image("1.2.4"))
    reconcile(book, folder, 120)
    gone.unlink()
    for path in (whole_study, whole_study.parent, whole_study.parent.parent):
        path.unlink() if path.is_file() else path.rmdir()
    found = reconcile(book, folder, 120)
    assert (found.missing, found.files) == (2, 1)
    assert len(pages.instances()) == 3
    assert pages.journal(STUDY)[-1].reason == "1 stored images are missing from the disk"
    assert pages.journal("1.2.4")[-1].event == "files_missing"
    count = len(pages.journal(STUDY))
    reconcile(book, folder, 120)
    assert len(pages.journal(STUDY)) == count
    assert kept.exists()


def test_strange_files_are_left_and_told(put_file, book, pages, folder, tools) -> None:
    path = put_file(folder, tools.image(STUDY))
    (path.parent / "9.9.9.dcm").write_bytes(path.read_bytes())
    (path.parent / "8.8.8.dcm").write_bytes(b"no DICOM")
    (folder.root / "lost+found").mkdir()
    found = reconcile(book, folder, 120)
    assert (found.indexed, found.strange) == (1, 2)
    assert len(list(path.parent.iterdir())) == 3


def test_half_written_files_are_removed(book, folder) -> None:
    old, fresh = folder.incoming / "old.dcm", folder.incoming / "fresh.dcm"
    for path in (old, fresh):
        path.write_bytes(b"half")
    then = time.time() - timedelta(minutes=10).total_seconds()
    os.utime(old, (then, then))
    assert reconcile(book, folder, 120).stale == 1
    assert fresh.exists()


def test_a_study_stored_while_the_database_was_away_is_mended(
    start, associate, book, pages, tools, monkeypatch
) -> None:
    from sqlalchemy.exc import OperationalError

    def away(*_: object) -> None:
        raise OperationalError("select 1", {}, Exception("connection refused"))

    collect = start(most_pending_rows=100)
    collect.station.index.most_pending = 2
    sender, images = associate(collect), [tools.image(STUDY) for _ in range(6)]
    with monkeypatch.context() as patch:
        patch.setattr(book, "write", away)
        assert [tools.post(sender, ds) for ds in images] == [0] * 6
        sender.release()
        time.sleep(0.7)
    tools.until(lambda: len(pages.instances()) == 6)


def test_a_file_that_the_database_refuses_keeps_collect_from_nothing(
    put_file, any_book, pages_of, folder, tools, monkeypatch
):
    """It was read again at each start, and each start failed at it."""
    for n in range(3):
        put_file(folder, tools.image(STUDY, sop=f"1.4.{n}"))

    def values(stored: StoredInstance) -> dict[str, Any]:
        if stored.header.sop_instance_uid == "1.4.1":
            raise DataError("insert", {}, Exception("value out of range"))
        return instance_values(stored)

    monkeypatch.setattr("services.collect.store.index.instance_values", values)
    found = reconcile(any_book, folder, 120)
    assert (found.files, found.indexed, found.strange) == (3, 2, 1)
    assert [r.sop_instance_uid for r in pages_of(any_book).instances(STUDY)] == ["1.4.0", "1.4.2"]


def test_what_is_no_file_of_its_own_neither_blocks_nor_misleads(put_file, book, pages, folder, tools, tmp_path) -> None:
    """A pipe, a link to another image, a link to nothing, a folder; and a pipe where the book has a file."""
    plain, replaced = (
        put_file(folder, tools.image(STUDY, sop="1.4.1")),
        put_file(folder, tools.image(STUDY, sop="1.4.2")),
    )
    assert reconcile(book, folder, 120).indexed == 2
    elsewhere = put_file(StoreFolder(tmp_path / "other"), tools.image(STUDY, sop="1.4.3"))
    os.mkfifo(plain.with_name("1.4.4.dcm"))
    plain.with_name("1.4.3.dcm").symlink_to(elsewhere)
    plain.with_name("1.4.5.dcm").symlink_to(tmp_path / "nothing")
    plain.with_name("1.4.6.dcm").mkdir()
    replaced.unlink()
    os.mkfifo(replaced)
    found = []
    thread = threading.Thread(target=lambda: found.append(reconcile(book, folder, 120)), daemon=True)
    thread.start()
    thread.join(20)
    assert found, "it waits for a pipe"
    assert (found[0].files, found[0].indexed, found[0].strange, found[0].missing) == (1, 0, 5, 1)
    assert len(pages.instances(STUDY)) == 2
    assert plain.with_name("1.4.3.dcm").is_symlink(), "what is strange is left there"


def test_a_pipe_in_an_images_place_holds_up_no_c_store(put_file, folder, tools) -> None:
    ds = tools.image(STUDY, sop="1.4.1")
    pipe = folder.root / STUDY / f"{STUDY}.1" / "1.4.1.dcm"
    pipe.parent.mkdir(parents=True)
    os.mkfifo(pipe)
    kept = []
    thread = threading.Thread(target=lambda: kept.append(put_file(folder, ds)), daemon=True)
    thread.start()
    thread.join(20)
    assert kept, "it waits for a pipe"
    assert "~" in kept[0].name


def test_a_study_that_the_disk_refuses_keeps_no_other_back_and_is_looked_into_again(
    put_file, any_book, pages_of, folder, tools
) -> None:
    """It kept each older study from its rows and its completion, and retention from its rounds."""
    old, odd = put_file(folder, tools.image("1.2.4")), put_file(folder, tools.image(STUDY))
    reconcile(any_book, folder, 120)
    refused = f"{STUDY}/{'1' * 300}.dcm"  # too long a name, which the disk answers with an error
    with any_book.write() as session:
        session.execute(update(Instance).where(col(Instance.study_instance_uid) == STUDY).values(path=refused))
        session.execute(delete(Reconciliation))
    late = put_file(folder, tools.image("1.2.4"))
    os.utime(old.parent, (1700000000, 1700000000))  # the newest are looked into first
    os.utime(old.parent.parent, (1700000000, 1700000000))
    reconciler = Reconciler(StudyFiles(any_book, folder, since=float("inf")), 120)
    found = reconciler.run()
    assert (found.unreadable, found.missing) == (1, 0)
    assert {row.path for row in pages_of(any_book).instances("1.2.4")} == {
        path.relative_to(folder.root).as_posix() for path in (old, late)
    }
    assert [reconciler.awaits(uid) for uid in ("1.2.4", STUDY)] == [False, True]
    with any_book.write() as session:
        where = odd.relative_to(folder.root).as_posix()
        session.execute(delete(Duplicate))  # the name that the disk refuses is noted as that of other bytes
        session.execute(update(Instance).where(col(Instance.study_instance_uid) == STUDY).values(path=where))
    again = reconciler.run()
    assert (again.unreadable, again.studies) == (0, 2), "no mark was set that would pass it over"
    assert not reconciler.awaits(STUDY)


def test_a_file_that_can_not_be_read_now_is_looked_at_again(put_file, book, pages, folder, tools, monkeypatch) -> None:
    put_file(folder, tools.image(STUDY))
    reconciler = Reconciler(StudyFiles(book, folder, since=float("inf")), 120)

    def refuse(*_: object, **__: object) -> str:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("services.collect.store.study_files.data_set_digest", refuse)
        found = reconciler.run()
    assert (found.unreadable, found.strange, reconciler.awaits(STUDY)) == (1, 0, True)
    assert (reconciler.run().indexed, reconciler.awaits(STUDY)) == (1, False)
    assert len(pages.instances(STUDY)) == 1


def test_a_clock_that_was_set_back_hides_no_file(put_file, book, pages, folder, tools) -> None:
    """The mark of the last look lies ahead then, and all that came since seems older."""
    ahead = utc_now() + timedelta(hours=3)
    with book.write() as session:
        session.add(Reconciliation(started_at=ahead, found={}))
    put_file(folder, tools.image(STUDY))
    reconciler = Reconciler(StudyFiles(book, folder, since=float("inf")), 120)
    assert reconciler.run().indexed == 1
    with book.read() as session:
        assert ahead not in session.exec(select(Reconciliation.started_at)).all()
