"""A destination's word on whether it keeps our results: heard once, applied by whoever may move the delivery.

The question is asked by send; the answer comes to send on the same association, or to collect on our port. It is first
written with its Transaction UID. A delivery on which somebody works at that moment is moved by them when they commit.
"""

from datetime import timedelta

from sqlalchemy import func
from sqlmodel import Session, col, select

from shared import metrics
from shared.dicom.commitment import Report, failure_in_words
from shared.store.clock import database_now
from shared.store.moves import move, settle, state_of
from shared.store.tables import CommitmentAsked, Delivery, Study, utc_now
from shared.study import DeliveryEvent, DeliveryState

MOST_STORED = 12  # with the doubling pause, about an hour
_FIRST_PAUSE, _LONGEST_PAUSE = 30.0, 600.0  # seconds before an object that is not kept is stored again


class NotNamed(ValueError):
    """The report does not name the instance that was asked for."""


def hear(session: Session, report: Report) -> bool:
    """Takes a report down and moves its delivery; a repeat does nothing. False: we have not asked under this UID.

    Raises:
        NotNamed: it says nothing of what we asked.
    """
    asked = session.get(CommitmentAsked, report.transaction_uid)
    if asked is None:
        return False
    delivery = locked_delivery(session, asked.delivery_id)
    if delivery is None:
        return False
    session.refresh(asked, with_for_update=True)
    if asked.answered_at is None:
        note_answer(session, asked, delivery, report)
        if delivery.lease_until is None or delivery.lease_until < database_now(session):
            apply_answer(session, delivery)
    return True


def note_answer(session: Session, asked: CommitmentAsked, delivery: Delivery, report: Report) -> None:
    """Writes down what the report says of the delivery's object.

    Raises:
        NotNamed: nothing.
    """
    reasons = {instance: reason for (_, instance), reason in report.failed}
    if delivery.identifier in reasons:
        asked.failure_reason = reasons[delivery.identifier]
    elif delivery.identifier not in {instance for _, instance in report.committed}:
        raise NotNamed("the report does not name the instance that was asked for")
    asked.answered_at = utc_now()
    session.add(asked)
    outcome = "not_committed" if asked.failure_reason else "committed"
    metrics.COMMITMENTS_ASKED.labels(delivery.destination, outcome).inc()


def apply_answer(session: Session, delivery: Delivery) -> bool:
    """Moves a delivery by the newest answer to what was asked since it was stored; False when there is none.

    The caller has locked the study and the delivery, and nobody else works on it.
    """
    answer = newest_answer(session, delivery) if state_of(delivery) is DeliveryState.COMMITTING else None
    if answer is None:
        return False
    if not answer.failure_reason:
        move(session, delivery, DeliveryEvent.COMMITTED, f"{delivery.destination} says that it keeps it")
    else:
        _not_committed(session, delivery, failure_in_words(answer.failure_reason))
    delivery.attempts = delivery.times_stored  # what is stored again goes on counting
    session.add(delivery)
    settle(session, delivery.study_instance_uid)
    return True


def _not_committed(session: Session, delivery: Delivery, said: str) -> None:
    times, place = delivery.times_stored, delivery.destination
    if times >= MOST_STORED:
        reason = f"{place} stored it {times} times, and does not keep it: {said}; mend the cause there and replay"
        move(session, delivery, DeliveryEvent.GAVE_UP, reason)
        return
    move(session, delivery, DeliveryEvent.NOT_COMMITTED, f"{place} does not keep it: {said}")
    delivery.next_at = database_now(session) + _pause(times)


def newest_answer(session: Session, delivery: Delivery) -> CommitmentAsked | None:
    """The last answer to what was asked since the object was stored."""
    session.flush()
    answers = select(CommitmentAsked).where(
        CommitmentAsked.delivery_id == delivery.id, col(CommitmentAsked.answered_at).is_not(None),
        CommitmentAsked.asked_at >= delivery.waiting_since,
    )  # fmt: skip
    return session.exec(answers.order_by(col(CommitmentAsked.asked_at).desc())).first()


def _pause(times: int) -> timedelta:
    return timedelta(seconds=min(_FIRST_PAUSE * 2 ** min(max(times, 1) - 1, 10), _LONGEST_PAUSE))


def locked_delivery(session: Session, delivery_id: str) -> Delivery | None:
    """The delivery, locked after its study as everywhere."""
    uid = session.scalar(select(Delivery.study_instance_uid).where(Delivery.id == delivery_id))
    if uid is None:
        return None
    session.get(Study, uid, with_for_update=True)
    return session.get(Delivery, delivery_id, with_for_update=True, populate_existing=True)


def times_asked(session: Session, delivery: Delivery) -> int:
    """How often the destination has taken the question since the object was stored."""
    query = select(func.count()).select_from(CommitmentAsked).where(
        CommitmentAsked.delivery_id == delivery.id, CommitmentAsked.asked_at >= delivery.waiting_since,
        col(CommitmentAsked.taken),
    )  # fmt: skip
    return session.scalar(query) or 0
