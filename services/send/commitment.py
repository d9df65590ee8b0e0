"""Asks a destination whether it keeps what it has accepted (storage commitment, PS3.4 Annex J), and hears its answer.

One question is one delivery: an answer then moves one row, and an instance that is not kept holds up no other.
"""

import logging
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from sqlmodel import Session

from services.send.doors import Doors
from services.send.handlers import Refused
from shared import metrics
from shared.dicom.commitment import Report, new_transaction_uid
from shared.settings import Destination
from shared.stage import GiveUp, Save
from shared.store import Book, CommitmentAsked, Delivery
from shared.store.clock import database_now
from shared.store.commitments import NotNamed, apply_answer, newest_answer, note_answer, times_asked
from shared.store.moves import Row, move, settle
from shared.study import DeliveryEvent

log = logging.getLogger(__name__)

MOST_QUESTIONS = 3  # without an answer; then a person must look whether the PACS can reach us

# the object's file, the Transaction UID, the destination, what to do before the question goes out → the answer, if it
# came at once
Ask = Callable[[Path, str, Destination, Callable[[], None]], Report | None]


class Questions:
    """Asks for one delivery at a time; safe in several threads."""

    def __init__(self, book: Book, data_dir: Path, doors: Doors, ask: Ask) -> None:
        self._book, self._data_dir, self._doors, self._ask = book, data_dir, doors, ask

    def put(self, delivery: Delivery, destination: Destination) -> Save:
        """Asks once, unless the answer has come meanwhile; an answer that does not come at once is waited for.

        Raises:
            Retry: it can't be asked now.
            GiveUp: it was asked often enough without an answer.
        """
        with self._book.read() as session:
            answered, asked = newest_answer(session, delivery) is not None, times_asked(session, delivery)
        if answered:
            return _answered
        if asked >= MOST_QUESTIONS:
            metrics.COMMITMENTS_ASKED.labels(destination.name, "unanswered").inc()
            raise GiveUp(_unanswered(destination, asked))
        transaction_uid = new_transaction_uid()
        try:
            with self._doors.through(destination.name, paced=False):
                report = self._ask(
                    self._data_dir / delivery.path, transaction_uid, destination,
                    lambda: self._write(delivery.id, transaction_uid),
                )  # fmt: skip
        except Refused:
            metrics.COMMITMENTS_ASKED.labels(destination.name, "refused").inc()
            raise
        metrics.COMMITMENTS_ASKED.labels(destination.name, "asked").inc()
        return _asked(transaction_uid, destination, report)

    def _write(self, delivery_id: str, transaction_uid: str) -> None:
        """Before the question goes out: its answer may be here before the answer to the N-ACTION."""
        with self._book.write() as session:
            session.add(CommitmentAsked(transaction_uid=transaction_uid, delivery_id=delivery_id))


def _asked(transaction_uid: str, destination: Destination, report: Report | None) -> Save:
    def save(session: Session, row: Row) -> None:
        assert isinstance(row, Delivery)
        asked = session.get_one(CommitmentAsked, transaction_uid, with_for_update=True)
        asked.taken = True
        session.add(asked)
        if report and asked.answered_at is None:
            _note(session, asked, row, report)
        if apply_answer(session, row):
            return
        row.attempts, row.next_at = 0, database_now(session) + timedelta(seconds=destination.commitment_timeout_seconds)
        times = times_asked(session, row)
        row.reason = f"stored; {destination.name} has not yet said that it keeps it (asked {times} of {MOST_QUESTIONS})"

    return save


def _note(session: Session, asked: CommitmentAsked, row: Delivery, report: Report) -> None:
    try:
        note_answer(session, asked, row, report)
    except NotNamed as error:
        log.warning("storage commitment report of no use destination=%s: %s", row.destination, error)


def _answered(session: Session, row: Row) -> None:
    assert isinstance(row, Delivery)
    apply_answer(session, row)


def not_asked_for(session: Session, row: Row) -> None:
    """The configuration has changed while the delivery waited for the answer."""
    assert isinstance(row, Delivery)
    attempts = row.times_stored
    move(session, row, DeliveryEvent.COMMITTED, "stored; storage commitment is not asked for any more")
    row.attempts = attempts
    settle(session, row.study_instance_uid)


def _unanswered(destination: Destination, asked: int) -> str:
    minutes = destination.commitment_timeout_seconds / 60
    return (
        f"{destination.name} has stored it, and has never said that it keeps it: asked {asked} times, {minutes:g} min "
        "each. Enter our AE title with the host and port of [collect] there, then replay; or set commitment = false"
    )
