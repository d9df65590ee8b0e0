"""Notices that a study is complete: quiet for long enough, and no open association that carried it."""

import logging
import threading
from collections.abc import Callable
from datetime import timedelta

from sqlmodel import select

from services.collect.handlers import is_complete
from services.collect.settings import Settings
from shared.store import Book, Study, utc_now
from shared.store.moves import move
from shared.study import StudyEvent, StudyState

log = logging.getLogger(__name__)

TICK_SECONDS = 0.5
GRACE = timedelta(seconds=3)  # a process that holds a study's association says so each second


class Completion:
    """Looks twice a second. `held` gives the studies that an open association carries or of which rows wait, in this
    process or another; the book's `active_at` tells of processes that are not asked."""

    def __init__(self, book: Book, settings: Settings, held: Callable[[], set[str]]) -> None:
        self.book, self.settings, self.held = book, settings, held
        self.each_round: list[Callable[[], object]] = []
        self.awaits: Callable[[str], bool] = lambda _: False
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
        count = 0
        for study_instance_uid in self._quiet_studies():
            # asked again for each: an association may have begun since the query
            if study_instance_uid not in self.held() and not self.awaits(study_instance_uid):
                count += self._complete(study_instance_uid)
        return count

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
