"""The buttons: what a person may do to a study, a run or a delivery, each a move with its actor in the journal."""

from collections.abc import Callable

from sqlalchemy.exc import OperationalError
from sqlmodel import Session, col, select

from shared.result_profiles import NOTICE
from shared.store.book import Book
from shared.store.clock import database_now
from shared.store.moves import move, settle, state_of, withdraw
from shared.store.removed import why_no_images, why_no_result
from shared.store.tables import Delivery, Run, Study
from shared.store.views import StudyNotFound, find_study
from shared.study import (
    SETTLED,
    TRANSITIONS,
    DeliveryEvent,
    DeliveryState,
    Event,
    RunEvent,
    RunState,
    StudyEvent,
    StudyState,
)

RELEASED = "released"  # the verdict of a run that a person let through against its gates

# PostgreSQL ends one of two transactions that wait for each other, as when a worker takes a row up meanwhile.
_DEADLOCK, _CHANCES = "40P01", 4


class NotPossible(ValueError):
    """The button does nothing here; the text says why, and what does."""


def press(book: Book, button: Callable[[Session], Study]) -> str:
    """Does what a button says in one transaction; returns the UID of the study that was moved.

    Raises:
        StudyNotFound, NotPossible: as the button's own.
    """
    for chance in range(_CHANCES, 0, -1):
        try:
            with book.write() as session:
                return button(session).study_instance_uid
        except OperationalError as error:
            if not chance - 1 or getattr(error.orig, "sqlstate", "") != _DEADLOCK:
                raise
    raise AssertionError("unreachable")


def complete(session: Session, name: str, actor: str) -> Study:
    """Calls a study complete at once instead of waiting for its quiet time.

    Raises:
        StudyNotFound: no study has the UID or accession number `name`.
        NotPossible: it is complete already.
    """
    study = find_study(session, name, for_update=True)
    if state_of(study) is not StudyState.COLLECTING:
        raise NotPossible(f"the study is complete already: it is {study.state}")
    move(session, study, StudyEvent.COMPLETED, "called complete by a person", actor)
    return study


def replay(session: Session, name: str, actor: str) -> Study:
    """Replays a study from its kept images (UID or accession number), a run (id) or a delivery (id).

    Raises:
        StudyNotFound: nothing in the book has the name.
        NotPossible: it is still under way, or was superseded.
    """
    delivery = session.get(Delivery, name)
    if delivery is not None:
        return replay_delivery(session, delivery, actor)
    run = session.get(Run, name)
    if run is not None:
        return replay_run(session, run, actor)
    return replay_study(session, find_study(session, name, for_update=True), actor)


def replay_study(session: Session, study: Study, actor: str) -> Study:
    """Sends a settled study round again; decide moves the runs that it chooses anew."""
    if state_of(study) not in SETTLED:
        raise NotPossible(f"the study is under way ({study.state}): wait until it is settled, or cancel it first")
    _require_images(session, study)
    move(session, study, StudyEvent.REPLAYED, "replayed by a person", actor)
    return study


def replay_run(session: Session, run: Run, actor: str) -> Study:
    """Has an ended run read and reported again on the gates' earlier word."""
    study = _resumable(session, run)
    session.refresh(run, with_for_update=True)
    what = f"{run.package} {run.version}"
    if run.state not in (RunState.DELIVERED, RunState.CANCELLED, RunState.DEAD):
        raise NotPossible(f"the run of {what} can't be replayed: it is {run.state}{_instead(run)}")
    if not _may_be_read(run):
        raise NotPossible(f"the gates have not passed the run of {what}: replay the study, which gates it anew")
    _require_images(session, study)
    _resume(session, study, actor)
    move(session, run, RunEvent.REPLAYED, "replayed by a person", actor)
    withdraw(session, run, "its run is done again")
    move(session, run, RunEvent.SCORED if run.kind == "gate" else RunEvent.PASSED, "on the gates' earlier word", actor)
    return study


