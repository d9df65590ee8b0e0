"""Notices that a study is complete: quiet for long enough, and no open association that carried it."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import timedelta

from sqlalchemy import update
from sqlmodel import col, select

from services.collect.handlers import is_complete
from services.collect.index import Index
from services.collect.open_associations import OpenAssociations
from services.collect.settings import Settings
from shared.store import Book, Study, utc_now
from shared.store.moves import move
from shared.study import StudyEvent, StudyState

log = logging.getLogger(__name__)

TICK_SECONDS = 0.5
_SAY_SECONDS = 1.0
GRACE = timedelta(seconds=3)  # a process that holds a study's association says so each second


class Completion:
    """Looks twice a second. Several listener processes agree through the book: each keeps `active_at` fresh for the
    studies that its open associations carry."""

    def __init__(self, book: Book, settings: Settings, index: Index, open_associations: OpenAssociations) -> None:
        self.book, self.settings, self.index, self.open = book, settings, index, open_associations
        self.each_round: list[Callable[[], object]] = []
        self._said_at = float("-inf")
        self._waits = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="completion", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._stopping.wait(TICK_SECONDS):
            try:
                for step in (*self.each_round, self.look):
                    step()
                self._waits = False
            except Exception as error:
                if not self._waits:
                    log.warning("completion waits cause=%s", type(error).__name__)
                self._waits = True

    def look(self) -> int:
        """One round; returns how many studies became complete."""
        carried = self.open.studies()
        self._keep_active(carried)
        count = 0
        for study_instance_uid in self._quiet_studies():
            # asked again for each: an association may have begun, and rows may wait, since the query
            if study_instance_uid not in self.open.studies() | self.index.pending_studies():
                count += self._complete(study_instance_uid)
        return count

    def _keep_active(self, study_instance_uids: set[str]) -> None:
        if not study_instance_uids or time.monotonic() - self._said_at < _SAY_SECONDS:
            return
        self._said_at = time.monotonic()
        with self.book.write() as session:
            session.execute(
                update(Study)
                .where(
                    col(Study.study_instance_uid).in_(study_instance_uids), col(Study.state) == StudyState.COLLECTING
                )
                .values(active_at=utc_now())
            )

    def _quiet_studies(self) -> list[str]:
        shortest = min([self.settings.quiet_seconds, *self.settings.quiet_seconds_by_ae.values()])
        quiet_since = utc_now() - timedelta(seconds=shortest)
        query = select(Study).where(Study.state == StudyState.COLLECTING, Study.last_instance_at <= quiet_since)
        with self.book.read() as session:
            return [study.study_instance_uid for study in session.exec(query) if self._is_complete(study)]

    def _is_complete(self, study: Study) -> bool:
        return is_complete(study, self.settings.quiet_time(study.calling_ae_title), GRACE, utc_now())

    def _complete(self, study_instance_uid: str) -> bool:
        with self.book.write() as session:
            study = session.get(Study, study_instance_uid, with_for_update=True)
            if study is None or study.state != StudyState.COLLECTING or not self._is_complete(study):
                return False
            quiet = self.settings.quiet_time(study.calling_ae_title)
            move(session, study, StudyEvent.COMPLETED, f"no new image for {quiet.total_seconds():g} s")
        log.info("complete study_instance_uid=%s revision=%d", study_instance_uid, study.revision)
        return True
