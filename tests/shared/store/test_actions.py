"""The buttons: what each moves, who stands in the journal, and what is said when it is not possible."""

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlmodel import Session, select

from shared.store import Book, Delivery, Journal, Outbox, Run, Study, actions, utc_now
from shared.store.actions import NotPossible
from shared.store.moves import settle
from shared.store.views import StudyNotFound, studies_view
from shared.study import BELLS, TRANSITIONS, DeliveryEvent, DeliveryState, RunEvent, RunState, StudyEvent, StudyState
from tests.books import Maker, gated, held_reader, motion, reading, sending


def made(book: Book, make: Callable[[Maker], Study]) -> str:
    with book.write() as session:
        return make(Maker(session)).study_instance_uid


def rows(book: Book, uid: str) -> tuple[Study, list[Run], dict[str, Delivery]]:
    with book.read() as session:
        study = session.get(Study, uid)
        assert study is not None
        runs = session.exec(select(Run).where(Run.study_instance_uid == uid)).all()
        deliveries = session.exec(select(Delivery).where(Delivery.study_instance_uid == uid)).all()
        return study, list(runs), {d.kind: d for d in deliveries}


def bells(book: Book) -> list[str]:
    with book.read() as session:
        return [row.stage for row in session.exec(select(Outbox).order_by(Outbox.id)) if row.stage]


def delivered(make: Maker) -> Study:
    study, _, deliveries = sending(make, "s")
    make.accept(*deliveries.values())
    return study


def with_dead_oru(make: Maker) -> Study:
    study, _, deliveries = sending(make, "s")
    make.accept(deliveries["SR"], deliveries["SC"])
    make.moves(deliveries["ORU"], DeliveryEvent.GAVE_UP, reason="AR")
    settle(make.session, study.study_instance_uid)
    return study


def test_a_move_stays_in_its_own_table() -> None:
    """States of different tables share names ("held", "waiting"), and must share no transition and no bell."""
    assert [key for key, to in TRANSITIONS.items() if type(key[0]) is not type(to)] == []
    assert BELLS[StudyState.WAITING] == "decide"
    assert BELLS[DeliveryState.WAITING] == "send"
    assert RunState.WAITING not in BELLS
    assert StudyState.HELD != RunState.HELD
    assert StudyState.HELD == "held"


def test_complete(book: Book) -> None:
    uid = made(book, lambda make: make.study("s"))
    assert actions.press(book, lambda session: actions.complete(session, uid, "cli:ann")) == uid
    study, _, _ = rows(book, uid)
    assert study.state == "waiting"
    assert bells(book)[-1] == "decide"
    with book.read() as session:
        line = session.exec(select(Journal).where(Journal.study_instance_uid == uid)).one()
    assert (line.event, line.actor) == ("completed", "cli:ann")
    with pytest.raises(NotPossible, match="complete already: it is waiting"), book.write() as session:
        actions.complete(session, uid, "")


@pytest.mark.parametrize("ending", ["delivered", "dead", "refused", "cancelled", "held"])
def test_replay_of_a_study(book: Book, ending: str) -> None:
    def make_it(make: Maker) -> Study:
        if ending == "delivered":
            return delivered(make)
        if ending == "held":
            return held_reader(make, "s")[0]
        study = make.study("s")
        if ending == "refused":
            make.moves(study, StudyEvent.COMPLETED, StudyEvent.REFUSED)
        else:
            make.moves(study, StudyEvent.CANCELLED if ending == "cancelled" else StudyEvent.GAVE_UP)
        return study

    uid = made(book, make_it)
    assert rows(book, uid)[0].state == ending
    with book.write() as session:
        actions.replay(session, uid, "cli")
    study, _, _ = rows(book, uid)
    assert (study.state, study.settled_at) == ("waiting", None)
    assert bells(book)[-1] == "decide"


def test_a_study_under_way_is_not_replayed(book: Book) -> None:
    uid = made(book, lambda make: reading(make, "s")[0])
    with pytest.raises(NotPossible, match="under way"), book.write() as session:
        actions.replay(session, uid, "cli")


def test_replay_of_a_dead_delivery_settles_the_study_again(book: Book) -> None:
    uid = made(book, with_dead_oru)
    study, (run,), deliveries = rows(book, uid)
    assert (study.state, run.state) == ("dead", "dead")
    with book.write() as session:
        actions.replay(session, deliveries["ORU"].id, "cli")
    study, (run,), deliveries = rows(book, uid)
    assert (study.state, run.state, deliveries["ORU"].state) == ("running", "sending", "waiting")
    assert deliveries["ORU"].attempts == 0
    assert deliveries["SR"].state == "delivered"
    assert bells(book)[-1] == "send"
    with book.write() as session:
        row = session.get(Delivery, deliveries["ORU"].id)
        assert row is not None
        Maker(session).accept(row)
    study, (run,), _ = rows(book, uid)
    assert (study.state, run.state) == ("delivered", "delivered")