def _require_images(session: Session, study: Study) -> None:
    if gone := why_no_images(session, study.study_instance_uid):
        raise NotPossible(gone)


def _may_be_read(run: Run) -> bool:
    """Whether the gates, or a person against them, have let the run through."""
    return run.verdict in ("pass", "warn", RELEASED) and not (run.kind == "gate" and not run.findings)


def _instead(run: Run) -> str:
    if run.state == RunState.HELD:
        return "; release the study, or replay the study to gate it anew"
    return "; replay the study" if run.state == RunState.SUPERSEDED else ": wait until it has ended"


def replay_delivery(session: Session, delivery: Delivery, actor: str) -> Study:
    """Sends a result object again, under the same identifier; one that waits for its next attempt is tried at once."""
    run = session.get(Run, delivery.run_id)
    assert run is not None  # a foreign key holds it
    study = _resumable(session, run)
    session.refresh(delivery, with_for_update=True)
    if _is_being_sent(session, delivery):
        raise NotPossible(f"the {delivery.kind} is being sent to {delivery.destination} right now")
    if gone := why_no_result(session, delivery):
        raise NotPossible(gone)
    _resume(session, study, actor)
    if delivery.kind != NOTICE and (state_of(run), RunEvent.RESENT) in TRANSITIONS:  # a notice ends no run
        move(session, run, RunEvent.RESENT, "a delivery is replayed", actor)
    move(session, delivery, DeliveryEvent.REPLAYED, "replayed by a person", actor)
    return study


def _resumable(session: Session, run: Run) -> Study:
    """The run's study, locked, if one of its runs or deliveries can be moved alone."""
    study = find_study(session, run.study_instance_uid, for_update=True)
    if run.revision != study.revision or run.state == RunState.SUPERSEDED:
        raise NotPossible("the run was superseded by one that has the late images too: replay the study")
    if state_of(study) is not StudyState.RUNNING and (state_of(study), StudyEvent.RESUMED) not in TRANSITIONS:
        raise NotPossible(f"the study is {study.state}: wait until it is settled")
    return study


def _resume(session: Session, study: Study, actor: str) -> None:
    if state_of(study) is not StudyState.RUNNING:
        move(session, study, StudyEvent.RESUMED, "a part of it is replayed", actor)


def replay_dead_parts(session: Session, name: str, actor: str) -> Study:
    """Replays of a dead study what died: its deliveries, else its runs, else, where the gates have not passed them, all
    of it.

    Raises:
        StudyNotFound: no study has the UID or accession number `name`.
        NotPossible: it is not dead, or can't be replayed.
    """
    study = find_study(session, name, for_update=True)
    if state_of(study) is not StudyState.DEAD:
        raise NotPossible(f"the study is not dead any more: it is {study.state}")
    of_revision = select(Run).where(Run.study_instance_uid == study.study_instance_uid, Run.revision == study.revision)
    runs = {run.id: run for run in session.exec(of_revision) if state_of(run) is not RunState.SUPERSEDED}
    of_runs = select(Delivery).where(col(Delivery.run_id).in_(runs), Delivery.state == DeliveryState.DEAD)
    deliveries = session.exec(of_runs.order_by(col(Delivery.id))).all()
    unsent = {delivery.run_id for delivery in deliveries if delivery.kind != NOTICE}
    dead_runs = {key: run for key, run in runs.items() if state_of(run) is RunState.DEAD and key not in unsent}
    if not (deliveries or dead_runs) or any(not _may_be_read(run) for run in dead_runs.values()):
        return replay_study(session, study, actor)
    for run in dead_runs.values():
        replay_run(session, run, actor)
    for delivery in deliveries:
        if delivery.run_id not in dead_runs:
            replay_delivery(session, delivery, actor)
    return study


