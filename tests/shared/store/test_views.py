"""The one JSON of a study: its keys, its words, and that a list costs a few queries however long it is."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import event

from shared.store import Book, Study, utc_now
from shared.store.moves import move, settle
from shared.store.view_models import StudyView
from shared.store.views import SeveralStudies, StudyNotFound, find_study, studies_view, study_detail, study_view
from shared.study import DeliveryEvent, RunEvent, StudyEvent
from tests.books import Maker, fill, held_reader, motion, sending

# issue: the shape that demo's studies.json, `isocenter studies --json` and the API share
STUDY = {"study_instance_uid", "accession_number", "state", "reason", "gates", "runs", "deliveries", "times"}
GATE = {"name", "series_instance_uid", "score", "unit", "verdict", "reason", "instances"}
RUN = {"package", "version", "state", "reason", "findings"}
DELIVERY = {"destination", "kind", "identifier", "state", "attempts"}
TIMES = {"first_instance_at", "last_instance_at", "completed_at", "settled_at"}


def by_accession(book: Book) -> dict[str, StudyView]:
    with book.read() as session:
        return {view.accession_number: view for view in studies_view(session)}


def statuses(view: StudyView) -> str:
    return " ".join(step.status for step in view.path)


def test_every_promised_key_is_there(book: Book, tmp_path: Path) -> None:
    fill(book, tmp_path)
    for view in by_accession(book).values():
        found = view.model_dump(mode="json")
        assert found.keys() >= STUDY
        assert found["times"].keys() >= TIMES
        assert all(gate.keys() >= GATE for gate in found["gates"])
        assert all(row.keys() == {"sop_instance_uid", "score"} for gate in found["gates"] for row in gate["instances"])
        assert all(run.keys() >= RUN for run in found["runs"])
        assert all(delivery.keys() >= DELIVERY for delivery in found["deliveries"])
        assert found["times"]["last_instance_at"].endswith("Z")


def test_a_delivered_study(book: Book) -> None:
    with book.write() as session:
        make = Maker(session)
        study, _, deliveries = sending(make, "s", 0.93)
        make.accept(*deliveries.values(), attempts=2)
    with book.read() as session:
        view = study_view(session, find_study(session, study.accession_number))
    assert (view.state, view.modalities, view.instances, view.order_found) == ("delivered", ["DX"], 1, True)
    assert statuses(view) == "done done done done done done"
    assert view.summary == "3 results delivered to PACS, RIS."
    assert view.runs[0].findings[0]["kind"] == "classification"
    assert view.runs[0].findings_in_words == ["Pulmonary opacity: present, probability 0.93 (threshold 0.50), 1 region"]
    assert {(d.destination, d.kind, d.state, d.attempts) for d in view.deliveries} == {
        ("PACS", "SR", "delivered", 2), ("PACS", "SC", "delivered", 2), ("RIS", "ORU", "delivered", 2),
    }  # fmt: skip
    assert view.times.turnaround_seconds == pytest.approx(60, abs=5)
    assert view.times.collecting_seconds == 8


def test_what_was_replaced_is_said_and_a_spare_picture_is_nobodys_business(book: Book) -> None:
    with book.write() as session:
        make = Maker(session)
        study, _, deliveries = sending(make, "s", 0.93)
        move(session, deliveries["SR"], DeliveryEvent.REPLACED, "replaced by SC: it does not take it")
        make.accept(deliveries["SC"])
        move(session, deliveries["ORU"], DeliveryEvent.CANCELLED)
        move(session, deliveries["ORU"], DeliveryEvent.SPARED)
        settle(session, study.study_instance_uid)
    with book.read() as session:
        view = study_view(session, find_study(session, study.accession_number))
    assert (view.state, statuses(view)) == ("delivered", "done done done done done done")
    assert view.summary == "1 result delivered to PACS. SR to PACS: replaced by SC: it does not take it."
    assert {(d.kind, d.state) for d in view.deliveries} == {("SC", "delivered"), ("SR", "replaced")}


def test_a_waiting_delivery_is_retrying_after_a_failed_attempt_only(book: Book) -> None:
    soon = utc_now() + timedelta(minutes=1)
    with book.write() as session:
        make = Maker(session)
        study, _, deliveries = sending(make, "s")
        deliveries["SR"].lease_until, deliveries["SR"].attempts = soon, 1
        deliveries["SC"].lease_until, deliveries["SC"].attempts = soon, 2
        deliveries["ORU"].next_at, deliveries["ORU"].attempts, deliveries["ORU"].reason = soon, 1, "RIS is away"
    with book.read() as session:
        view = study_view(session, find_study(session, study.study_instance_uid))
    states = {d.kind: (d.state, d.activity) for d in view.deliveries}
    assert states == {"SR": ("waiting", "running"), "SC": ("retrying", "running"), "ORU": ("retrying", "retrying")}
    assert statuses(view) == "done done done done done retrying"
    assert "ORU to RIS will be tried again (1 attempt): RIS is away" in view.summary


def test_held_by_the_motion_gate(book: Book) -> None:
    with book.write() as session:
        motion(Maker(session), "m", [0.9, 0.7, 0.6], "hold", "too much motion")
    with book.read() as session:
        (view,) = studies_view(session)
    assert (view.state, view.summary) == ("held", "Held by a gate: too much motion")
    assert statuses(view) == "done done held skipped done done"
    gate = next(gate for gate in view.gates if gate.name == "motion_ssim")
    assert gate.verdict == "hold"
    assert [row.score for row in gate.instances] == [0.9, 0.7, 0.6]


def test_held_reader_reads_nothing(book: Book) -> None:
    with book.write() as session:
        held_reader(Maker(session), "h")
    with book.read() as session:
        (view,) = studies_view(session)
    assert statuses(view) == "done done held skipped done done"
    assert view.runs[0].findings == []


def test_late_images_leave_only_the_new_revision_in_the_lists(book: Book) -> None:
    with book.write() as session:
        make = Maker(session)
        study, run, deliveries = sending(make, "late")
        make.accept(*deliveries.values())
        study.revision += 1
        make.moves(study, StudyEvent.INSTANCE_STORED, StudyEvent.COMPLETED)
        make.moves(run, RunEvent.SUPERSEDED)
        newer = make.run(study, "chest_opacity")
    with book.read() as session:
        (view,) = studies_view(session)
    assert [r.id for r in view.runs] == [newer.id]
    assert [(r.id, r.state) for r in view.earlier_runs] == [(run.id, "superseded")]
    assert (view.gates, view.deliveries) == ([], [])


def test_a_replayed_gate_replaces_its_earlier_word(book: Book) -> None:
    with book.write() as session:
        make = Maker(session)
        study = make.study("s")
        make.gate(study, "geometry", "hold", 9.0, "tilted")
        make.gate(study, "geometry", "pass", 0.0)
    with book.read() as session:
        (view,) = studies_view(session)
    assert [(gate.verdict, gate.score) for gate in view.gates] == [("pass", 0.0)]


def test_where_it_died(book: Book) -> None:
    with book.write() as session:
        make = Maker(session)
        make.moves(make.study("early", accession="early"), StudyEvent.GAVE_UP, reason="disk")
        undecided = make.study("undecided", accession="undecided")
        make.moves(undecided, StudyEvent.COMPLETED, StudyEvent.GAVE_UP, reason="rule")
        study, run, _ = sending(make, "unread", accession="report")
        make.moves(run, RunEvent.GAVE_UP, reason="no font")
        run.reported_at = None
        make.moves(study, StudyEvent.GAVE_UP, reason="no font")
        study, _, deliveries = sending(make, "unsent", accession="send")
        make.accept(deliveries["SR"], deliveries["SC"])
        make.moves(deliveries["ORU"], DeliveryEvent.GAVE_UP, reason="AR")
        make.moves(study, StudyEvent.GAVE_UP, reason="AR")
    stopped = {
        name: next(s.stage for s in view.path if s.status == "dead") for name, view in by_accession(book).items()
    }
    assert stopped == {"early": "collect", "undecided": "decide", "report": "report", "send": "send"}


def test_filters(book: Book, tmp_path: Path) -> None:
    fill(book, tmp_path)
    with book.read() as session:
        assert {v.state for v in studies_view(session, state=["held", "dead"])} == {"held", "dead"}
        recent = studies_view(session, limit=3)
        assert [v.accession_number for v in recent] == ["MR-24817", "CT-10442", "MR-24816"]
        assert [v.accession_number for v in studies_view(session, limit=2, offset=1)] == ["CT-10442", "MR-24816"]
        assert [v.accession_number for v in studies_view(session, q="US-")] == ["US-00391"]
        assert studies_view(session, q=recent[0].study_instance_uid)[0].accession_number == "MR-24817"
        assert studies_view(session, q="%") == []
        assert studies_view(session, since=utc_now() + timedelta(minutes=1)) == []
        assert len(studies_view(session, since=utc_now() - timedelta(minutes=1))) == 15


def test_a_long_list_takes_as_few_queries_as_a_short_one(book: Book) -> None:
    with book.write() as session:
        make = Maker(session)
        for number in range(30):
            sending(make, f"s{number}", accession=f"S{number}")
    counts = []
    for limit in (1, 30):
        seen: list[str] = []

        def count(_c: object, _cur: object, statement: str, *_: object, seen: list[str] = seen) -> None:
            if statement.startswith("SELECT"):
                seen.append(statement)

        event.listen(book.engine, "before_cursor_execute", count)
        with book.read() as session:
            assert len(studies_view(session, limit=limit)) == limit
        event.remove(book.engine, "before_cursor_execute", count)
        counts.append(len(seen))
    assert counts == [6, 6]


def test_the_journal_comes_oldest_first_and_bounded(book: Book) -> None:
    with book.write() as session:
        study, _, _ = sending(Maker(session), "s")
    with book.read() as session:
        row = session.get(Study, study.study_instance_uid)
        assert row is not None
        detail = study_detail(session, row)
        assert [line.event for line in detail.journal][:3] == ["completed", "chosen", "passed"]
        assert [line.event for line in study_detail(session, row, 2).journal] == ["read", "reported"]


def test_a_study_is_found_by_uid_or_accession_number(book: Book) -> None:
    with book.write() as session:
        make = Maker(session)
        first = make.study("one", accession="A1", order=False)
        make.study("two", accession="A1", order=False)
        make.study("three", accession="")
    with book.read() as session:
        assert find_study(session, first.study_instance_uid).accession_number == "A1"
        with pytest.raises(SeveralStudies, match=first.study_instance_uid.replace(".", r"\.")):
            find_study(session, "A1")
        for name in ("", "nobody", "1.2.3'; drop table study; --"):
            with pytest.raises(StudyNotFound):
                find_study(session, name)


def test_findings_of_another_version_are_named_at_least(book: Book) -> None:
    with book.write() as session:
        make = Maker(session)
        _, run, _ = sending(make, "s")
        run.findings = [{"kind": "hologram", "name": "ghost"}]
        session.add(run)
    with book.read() as session:
        (view,) = studies_view(session)
    assert view.runs[0].findings_in_words == ["ghost"]