def test_replay_of_the_reason_of_a_held_study_leaves_it_held(book: Book) -> None:
    uid = made(book, lambda make: held_reader(make, "s")[0])
    oru = rows(book, uid)[2]["ORU"]
    with book.write() as session:
        actions.replay(session, oru.id, "cli")
    study, (run,), _ = rows(book, uid)
    assert (study.state, run.state) == ("running", "held")
    with book.write() as session:
        row = session.get(Delivery, oru.id)
        assert row is not None
        Maker(session).accept(row)
    assert rows(book, uid)[0].state == "held"


def test_a_delivery_that_waits_for_its_next_attempt_is_tried_at_once(book: Book) -> None:
    def retrying(make: Maker) -> Study:
        study, _, deliveries = sending(make, "s")
        deliveries["SR"].next_at, deliveries["SR"].attempts = utc_now() + timedelta(hours=1), 4
        deliveries["SC"].lease_until = utc_now() + timedelta(minutes=1)
        return study

    uid = made(book, retrying)
    deliveries = rows(book, uid)[2]
    with book.write() as session:
        actions.replay(session, deliveries["SR"].id, "cli")
    again = rows(book, uid)[2]["SR"]
    assert (again.state, again.next_at, again.attempts) == ("waiting", None, 0)
    with pytest.raises(NotPossible, match="right now"), book.write() as session:
        actions.replay(session, deliveries["SC"].id, "cli")


def test_replay_of_a_run(book: Book) -> None:
    uid = made(book, with_dead_oru)
    (run,) = rows(book, uid)[1]
    with book.write() as session:
        actions.replay(session, run.id, "cli")
    study, (run,), _ = rows(book, uid)
    assert (study.state, run.state) == ("running", "ready")
    assert bells(book)[-1] == "infer"


def test_replay_of_a_gates_run_reports_it_again(book: Book) -> None:
    uid = made(book, lambda make: motion(make, "m", [0.97, 0.96], "pass"))
    (run,) = rows(book, uid)[1]
    with book.write() as session:
        actions.replay(session, run.id, "cli")
    study, (run,), _ = rows(book, uid)
    assert (study.state, run.state, len(run.findings)) == ("running", "read", 1)


@pytest.mark.parametrize(
    ("make_it", "says"),
    [
        (lambda make: held_reader(make, "s")[0], "release the study"),
        (lambda make: gated(make, "s", "chest_opacity")[0], "wait until it is settled"),
        (lambda make: reading(make, "s")[0], "wait until it has ended"),
    ],
    ids=["held", "gating", "reading"],
)
def test_a_run_that_can_not_be_replayed(book: Book, make_it: Callable[[Maker], Study], says: str) -> None:
    uid = made(book, make_it)
    (run,) = rows(book, uid)[1]
    with pytest.raises(NotPossible, match=says), book.write() as session:
        actions.replay(session, run.id, "cli")


def test_a_superseded_run_is_not_replayed(book: Book) -> None:
    def late(make: Maker) -> Study:
        study = delivered(make)
        study.revision += 1
        make.moves(study, StudyEvent.INSTANCE_STORED)
        return study

    uid = made(book, late)
    _, (run,), deliveries = rows(book, uid)
    for name in (run.id, deliveries["SR"].id):
        with pytest.raises(NotPossible, match="superseded"), book.write() as session:
            actions.replay(session, name, "cli")


def test_cancel_stops_all_that_is_under_way(book: Book) -> None:
    def half_sent(make: Maker) -> Study:
        study, _, deliveries = sending(make, "s")
        make.accept(deliveries["SR"])
        return study

    uid = made(book, half_sent)
    with book.write() as session:
        actions.cancel(session, uid, "cli:ann", "wrong patient")
    study, (run,), deliveries = rows(book, uid)
    assert (study.state, study.reason, run.state) == ("cancelled", "wrong patient", "cancelled")
    assert {kind: d.state for kind, d in deliveries.items()} == {
        "SR": "delivered", "SC": "cancelled", "ORU": "cancelled",
    }  # fmt: skip
    with pytest.raises(NotPossible, match="nothing to stop"), book.write() as session:
        actions.cancel(session, uid, "cli")


