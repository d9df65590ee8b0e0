"""Rows follow what was stored, on each database."""

import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.exc import InternalError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlmodel import select

from services.collect.listening.register import EVERY_STUDY
from services.collect.store.index import Index, write_rows
from shared.store import Delivery, Outbox, Quarantine, Run, Study
from shared.store.moves import move
from shared.study import StudyEvent

STUDY = "1.2.3"


def write(book, *rows) -> None:
    with book.write() as session:
        write_rows(session, list(rows))


def moved(book, *events) -> None:
    with book.write() as session:
        for event in events:
            move(session, session.get_one(Study, STUDY), event)


def test_a_study_and_its_images(any_book, pages_of, tools) -> None:
    first = tools.instance(STUDY, "1.1", accession_number="A1", patient_id="P1", study_date="20260102", rows=4)
    second = tools.instance(STUDY, "1.2", at=datetime.now(UTC) + timedelta(seconds=1))
    write(any_book, first)
    write(any_book, second)
    pages = pages_of(any_book)
    study = pages.study(STUDY)
    assert (study.state, study.revision, study.accession_number) == ("collecting", 1, "A1")
    assert (study.patient_id, study.study_date, study.calling_ae_title) == ("P1", "20260102", "PACS1")
    assert (study.first_instance_at, study.last_instance_at) == (first.received_at, second.received_at)
    assert [(row.sop_instance_uid, row.path) for row in pages.instances()] == [
        ("1.1", first.path),
        ("1.2", second.path),
    ]
    assert pages.instances()[0].header["rows"] == 4
    assert [line.reason for line in pages.journal(STUDY)] == ["first image"]


@pytest.mark.parametrize(
    ("events", "revision"),
    [
        ([StudyEvent.COMPLETED], 1),
        ([StudyEvent.COMPLETED, StudyEvent.CHOSEN], 2),
        ([StudyEvent.COMPLETED, StudyEvent.REFUSED], 2),
        ([StudyEvent.COMPLETED, StudyEvent.CHOSEN, StudyEvent.GATED, StudyEvent.DELIVERED], 2),
        ([StudyEvent.CANCELLED], 2),
        ([StudyEvent.GAVE_UP], 2),
    ],
)
def test_a_late_image_reopens_and_a_known_one_does_not(any_book, pages_of, tools, events, revision) -> None:
    pages, first = pages_of(any_book), tools.instance(STUDY, "1.1")
    write(any_book, first)
    moved(any_book, *events)
    before = pages.study(STUDY)
    write(any_book, first)
    assert pages.study(STUDY) == before
    late = tools.instance(STUDY, "1.2", at=first.received_at + timedelta(seconds=90))
    write(any_book, late, first)
    study = pages.study(STUDY)
    assert (study.state, study.revision) == ("collecting", revision)
    assert study.last_instance_at == late.received_at
    assert study.settled_at is None
    assert pages.journal(STUDY)[-1].reason == f"1 late image after {before.state}"


def test_other_bytes_are_told_of_once(any_book, pages_of, tools) -> None:
    pages, first = pages_of(any_book), tools.instance(STUDY, "1.1", digest="a" * 64)
    other = tools.instance(STUDY, "1.1", digest="b" * 64, path=f"{STUDY}/1.9/1.1~bbbbbbbb.dcm")
    write(any_book, first, other, other)
    write(any_book, other)
    (row,) = pages.instances()
    assert (row.conflicts, row.digest, row.path) == (1, "blake3:" + "a" * 64, first.path)
    assert [line.event for line in pages.journal(STUDY)] == ["instance_stored", "conflict"]
    assert pages.study(STUDY).state == "collecting"
    write(any_book, tools.instance(STUDY, "1.1", digest="c" * 64, path="elsewhere.dcm"))
    assert pages.instances()[0].conflicts == 2


def test_the_same_instance_uid_in_two_studies_is_two_images(any_book, pages_of, tools) -> None:
    write(any_book, tools.instance(STUDY, "1.1"), tools.instance("1.2.4", "1.1", digest="b" * 64))
    assert [row.conflicts for row in pages_of(any_book).instances()] == [0, 0]


def test_writers_at_once_agree(any_book, pages_of, tools) -> None:
    """Several listeners get the same studies over several associations, in whatever order, repeats included."""
    start, failures = threading.Barrier(4), []

    def writer(n: int) -> None:
        start.wait()
        try:
            for i in range(10):
                rows = [tools.instance(STUDY, f"1.{i}"), tools.instance("1.2.0", f"1.{i}")]
                write(any_book, *rows[:: 1 if n % 2 else -1], tools.instance(f"1.5.{n}", f"1.{n}.{i}"))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=writer, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pages = pages_of(any_book)
    assert failures == []
    assert len(pages.instances(STUDY)) == len(pages.instances("1.2.0")) == 10
    assert len(pages.instances()) == 60
    assert [line.reason for line in pages.journal(STUDY)] == ["first image"]


