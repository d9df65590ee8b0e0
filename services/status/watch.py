"""Follows the book live: one look at it a moment, however many pages are open, and none while nobody looks."""

import asyncio
import logging
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

import sqlalchemy
from fastapi.concurrency import run_in_threadpool
from sqlmodel import Session, col, select

from shared.store import Book, Delivery, Run, Study
from shared.store.circuits import open_circuits
from shared.store.view_models import StudyView
from shared.store.views import views_of
from shared.study import StudyState

log = logging.getLogger(__name__)

Marks = dict[str, Hashable]


class Watch:
    """Tells those who listen which studies have changed."""

    def __init__(self, book: Book, refresh_seconds: float, followed_studies: int) -> None:
        self.book, self.refresh_seconds, self.followed = book, refresh_seconds, followed_studies
        self.closing = False
        self._marks: Marks = {}
        self._starting = asyncio.Lock()
        self._listeners: set[asyncio.Queue[list[StudyView]]] = set()
        self._task: asyncio.Task[None] | None = None

    def close(self) -> None:
        """Ends every stream within a moment, so that the process can stop."""
        self.closing = True

    async def changes(self) -> AsyncIterator[list[StudyView]]:
        """What has changed, as it changes; an empty list when nothing has for a moment."""
        async with self._listening() as queue:
            while not self.closing:
                try:
                    yield await asyncio.wait_for(queue.get(), timeout=1.0)
                except TimeoutError:
                    yield []

    @asynccontextmanager
    async def _listening(self) -> AsyncIterator[asyncio.Queue[list[StudyView]]]:
        async with self._starting:
            if self._task is None:
                self._marks = await run_in_threadpool(self._look)
                self._task = asyncio.create_task(self._follow())
        queue: asyncio.Queue[list[StudyView]] = asyncio.Queue(maxsize=1000)
        self._listeners.add(queue)
        try:
            yield queue
        finally:
            self._listeners.discard(queue)
            if not self._listeners and self._task:
                self._task.cancel()
                self._task = None

    async def _follow(self) -> None:
        while not self.closing:
            await asyncio.sleep(self.refresh_seconds)
            try:
                changed = await run_in_threadpool(self._changed)
            except Exception as error:
                log.warning("the book can't be followed cause=%s", type(error).__name__)
                continue
            for queue in self._listeners if changed else ():
                if not queue.full():  # a page that has not read a thousand changes is gone
                    queue.put_nowait(changed)

    def _changed(self) -> list[StudyView]:
        marks = self._look()
        uids = [uid for uid, mark in marks.items() if self._marks.get(uid) != mark]
        self._marks = marks
        if not uids:
            return []
        with self.book.read() as session:
            return views_of(session, uids)

    def _look(self) -> Marks:
        """A mark a study that differs when anything on the page would."""
        with self.book.read() as session:
            return marks_of(session, self.followed)


def marks_of(session: Session, followed: int) -> Marks:
    """Marks of the studies with the newest images."""
    newest = select(Study).order_by(col(Study.last_instance_at).desc()).limit(followed)
    studies = session.exec(newest).all()
    uids = [study.study_instance_uid for study in studies]
    parts: dict[str, list[Hashable]] = {
        s.study_instance_uid: [s.state, s.reason, s.attempts, s.lease_owner, s.last_instance_at, s.waiting_since]
        for s in studies
    }
    left_alone = tuple(sorted((*key, circuit.times) for key, circuit in open_circuits(session).items()))
    for study in studies:
        if study.state in (StudyState.GATING, StudyState.RUNNING):
            parts[study.study_instance_uid].append(left_alone)
    for table in (Run, Delivery):
        names = ("study_instance_uid", "id", "state", "attempts", "lease_owner", "reason")
        columns = [getattr(table, name) for name in names]
        rows = session.execute(sqlalchemy.select(*columns).where(col(table.study_instance_uid).in_(uids)))
        for uid, *mark in sorted(rows, key=lambda row: row[1]):
            parts[uid].append(tuple(mark))
    return {uid: tuple(mark) for uid, mark in parts.items()}