def test_release_lets_the_held_readers_read_and_the_study_end_delivered(book: Book) -> None:
    uid = made(book, lambda make: held_reader(make, "s")[0])
    with book.write() as session:
        actions.release(session, uid, "Dr Ann", "one view suffices")
    study, (run,), _ = rows(book, uid)
    assert (study.state, run.state, run.verdict) == ("running", "ready", "released")
    assert run.reason == study.reason == "released by Dr Ann: one view suffices"
    assert bells(book)[-1] == "infer"
    with book.write() as session:
        make = Maker(session)
        row = session.get(Run, run.id)
        assert row is not None
        make.moves(row, RunEvent.READ, RunEvent.REPORTED)
        settle(session, uid)
    study, (run,), _ = rows(book, uid)
    assert (study.state, run.state) == ("delivered", "delivered")


def gate_that_could_not_judge(make: Maker, study: Study, verdict: str) -> None:
    run = make.run(study, "motion_ssim", kind="gate", verdict=verdict)
    make.moves(run, RunEvent.HELD, RunEvent.REASON_REPORTED, reason="the gate could not judge: no picture")


@pytest.mark.parametrize(("verdict", "ending"), [("warn", "delivered"), ("hold", "held")])
def test_a_gate_that_could_not_judge_holds_its_study_only_where_its_package_says_so(
    book: Book, verdict: str, ending: str
) -> None:
    def make_it(make: Maker) -> Study:
        study = make.study("s")
        make.moves(study, StudyEvent.COMPLETED, StudyEvent.CHOSEN, StudyEvent.GATED)
        gate_that_could_not_judge(make, study, verdict)
        settle(make.session, study.study_instance_uid)
        return study

    assert rows(book, made(book, make_it))[0].state == ending


def test_release_lets_readers_read_and_leaves_gates_as_they_are(book: Book) -> None:
    """A gate's own run is no reading: released, it would be read as if its scores were measurements."""

    def make_it(make: Maker) -> Study:
        study, _ = held_reader(make, "s")
        gate_that_could_not_judge(make, study, "hold")
        return study

    uid = made(book, make_it)
    with book.write() as session:
        actions.release(session, uid, "Dr Ann", "one view suffices")
    runs = {run.kind: run for run in rows(book, uid)[1]}
    assert (runs["reader"].state, runs["gate"].state) == ("ready", "held")
    with book.write() as session:
        reader = session.get_one(Run, runs["reader"].id)
        Maker(session).moves(reader, RunEvent.READ, RunEvent.REPORTED)
        settle(session, uid)
    assert rows(book, uid)[0].state == "delivered"


def test_there_is_nothing_to_release_where_the_package_was_not_sure(book: Book) -> None:
    """Reading it again gives the same: no gate stands in the way."""

    def unsure(make: Maker) -> Study:
        study, run = held_reader(make, "unsure")
        run.verdict = "pass"
        return study

    uid = made(book, unsure)
    with book.write() as session, pytest.raises(NotPossible, match="nothing to release"):
        actions.release(session, uid, "Dr Ann", "one view suffices")
    with book.read() as session:
        (view,) = studies_view(session)
    assert view.summary.startswith("Nothing is said: ")


def test_release_needs_a_held_reader_and_a_reason(book: Book) -> None:
    held = made(book, lambda make: held_reader(make, "held")[0])
    gate_only = made(book, lambda make: motion(make, "m", [0.5, 0.6], "hold", "motion"))
    done = made(book, delivered)
    for uid, why, says in ((held, " ", "a reason"), (gate_only, "x", "nothing to release"), (done, "x", "delivered")):
        with pytest.raises(NotPossible, match=says), book.write() as session:
            actions.release(session, uid, "Dr Ann", why)


def test_nothing_has_that_name(book: Book) -> None:
    buttons: list[Callable[[Session], Study]] = [
        lambda s: actions.replay(s, "nobody", ""),
        lambda s: actions.complete(s, "nobody", ""),
        lambda s: actions.cancel(s, "nobody", ""),
        lambda s: actions.release(s, "nobody", "a", "b"),
    ]
    for button in buttons:
        with pytest.raises(StudyNotFound, match="nobody"):
            actions.press(book, button)


def test_two_people_press_at_once_and_one_is_told(book: Book) -> None:
    uid = made(book, delivered)
    outcomes: list[str] = []
    start = threading.Barrier(2)

    def press() -> None:
        start.wait()
        try:
            actions.press(book, lambda session: actions.replay(session, uid, "cli"))
            outcomes.append("moved")
        except NotPossible:
            outcomes.append("told")

    threads = [threading.Thread(target=press) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(outcomes) == ["moved", "told"]
