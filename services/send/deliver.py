"""One delivery: the object to its destination by the destination's wire, and the outcome for the book."""

import logging
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import update
from sqlalchemy.sql import ColumnElement
from sqlmodel import Session, col

from services.send.commitment import Ask, Questions, not_asked_for
from services.send.doors import Doors
from services.send.handlers import NotTaken, Refused, Unreachable, last_word
from services.send.replacing import pictures_of, replaced
from shared import metrics
from shared.settings import Destination
from shared.stage import GiveUp, Retry, Save, check_lease, ended_in_the_middle
from shared.store import Book, Delivery, Run
from shared.store.moves import Row, move, settle, state_of
from shared.study import DeliveryEvent, DeliveryState, RunState

log = logging.getLogger(__name__)

Wire = Callable[[Path, Destination], str]


class Courier:
    """Takes deliveries to their destinations; safe in several threads."""

    def __init__(
        self, book: Book, data_dir: Path, destinations: list[Destination], wires: dict[str, Wire], doors: Doors,
        ask: Ask,
    ) -> None:  # fmt: skip
        self._book, self._data_dir, self._wires, self._doors = book, data_dir, wires, doors
        self._questions = Questions(book, data_dir, doors, ask)
        self._destinations = {d.name: d for d in destinations}

    def only(self) -> list[ColumnElement[bool]]:
        """What may be taken up now: nothing for a destination that is away or has its fill."""
        closed = self._doors.closed()
        return [col(Delivery.destination).not_in(closed)] if closed else []

    def deliver(self, delivery_id: str) -> Save:
        """Does one attempt: to store, or to ask whether what was stored is kept.

        Raises:
            Retry: not accepted; attempts are left.
            GiveUp: not accepted, and never will be without a person.
        """
        with self._book.read() as session:
            delivery = session.get_one(Delivery, delivery_id)
            run = session.get_one(Run, delivery.run_id)
        destination = self._destinations.get(delivery.destination)
        if state_of(delivery) is DeliveryState.COMMITTING:
            return self._committed(delivery, destination)
        if state_of(run) in (RunState.SUPERSEDED, RunState.CANCELLED):
            return _withdrawn
        if destination is None:
            raise GiveUp(f"{delivery.destination} is no destination in isocenter.toml any more: add it and replay")
        if delivery.attempts > destination.most_attempts:
            raise GiveUp(ended_in_the_middle(destination.most_attempts, delivery.reason))
        try:
            with self._doors.through(destination.name):
                check_lease()
                remark = self._wires[destination.kind](self._data_dir / delivery.path, destination)
        except Retry as error:
            if error.counts:
                _count(delivery, _outcome(error))
            word = last_word(error, delivery.attempts, destination)
            if isinstance(word, GiveUp) and isinstance(error, NotTaken) and self._has_pictures(delivery, destination):
                return replaced(str(error), word)
            raise word from None
        _count(delivery, "accepted")
        return _stored if destination.commitment else _accepted(remark)

    def _has_pictures(self, delivery: Delivery, destination: Destination) -> bool:
        """Whether pictures may stand in for what the destination does not take."""
        with self._book.read() as session:
            return destination.is_replaced(delivery.kind) and bool(pictures_of(session, delivery))

    def _committed(self, delivery: Delivery, destination: Destination | None) -> Save:
        if destination is None or not destination.commitment:
            return not_asked_for
        try:
            return self._questions.put(delivery, destination)
        except Retry as error:
            raise last_word(error, delivery.attempts, destination) from None


def hasten(book: Book, destination: str) -> None:
    """The destination is back: what waits for its next attempt is due now, so that all goes out in order of urgency.
    Those that were tried meanwhile, the urgent ones first of all, would else come last."""
    with book.write() as session:
        session.execute(
            update(Delivery)
            .where(col(Delivery.destination) == destination, col(Delivery.state) == DeliveryState.WAITING)
            .where(col(Delivery.lease_owner) == "", col(Delivery.next_at).is_not(None))
            .values(next_at=None)
        )
    log.info("back, and its backlog goes out destination=%s", destination)


def _withdrawn(session: Session, row: Row) -> None:
    """An attempt failed while newer images superseded the run, or a person cancelled it: the old result must not
    arrive after the new, nor one that was stopped."""
    assert isinstance(row, Delivery)
    run = session.get_one(Run, row.run_id)
    move(session, row, DeliveryEvent.CANCELLED, f"its run was {run.state}")


def _stored(session: Session, row: Row) -> None:
    """The destination has the object; that it keeps it is still to be heard."""
    assert isinstance(row, Delivery)
    row.times_stored += 1
    move(session, row, DeliveryEvent.STORED, f"stored; {row.destination} has not yet said that it keeps it")


def _accepted(remark: str) -> Save:
    def save(session: Session, row: Row) -> None:
        assert isinstance(row, Delivery)
        attempts = row.attempts
        move(session, row, DeliveryEvent.ACCEPTED, remark)
        row.attempts = attempts  # stays readable: how hard it was to deliver
        settle(session, row.study_instance_uid)

    return save


def _outcome(error: Retry) -> str:
    if isinstance(error, Unreachable):
        return "unreachable"
    return "refused" if isinstance(error, Refused) else "failed"


def _count(delivery: Delivery, outcome: str) -> None:
    metrics.DELIVERY_ATTEMPTS.labels(delivery.destination, delivery.kind, outcome).inc()
    log.info(
        "delivery study_instance_uid=%s destination=%s kind=%s attempt=%d outcome=%s",
        delivery.study_instance_uid, delivery.destination, delivery.kind, delivery.attempts, outcome,
    )  # fmt: skip
