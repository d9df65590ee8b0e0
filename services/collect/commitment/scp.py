"""Storage commitment on our port (PS3.4 Annex J): a sender's N-ACTION, and a PACS's N-EVENT-REPORT on what we asked.

A request is answered 0x0000 when it is in the book, and not before.
"""

import logging
import threading
import uuid
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import evt
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from services.collect.commitment.report import Reports
from services.collect.commitment.request import commitment_row, write_request
from shared import metrics
from shared.claiming import Claim
from shared.dicom.commitment import (
    ALL_COMMITTED,
    FAILURES_EXIST,
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    REQUEST,
    NotReadable,
    Report,
    read_report,
    read_request,
)
from shared.store import Book, Commitment
from shared.store.clock import database_now
from shared.store.commitments import NotNamed, hear

log = logging.getLogger(__name__)

MOST_REFERENCES = 100_000
_MOST_WAITING = 16  # threads that wait to answer on a sender's own association

# PS3.7 annex C; those of N-ACTION in 10.1.4.1.10, of N-EVENT-REPORT in 10.1.1.1.8
_PROCESSING_FAILURE = 0x0110
_NO_SUCH_INSTANCE = 0x0112
_NO_SUCH_EVENT_TYPE = 0x0113
_INVALID_ARGUMENT = 0x0115
_NO_SUCH_SOP_CLASS = 0x0118
_NO_SUCH_ACTION = 0x0123
_NOT_AUTHORISED = 0x0124
_RESOURCE_LIMITATION = 0x0213


class _No(Exception):
    """The answer is a failure."""

    def __init__(self, status: int, comment: str) -> None:
        super().__init__(comment)
        self.status, self.comment = status, comment


class CommitmentWire:
    """Answers both messages; safe in several threads."""

    def __init__(self, book: Book, reports: Reports, offered: bool, same_association_seconds: float) -> None:
        self.book, self.reports, self.offered, self.seconds = book, reports, offered, same_association_seconds
        self._waiting = threading.BoundedSemaphore(_MOST_WAITING)

    @property
    def handlers(self) -> list[Any]:
        """For a pynetdicom server."""
        return [(evt.EVT_N_ACTION, self._on_action), (evt.EVT_N_EVENT_REPORT, self._on_event_report)]

    def _on_action(self, event: Any) -> tuple[Dataset, None]:
        peer = event.assoc.requestor.ae_title.strip()
        try:
            asked = self._read_request(event, peer)
            claimed = self._write_request(asked)
        except _No as no:
            log.warning("storage commitment refused status=0x%04X peer=%r: %s", no.status, peer, no.comment)
            metrics.COMMITMENT_REQUESTS.labels(f"0x{no.status:04X}").inc()
            return _answer(no.status, no.comment), None
        log.info(
            "storage commitment asked transaction_uid=%s instances=%d peer=%r",
            asked.transaction_uid, len(asked.references), peer,
        )  # fmt: skip
        metrics.COMMITMENT_REQUESTS.labels("0x0000").inc()
        if claimed:
            threading.Thread(
                target=self._report_on, args=(event.assoc, claimed), name="commitment-here", daemon=True
            ).start()
        return _answer(0x0000), None

    def _read_request(self, event: Any, peer: str) -> Commitment:
        request = event.request
        if not self.offered:
            raise _No(_NOT_AUTHORISED, "storage commitment is not offered here")
        if request.RequestedSOPClassUID != PUSH_MODEL:
            raise _No(_NO_SUCH_SOP_CLASS, "only the Push Model is offered")
        if request.RequestedSOPInstanceUID != PUSH_MODEL_INSTANCE:
            raise _No(_NO_SUCH_INSTANCE, "not the well-known SOP instance")
        if request.ActionTypeID != REQUEST:
            raise _No(_NO_SUCH_ACTION, "only action type 1 is known")
        try:
            transaction_uid, references = read_request(event.action_information)
        except NotReadable as error:
            raise _No(_INVALID_ARGUMENT, str(error)) from None
        except Exception:  # whatever pydicom raises on bytes that are no data set
            raise _No(_INVALID_ARGUMENT, "the action information can't be read") from None
        if len(references) > MOST_REFERENCES:
            raise _No(_RESOURCE_LIMITATION, f"more than {MOST_REFERENCES} instances at once")
        called = str(event.assoc.requestor.primitive.called_ae_title).strip()
        return commitment_row(transaction_uid, references, peer, called)

    def _write_request(self, asked: Commitment) -> Claim | None:
        """Writes it; a claim on it where the answer may go out on the same association."""
        for last in (False, True):
            try:
                return self._write_once(asked)
            except IntegrityError:  # the same request at the same moment, in another process
                if last:
                    break
            except SQLAlchemyError as error:
                log.error("storage commitment request not written cause=%s", type(error).__name__)
                break
        raise _No(_PROCESSING_FAILURE, "the request can't be written down now: ask again")

    def _write_once(self, asked: Commitment) -> Claim | None:
        here = self.seconds > 0 and self._waiting.acquire(blocking=False)
        claimed = None
        try:
            with self.book.write() as session:
                row = write_request(session, Commitment(**asked.model_dump()))
                if here and (row.lease_until is None or row.lease_until < database_now(session)):
                    stage = self.reports.stage
                    token = f"{stage.owner}:{uuid.uuid4().hex[:12]}"
                    claimed = Claim(row.id, token, row.attempts + 1, stage.most_attempts)
                    row.lease_owner, row.lease_until = claimed.token, database_now(session) + stage.lease
                    row.attempts = claimed.attempts
        except SQLAlchemyError:
            claimed = None
            raise
        finally:
            if here and not claimed:
                self._waiting.release()
        return claimed

    def _report_on(self, association: Any, claimed: Claim) -> None:
        try:
            self.reports.report_on(association, claimed, self.seconds)
        finally:
            self._waiting.release()

    def _on_event_report(self, event: Any) -> tuple[Dataset, None]:
        peer = event.assoc.requestor.ae_title.strip()
        try:
            report = _read_report(event)
            self._hear(report)
        except _No as no:
            log.warning("storage commitment report refused status=0x%04X peer=%r: %s", no.status, peer, no.comment)
            return _answer(no.status, no.comment), None
        log.info("storage commitment report heard transaction_uid=%s peer=%r", report.transaction_uid, peer)
        return _answer(0x0000), None

    def _hear(self, report: Report) -> None:
        try:
            with self.book.write() as session:
                known = hear(session, report)
        except NotNamed as error:
            raise _No(_INVALID_ARGUMENT, str(error)) from None
        except SQLAlchemyError as error:
            log.error("storage commitment report not written cause=%s", type(error).__name__)
            raise _No(_PROCESSING_FAILURE, "the report can't be written down now: send it again") from None
        if not known:
            raise _No(_INVALID_ARGUMENT, "nothing was asked under this Transaction UID")


def _read_report(event: Any) -> Report:
    if event.request.EventTypeID not in (ALL_COMMITTED, FAILURES_EXIST):
        raise _No(_NO_SUCH_EVENT_TYPE, "only event types 1 and 2 are known")
    try:
        return read_report(event.event_information)
    except NotReadable as error:
        raise _No(_INVALID_ARGUMENT, str(error)) from None
    except Exception:  # whatever pydicom raises on bytes that are no data set
        raise _No(_INVALID_ARGUMENT, "the event information can't be read") from None


def _answer(status: int, comment: str = "") -> Dataset:
    answer = Dataset()
    answer.Status = status
    if comment:
        answer.ErrorComment = comment[:64]
    return answer
