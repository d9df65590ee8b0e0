"""What supersedes what, and how a study ends: a superseded run neither sends nor has a say."""

from datetime import timedelta

import pytest

from shared.store import Book, Delivery, Run, Study, actions, utc_now
from shared.store.moves import enter, settle, supersede, supersede_unfinished
from shared.study import DeliveryEvent, RunEvent
from tests.books import Maker, gated, reading, sending


def states(book: Book, deliveries: dict[str, Delivery]) -> dict[str, str]:
    with book.read() as session:
        return {kind: session.get_one(Delivery, row.id).state for kind, row in deliveries.items()}


def test_a_superseded_run_sends_nothing_more_but_what_is_being_sent_ends_by_itself(book: Book) -> None:
    with book.write() as session:
        make = Maker(session)
        _, run, deliveries = sending(make, "s")
        make.moves(deliveries["SR"], DeliveryEvent.ACCEPTED)
        deliveries["SC"].lease_owner, deliveries["SC"].lease_until = "w", utc_now() + timedelta(seconds=60)
        session.add(deliveries["SC"])
        supersede(session, run, "late images")
    assert states(book, deliveries) == {"SR": "delivered", "SC": "waiting", "ORU": "cancelled"}


def test_only_runs_under_way_are_superseded(book: Book) -> None:
    with book.write() as session:
        make = Maker(session)
        study, run, deliveries = sending(make, "s")
        make.accept(*deliveries.values())
        other = make.run(study, "motion_ssim")
        supersede_unfinished(session, study, "late images")
        assert (run.state, other.state) == ("delivered", "superseded")
    assert set(states(book, deliveries).values()) == {"delivered"}


@pytest.mark.parametrize("leftover", ["dead delivery", "hold"])
def test_what_became_of_a_superseded_run_is_not_what_became_of_the_study(book: Book, leftover: str) -> None:
    """A replay after an upgrade of the package: old and new run have the same revision."""
    with book.write() as session:
        make = Maker(session)
        study, old, deliveries = sending(make, "s")
        make.accept(deliveries["SR"], deliveries["SC"])
        if leftover == "hold":
            old.verdict = "hold"
            make.accept(deliveries["ORU"])
        else:
            make.moves(deliveries["ORU"], DeliveryEvent.GAVE_UP, reason="AR")
            deliveries["ORU"].lease_until = utc_now() + timedelta(seconds=60)  # so that it stays dead
            settle(session, study.study_instance_uid)
        study.state = "running"
        supersede(session, old, "a newer version")
        new = Run(
            id="new", study_instance_uid=study.study_instance_uid, revision=study.revision, package=old.package,
            version="1.1.0", kind="reader", state="delivered", verdict="pass",
        )  # fmt: skip
        enter(session, new)
        settle(session, study.study_instance_uid)
        uid = study.study_instance_uid
    with book.read() as session:
        assert session.get_one(Study, uid).state == "delivered"


def test_a_dead_delivery_to_a_destination_that_is_gone_does_not_hold_up_the_replay(book: Book) -> None:
    with book.write() as session:
        make = Maker(session)
        study, run, deliveries = sending(make, "s")
        make.accept(deliveries["SR"], deliveries["SC"])
        make.moves(deliveries["ORU"], DeliveryEvent.GAVE_UP, reason="RIS is no destination any more")
        settle(session, study.study_instance_uid)
        assert (study.state, run.state) == ("dead", "dead")
        uid = study.study_instance_uid
    actions.press(book, lambda session: actions.replay(session, run.id, "x"))
    with book.write() as session:
        again, run_again = session.get_one(Study, uid), session.get_one(Run, run.id)
        make = Maker(session)
        make.moves(run_again, RunEvent.READ, RunEvent.REPORTED)  # and report enters nothing for the one that is gone
        settle(session, uid)
        assert (run_again.state, again.state) == ("delivered", "delivered")
    assert states(book, deliveries)["ORU"] == "cancelled"


def test_a_superseded_run_comes_back_when_its_input_or_its_version_does(book: Book) -> None:
    with book.write() as session:
        make = Maker(session)
        _, run = gated(make, "s", "chest_opacity")
        make.moves(run, RunEvent.SUPERSEDED, RunEvent.REPLAYED)
        assert run.state == "waiting"


def test_a_study_under_way_shows_a_superseded_run_as_an_earlier_one(book: Book) -> None:
    from shared.store.views import study_view

    with book.write() as session:
        make = Maker(session)
        study, run = reading(make, "s")
        make.moves(run, RunEvent.SUPERSEDED)
        view = study_view(session, study)
    assert ([r.id for r in view.runs], [r.id for r in view.earlier_runs]) == ([], [run.id])