def test_text_that_a_database_refuses_keeps_nothing_else_out(any_book, pages_of, tools) -> None:
    index = Index(any_book)
    poisoned = tools.instance("1.6", "1.1", patient_id="x\0y", study_description="\ud800")
    index.add(tools.instance(STUDY, "1.1"))
    index.add(poisoned)
    index.add(tools.instance(STUDY, "1.2"))
    index.add(Quarantine(source="dicom", peer="PACS1", reason="cut", path="dicom/x", size=3))
    index.flush()
    pages = pages_of(any_book)
    assert [row.sop_instance_uid for row in pages.instances(STUDY)] == ["1.1", "1.2"]
    assert [row.reason for row in pages.quarantine()] == ["cut"]
    assert index.pending_studies() == set()


def test_rows_wait_while_the_database_is_away(book, pages, tools, monkeypatch) -> None:
    index, mended = Index(book, most_pending=100), []
    index.mend = lambda: mended.append(True)
    away = monkeypatch.context()
    with away as patch:
        patch.setattr(book, "write", _away)
        for n in range(150):
            index.add(tools.instance(STUDY, f"1.{n}"))
        with pytest.raises(OperationalError):
            index.flush()
        assert index.pending_studies() == {STUDY, EVERY_STUDY}, "files of any study may have lost their row"
    assert mended == []
    index.flush()
    assert len(pages.instances()) == 100
    assert mended == [True]
    assert index.pending_studies() == set()
    index.flush()
    assert mended == [True]


def _away(*_: object) -> None:
    raise OperationalError("select 1", {}, Exception("connection refused"))


def test_a_slow_database_slows_nobody(book, pages, tools, monkeypatch) -> None:
    index, write = Index(book), book.write
    monkeypatch.setattr(book, "write", lambda: time.sleep(0.4) or write())
    index.start()
    began = time.monotonic()
    for n in range(50):
        index.add(tools.instance(STUDY, f"1.{n}"))
    assert time.monotonic() - began < 5
    index.stop()
    assert len(pages.instances()) == 50


def test_the_first_image_is_told_outside(book, tools) -> None:
    write(book, tools.instance(STUDY, "1.1"))
    with book.read() as session:
        (line,) = session.exec(select(Outbox)).all()
    assert (line.stage, line.event["event"], line.event["study_instance_uid"]) == ("", "instance_stored", STUDY)


def test_late_images_end_what_is_under_way_on_the_old_ones(any_book, pages_of, tools) -> None:
    """It would read the late images too, and its results would contradict the next ones."""
    write(any_book, tools.instance(STUDY, "1.1"))
    moved(any_book, StudyEvent.COMPLETED, StudyEvent.CHOSEN, StudyEvent.GATED)
    facts = {"study_instance_uid": STUDY, "revision": 1, "version": "1", "kind": "reader"}
    with any_book.write() as session:
        for name, state in (("reading", "ready"), ("sending", "sending"), ("done", "delivered")):
            session.add(Run(id=name, package=name, state=state, lease_owner="w", **facts))
        session.flush()
        session.add(
            Delivery(
                id="d", run_id="sending", study_instance_uid=STUDY, destination="RIS", kind="ORU", identifier="1",
                path="x",
            )
        )  # fmt: skip
    write(any_book, tools.instance(STUDY, "1.2"))
    with any_book.read() as session:
        runs = {run.id: (run.state, run.lease_owner) for run in session.exec(select(Run))}
        assert session.get_one(Delivery, "d").state == "cancelled"
    assert runs == {"reading": ("superseded", ""), "sending": ("superseded", ""), "done": ("delivered", "w")}


def test_a_stored_image_of_more_than_2_gib_is_indexed(any_book, pages_of, tools) -> None:
    index = Index(any_book)
    index.add(replace(tools.instance(STUDY, "1.1"), size=3 * 2**30))
    index.flush()
    assert [row.size for row in pages_of(any_book).instances(STUDY)] == [3 * 2**30]


@pytest.mark.parametrize("kind", [InternalError, ProgrammingError, NoConnection])
def test_rows_wait_for_a_database_that_takes_no_writes(book, pages, tools, monkeypatch, kind) -> None:
    """After a failover PostgreSQL may be read-only for a while: each row was given up as refused."""
    index = Index(book)
    index.add(tools.instance(STUDY, "1.1"))
    index.add(tools.instance(STUDY, "1.2"))

    def refuse(*_: object) -> None:
        raise kind("insert", {}, Exception("cannot execute INSERT in a read-only transaction"))

    with monkeypatch.context() as patch:
        patch.setattr(book, "write", refuse)
        with pytest.raises(kind):
            index.flush()
    index.flush()
    assert len(pages.instances(STUDY)) == 2
