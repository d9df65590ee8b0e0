"""Tells senders what is kept: an N-EVENT-REPORT for each storage commitment request, until it is taken (PS3.4 J.3.3).

A request is a leased row, so a process that dies between its answer and the report leaves the report to another. What
is told is judged at that moment, each time anew.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from pynetdicom import AE, build_role
from pynetdicom.association import Association
from sqlalchemy.sql import ColumnElement
from sqlmodel import Session, col

from services.collect.commitment.request import Judge, in_words, tell_studies
from services.collect.listening.upper_layer import Acceptor
from services.collect.settings import Peer
from shared import metrics
from shared.claiming import Claim
from shared.dicom.commitment import PUSH_MODEL, PUSH_MODEL_INSTANCE, Report, write_report
from shared.stage import GiveUp, Retry, Save, Stage, run_claimed, run_next
from shared.store import Book, Commitment, utc_now
from shared.store.clock import database_now
from shared.store.moves import Row, move
from shared.study import CommitmentEvent, CommitmentState

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
GRACE = timedelta(seconds=5)  # rows are written behind the C-STORE's answer, by now in whatever process it came
_AGAIN = timedelta(seconds=1)
_SILENT_SECONDS = 0.3  # a sender that goes on with its images must not get our question instead of its answer
_CONNECT_SECONDS, _ANSWER_SECONDS = 5.0, 30.0
_AWAY_SECONDS = 30.0  # a sender that is down costs the others no time


class Reports:
    """The stage that judges and reports; `start` in one process, `report_on` in the one that holds an association."""

    def __init__(
        self, book: Book, judge: Judge, address_of: Callable[[str], Peer | None], ae_title: str, most_attempts: int
    ) -> None:
        self.book, self.judge, self.address_of, self.ae_title = book, judge, address_of, ae_title
        self.stage = Stage(
            "commitment", Commitment, (CommitmentState.ASKED,), self._report, most_attempts=most_attempts,
            longest_delay=timedelta(minutes=30), longest_work=timedelta(hours=2), only=self._reachable,
        )  # fmt: skip
        self._away: dict[str, float] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="commitment", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        waits = False
        while not self._stopping.wait(LOOK_SECONDS):
            try:
                while not self._stopping.is_set() and run_next(self.book, self.stage):
                    pass
                waits = False
            except Exception as error:  # the database is away
                if not waits:
                    log.warning("storage commitment waits cause=%s", type(error).__name__)
                waits = True

    def report_on(self, association: Acceptor, claimed: Claim, seconds: float) -> None:
        """Reports on the sender's own association, if it holds it open; else the row is left for a new one."""
        deadline = time.monotonic() + seconds
        run_claimed(self.book, replace(self.stage, work=lambda key: self._on_same(association, key, deadline)), claimed)

    def _on_same(self, association: Acceptor, key: str, deadline: float) -> Save:
        asked = self._asked(key)
        while time.monotonic() < deadline and association.is_established:
            time.sleep(0.05)
            if association.is_silent(_SILENT_SECONDS) and not self._too_early(asked):
                report = self.judge.judge(asked)
                # a sender that does not listen for it and wants to end must not wait for long
                association.dimse_timeout = max(2.0, deadline - time.monotonic())
                if association.is_silent(_SILENT_SECONDS) and self._send(association, report) == 0x0000:
                    return self._reported(asked, report)
                return _left
        return _left

    def _report(self, key: str) -> Save:
        asked = self._asked(key)
        if self._too_early(asked):
            return _left
        sender, where = asked.calling_ae_title, self.address_of(asked.calling_ae_title)
        if where is None:
            raise self._no_address(asked)
        report = self.judge.judge(asked)
        association = self._associate(asked, where)
        try:
            status = self._send(association, report)
        finally:
            _part(association)
        if status != 0x0000:
            metrics.COMMITMENT_REPORTS.labels("not_taken").inc()
            said = "no answer" if status is None else f"status 0x{status:04X}"
            raise Retry(f"{sender} did not take the storage commitment report: {said}")
        return self._reported(asked, report)

    def _asked(self, key: str) -> Commitment:
        with self.book.read() as session:
            return session.get_one(Commitment, key)

    def _too_early(self, asked: Commitment) -> bool:
        return utc_now() - asked.received_at < GRACE and self.judge.unsettled(asked)

    def _no_address(self, asked: Commitment) -> GiveUp:
        sender = asked.calling_ae_title
        reason = (
            f"{sender} asked for storage commitment and closed its association, and nobody has said where it listens: "
            f'add [[collect.peers]] with ae_title = "{sender}", host and port; then let it ask again'
        )
        rows = self.judge.rows(instance for _, instance in asked.references)
        with self.book.write() as session:
            tell_studies(session, rows, "not_reported", reason, sender)
        log.error("storage commitment not reported: no address for %r; add [[collect.peers]]", sender)
        return GiveUp(reason)

    def _associate(self, asked: Commitment, where: Peer) -> Association:
        """Opens an association as SCP, which PS3.4 J.3.3 has negotiated by role selection.

        Raises:
            Retry: the sender can't be reached, or does not take the context.
        """
        ae = AE(ae_title=asked.called_ae_title or self.ae_title)
        ae.connection_timeout = _CONNECT_SECONDS
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = _ANSWER_SECONDS
        ae.add_requested_context(PUSH_MODEL)
        roles: list[Any] = [build_role(PUSH_MODEL, scu_role=False, scp_role=True)]
        association = ae.associate(where.host, where.port, ae_title=where.ae_title, ext_neg=roles)
        if association.is_established:
            self._away.pop(where.ae_title, None)
            return association
        self._away[where.ae_title] = time.monotonic() + _AWAY_SECONDS
        metrics.COMMITMENT_REPORTS.labels("unreachable").inc()
        address = f"{where.ae_title}@{where.host}:{where.port}"
        if association.is_rejected or association.rejected_contexts:
            raise Retry(f"{address} does not take storage commitment reports from {ae.ae_title}: allow it there")
        raise Retry(f"{address} can't be reached with a storage commitment report")

    def _reachable(self) -> list[ColumnElement[bool]]:
        now = time.monotonic()
        away = [ae_title for ae_title, until in self._away.items() if until > now]
        return [col(Commitment.calling_ae_title).not_in(away)] if away else []

    def _send(self, association: Association, report: Report) -> int | None:
        """Sends the report; the status, None when none came."""
        try:
            status, _ = association.send_n_event_report(
                write_report(report), report.event_type, PUSH_MODEL, PUSH_MODEL_INSTANCE
            )
        except (RuntimeError, ValueError):  # the association has ended
            return None
        return int(status.Status) if "Status" in status else None

    def _reported(self, asked: Commitment, report: Report) -> Save:
        said = in_words(report, asked.calling_ae_title)
        rows = self.judge.rows(instance for _, instance in asked.references)

        def save(session: Session, row: Row) -> None:
            move(session, row, CommitmentEvent.REPORTED, said)
            tell_studies(session, rows, "not_committed" if report.failed else "committed", said, asked.calling_ae_title)

        outcome = "failures" if report.failed else "committed"
        metrics.COMMITMENT_REPORTS.labels(outcome).inc()
        log.log(
            logging.WARNING if report.failed else logging.INFO,
            "storage commitment reported transaction_uid=%s: %s", report.transaction_uid, said,
        )  # fmt: skip
        return save


def _left(session: Session, row: Row) -> None:
    """It is not the time yet, or the sender has closed its association: no attempt was spent."""
    row.attempts, row.next_at = max(0, row.attempts - 1), database_now(session) + _AGAIN


def _part(association: Association) -> None:
    if association.is_established:
        association.release()
    if not (association.is_released or association.is_aborted):
        association.abort()