def cancel(session: Session, name: str, actor: str, why: str = "") -> Study:
    """Stops a study with its runs and deliveries, or one delivery (id). What a destination has accepted stays there,
    and what is on its way to one at this moment ends by itself: the book must say whether it has arrived.

    Raises:
        StudyNotFound: nothing in the book has the name.
        NotPossible: it has ended already.
    """
    delivery = session.get(Delivery, name)
    if delivery is not None:
        return cancel_delivery(session, delivery, actor, why)
    study = find_study(session, name, for_update=True)
    if (state_of(study), StudyEvent.CANCELLED) not in TRANSITIONS:
        raise NotPossible(f"there is nothing to stop: the study is {study.state}")
    uid = study.study_instance_uid
    for run in session.exec(select(Run).where(Run.study_instance_uid == uid).with_for_update()):
        _cancel_row(session, run, RunEvent.CANCELLED, actor)
    for delivery in session.exec(select(Delivery).where(Delivery.study_instance_uid == uid).with_for_update()):
        if not _is_being_sent(session, delivery):
            _cancel_row(session, delivery, DeliveryEvent.CANCELLED, actor)
    move(session, study, StudyEvent.CANCELLED, why, actor)
    return study


def cancel_delivery(session: Session, delivery: Delivery, actor: str, why: str = "") -> Study:
    """Gives one result object up; its run and study end without it."""
    study = find_study(session, delivery.study_instance_uid, for_update=True)
    session.refresh(delivery, with_for_update=True)
    if _is_being_sent(session, delivery):
        raise NotPossible(f"the {delivery.kind} is being sent to {delivery.destination} right now")
    if (state_of(delivery), DeliveryEvent.CANCELLED) not in TRANSITIONS:
        raise NotPossible(f"there is nothing to stop: the delivery is {delivery.state}")
    move(session, delivery, DeliveryEvent.CANCELLED, why or "cancelled by a person", actor)
    settle(session, study.study_instance_uid)
    return study


def _is_being_sent(session: Session, delivery: Delivery) -> bool:
    return delivery.lease_until is not None and delivery.lease_until > database_now(session)


def _cancel_row(session: Session, row: Run | Delivery, event: Event, actor: str) -> None:
    if (state_of(row), event) in TRANSITIONS:
        move(session, row, event, "the study was cancelled", actor)


def release(session: Session, name: str, who: str, why: str, actor: str = "") -> Study:
    """Lets a held study through: its held readers read it, and their verdict says "released".

    `who` answers for it and `why` says the reason; both stand in the journal and on the runs, for the results.

    Raises:
        StudyNotFound: no study has the UID or accession number `name`.
        NotPossible: it is not held, no reader waits behind the gate, or `who` or `why` is missing.
    """
    if not (who.strip() and why.strip()):
        raise NotPossible("a release needs a name and a reason: they are written into the results")
    study = find_study(session, name, for_update=True)
    if state_of(study) is not StudyState.HELD:
        raise NotPossible(f"only a held study can be released: this one is {study.state}")
    runs = session.exec(
        select(Run).where(Run.study_instance_uid == study.study_instance_uid, Run.revision == study.revision)
        .with_for_update()
    ).all()  # fmt: skip
    readers = [r for r in runs if state_of(r) is RunState.HELD and r.kind != "gate" and r.verdict == "hold"]
    if not readers:
        raise NotPossible("no package waits behind the gate: there is nothing to release (replay gates it anew)")
    _require_images(session, study)
    reason = f"released by {who.strip()}: {why.strip()}"
    for run in runs:
        run.verdict = RELEASED if run.verdict == "hold" else run.verdict
        session.add(run)
    for run in readers:
        move(session, run, RunEvent.RELEASED, reason, actor or who)
    move(session, study, StudyEvent.RELEASED, reason, actor or who)
    return study


__all__ = [
    "RELEASED", "NotPossible", "StudyNotFound", "cancel", "complete", "press", "release", "replay", "replay_dead_parts",
]  # fmt: skip
