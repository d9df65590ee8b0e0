"""Buttons for many: what an outage left dead is found by state, age and destination, and moved one by one."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlmodel import Session, select

from shared.store import Book, Delivery, Run, Study, actions, utc_now
from shared.store.many import Filter, find, press_each
from shared.store.moves import move, settle
from shared.study import DeliveryEvent, RunEvent, StudyEvent
from tests.books import KINDS, Maker, new_book, reading, sending


@pytest.fixture(params=KINDS)
def book(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Book]:
    with new_book(request.param, tmp_path) as made:
        yield made


def _die(session: Session, *deliveries: Delivery) -> None:
    for delivery in deliveries:
        move(session, delivery, DeliveryEvent.GAVE_UP, "PACS was away")
        settle(session, delivery.study_instance_uid)


def _fill(book: Book) -> None:
    """Two studies dead since the PACS was away, of which one long ago; one whose run died; one whose gate died."""
    with book.write() as session:
        make = Maker(session)
        for name in ("old", "new"):
            study, _, deliveries = sending(make, name, accession=name)
            make.accept(deliveries["ORU"])
            _die(session, deliveries["SR"], deliveries["SC"])
            if name == "old":
                for row in (study, *deliveries.values()):
                    row.waiting_since = utc_now() - timedelta(hours=5)
                    session.add(row)
        study, run = reading(make, "unread", accession="unread")
        make.moves(run, RunEvent.GAVE_UP, RunEvent.REASON_REPORTED, reason="Triton was away")
        settle(session, study.study_instance_uid)
        study = make.study("ungated", accession="ungated")
        make.moves(study, StudyEvent.COMPLETED, StudyEvent.CHOSEN)
        make.run(study, "chest_opacity")
        make.moves(study, StudyEvent.GAVE_UP)


def _states(book: Book) -> dict[str, tuple[str, set[str], dict[str, str]]]:
    with book.read() as session:
        found = {}
        for study in session.exec(select(Study)):
            uid = study.study_instance_uid
            runs = session.exec(select(Run).where(Run.study_instance_uid == uid))
            deliveries = session.exec(select(Delivery).where(Delivery.study_instance_uid == uid))
            found[study.accession_number] = (
                study.state, {run.state for run in runs}, {d.kind: d.state for d in deliveries}
            )  # fmt: skip
        return found


def test_of_dead_studies_what_died_is_replayed_and_nothing_else(book: Book) -> None:
    _fill(book)
    with book.read() as session:
        found = find(session, Filter("dead"), 100)
    assert [one.what for one in found][0] == "study old", "the oldest first"
    outcome = press_each(book, "replay", found, "cli:me")
    assert len(outcome.moved) == 4
    assert outcome.not_moved == []
    sent_again = {"SR": "waiting", "SC": "waiting", "ORU": "delivered"}
    assert _states(book) == {
        "old": ("running", {"sending"}, sent_again),
        "new": ("running", {"sending"}, sent_again),
        "unread": ("running", {"ready"}, {}),
        "ungated": ("waiting", {"waiting"}, {}),
    }


def test_since_and_destination_narrow_it_down(book: Book) -> None:
    _fill(book)
    with book.read() as session:
        recent = find(session, Filter("dead", utc_now() - timedelta(hours=2), "PACS"), 100)
        assert sorted(one.what for one in recent) == ["SC to PACS", "SR to PACS"]
        assert find(session, Filter("dead", destination="RIS"), 100) == []
        assert len(find(session, Filter("dead", destination="PACS"), 3)) == 3, "the bound"
    press_each(book, "replay", recent, "cli:me")
    assert _states(book)["old"][0] == "dead"
    assert _states(book)["new"] == ("running", {"sending"}, {"SR": "waiting", "SC": "waiting", "ORU": "delivered"})


def test_what_can_not_be_moved_is_told_with_its_reason_and_keeps_no_other_back(book: Book) -> None:
    _fill(book)
    with book.read() as session:
        found = find(session, Filter("dead"), 100)
    actions.press(book, lambda session: actions.replay_dead_parts(session, found[0].id, "another"))
    outcome = press_each(book, "replay", found, "cli:me")
    assert [(one.what, reason) for one, reason in outcome.not_moved] == [
        ("study old", "the study is not dead any more: it is running")
    ]
    assert len(outcome.moved) == 3


def test_cancelled_deliveries_let_run_and_study_end(book: Book) -> None:
    with book.write() as session:
        _, _, deliveries = sending(Maker(session), "s", accession="s")
        Maker(session).accept(deliveries["ORU"])
    with book.read() as session:
        found = find(session, Filter("waiting", destination="PACS"), 100)
    press_each(book, "cancel", found, "cli:me", "the PACS is gone for good")
    assert _states(book) == {
        "s": ("delivered", {"delivered"}, {"SR": "cancelled", "SC": "cancelled", "ORU": "delivered"})
    }


def test_where_every_result_was_cancelled_nothing_is_called_delivered(book: Book) -> None:
    with book.write() as session:
        sending(Maker(session), "s", accession="s")
    for destination in ("PACS", "RIS"):
        with book.read() as session:
            found = find(session, Filter("waiting", destination=destination), 100)
        press_each(book, "cancel", found, "cli:me", "both are gone")
    assert _states(book)["s"][:2] == ("cancelled", {"cancelled"})


def test_what_is_being_sent_is_not_cancelled_and_its_end_is_told(book: Book) -> None:
    """The destination may have it already: the book must not call it cancelled."""
    with book.write() as session:
        study, _, deliveries = sending(Maker(session), "s", accession="s")
        uid, key = study.study_instance_uid, deliveries["SR"].id
        deliveries["SR"].lease_owner, deliveries["SR"].lease_until = "me", utc_now() + timedelta(seconds=60)
        session.add(deliveries["SR"])
    with pytest.raises(actions.NotPossible, match="being sent to PACS right now"):
        actions.press(book, lambda session: actions.cancel(session, key, "me"))
    actions.press(book, lambda session: actions.cancel(session, uid, "me"))
    assert _states(book)["s"][2] == {"SR": "waiting", "SC": "cancelled", "ORU": "cancelled"}


def test_a_filter_that_finds_nothing_ever_is_a_mistake() -> None:
    assert "collecting" in Filter("lost").problem([])
    assert "one of PACS, RIS" in Filter("dead", destination="PAX").problem(["PACS", "RIS"])
    assert "waiting, committing" in Filter("held", destination="PACS").problem(["PACS"])
    assert Filter("held").problem([]) == ""
