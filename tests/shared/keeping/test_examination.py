"""What a crash leaves is found, said in words, and mended where that is safe."""

import os
import time
from datetime import timedelta
from pathlib import Path

import pytest
from sqlmodel import select

from shared.keeping.examination import examine
from shared.settings import Core
from shared.store import Delivery, Outbox, Quarantine, Removal, Run, Study, utc_now

STUDY = "1.2.3"
LONG_AGO = timedelta(hours=1)


@pytest.fixture
def here(tmp_path: Path, book) -> Core:
    return Core(data_dir=tmp_path / "data", database_url=book.url)


def put(path: Path, seconds_ago: float = 3600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    os.utime(path, (time.time() - seconds_ago,) * 2)
    return path


def a_running_study(book, run: str = "sending", delivery: str = "delivered") -> None:
    then = utc_now() - LONG_AGO
    with book.write() as session:
        session.add(Study(study_instance_uid=STUDY, state="running", waiting_since=then))
        session.flush()
        facts = {"package": "p", "version": "1", "kind": "reader", "waiting_since": then}
        session.add(Run(id="r", study_instance_uid=STUDY, revision=1, state=run, **facts))
        session.flush()
        session.add(
            Delivery(
                id="d", run_id="r", study_instance_uid=STUDY, destination="PACS", kind="SR", identifier="1",
                path="results/x", state=delivery, waiting_since=then,
            )
        )  # fmt: skip


def kinds(book, core: Core, mend: bool = False) -> dict[str, tuple[int, bool]]:
    return {finding.kind: (finding.count, finding.mended) for finding in examine(book, core, mend)}


def test_a_system_in_order_has_no_findings(book, here):
    put(here.data_dir / "broker/messages/.x.part", seconds_ago=1)
    with book.write() as session:
        session.add(Study(study_instance_uid="1.1", state="waiting"))
        session.add(Outbox(stage="decide", row_id="1.1"))
    assert kinds(book, here) == {}


def test_a_study_with_nothing_left_to_do_is_ended(book, here):
    a_running_study(book)
    assert kinds(book, here) == {"stuck studies": (1, False)}
    assert kinds(book, here, mend=True) == {"stuck studies": (1, True)}
    with book.read() as session:
        assert session.get_one(Study, STUDY).state == "delivered"
    assert kinds(book, here) == {}


@pytest.mark.parametrize(("run", "delivery"), [("read", "delivered"), ("sending", "waiting")])
def test_a_study_that_is_under_way_is_left(book, here, run, delivery):
    a_running_study(book, run, delivery)
    examine(book, here, mend=True)
    with book.read() as session:
        assert session.get_one(Study, STUDY).state == "running"


def test_work_that_nobody_takes_up_and_bells_that_nobody_sends_are_told(book, here):
    then = utc_now() - LONG_AGO
    with book.write() as session:
        for uid, more in (
            ("1.1", {}), ("1.2", {"lease_until": then, "lease_owner": "gone"}),
            ("1.3", {"lease_until": utc_now() + LONG_AGO}), ("1.4", {"next_at": utc_now() + LONG_AGO}),
        ):  # fmt: skip
            session.add(Study(study_instance_uid=uid, state="waiting", waiting_since=then, **more))
        session.add(Outbox(stage="decide", row_id="1.1", at=then))
    assert kinds(book, here) == {"idle work": (2, False), "unsent bells": (1, False)}
    (idle, _) = examine(book, here)
    assert idle.examples == ["1.1", "1.2"]
    assert "decide (2)" in idle.words


def test_results_that_must_go_and_are_gone_are_told(book, here):
    a_running_study(book, delivery="waiting")
    assert kinds(book, here)["lost results"] == (1, False)
    put(here.data_dir / "results/x")
    assert "lost results" not in kinds(book, here)


def test_half_written_files_go_when_they_are_old(book, here):
    old = [put(here.data_dir / name) for name in ("broker/messages/.m.taken", "results/1/r/.sr.dcm.1.part")]
    put(here.data_dir / "quarantine/hl7/.x.part", seconds_ago=5)
    with book.write() as session:
        session.add(Study(study_instance_uid="1"))
        session.flush()
        session.add(Run(id="r", study_instance_uid="1", revision=1, package="p", version="1", kind="reader"))
    assert kinds(book, here)["half-written files"] == (2, False)
    assert all(path.exists() for path in old)
    assert kinds(book, here, mend=True)["half-written files"] == (2, True)
    assert not any(path.exists() for path in old)
    assert (here.data_dir / "quarantine/hl7/.x.part").exists()


def test_quarantine_and_its_rows_come_together(book, here):
    put(here.quarantine_dir / "dicom/2026-01/a.dcm")
    with book.write() as session:
        session.add(Quarantine(source="dicom", reason="cut", path="dicom/2026-01/b.dcm", size=1))
    assert kinds(book, here, mend=True) == {"quarantine without rows": (1, True), "lost quarantine": (1, False)}
    with book.read() as session:
        assert {row.path for row in session.exec(select(Quarantine))} == {"dicom/2026-01/a.dcm", "dicom/2026-01/b.dcm"}


def test_results_of_no_run_are_told_and_left(book, here):
    path = put(here.results_dir / "1.2.3/unknown/sr.dcm")
    os.utime(path.parent, (time.time() - 3600,) * 2)
    assert kinds(book, here, mend=True) == {"results without a run": (1, False)}
    assert path.exists()


def test_a_removal_that_was_cut_short_is_finished(book, here):
    put(here.store_dir / ".removed/x/1.2.3/1.9/1.1.dcm")
    with book.write() as session:
        session.add(Removal(id="x", what="images", rule="old", at=utc_now() - LONG_AGO))
    assert kinds(book, here) == {"cut-short removals": (1, False)}
    assert kinds(book, here, mend=True) == {"cut-short removals": (1, True)}
    assert not (here.store_dir / ".removed/x").exists()
    assert kinds(book, here) == {}
