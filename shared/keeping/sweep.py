"""The round of retention: what each rule lets go by its age, then what may go early while room is short."""

import logging
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import delete, func, or_
from sqlmodel import Session, col, select

from shared.keeping import aside
from shared.keeping.removal import finish, finish_cut_short, remove_of_study
from shared.keeping.rules import OF_STUDIES, Retention, Rule
from shared.settings import Core
from shared.store import Book, Order, Quarantine, Removal, Study, utc_now

log = logging.getLogger(__name__)

BOUND = "quarantine_most_bytes"  # stands as the rule of what the bound removes
_AT_ONCE = 200
_LONGEST_ROUND = 30.0  # seconds; the next round goes on


@dataclass
class Sweep:
    """Retention's rounds; one process does them."""

    book: Book
    core: Core
    retention: Retention
    free_bytes: Callable[[], int] | None = None
    stopping: Callable[[], bool] = field(default=lambda: False)

    def round(self) -> list[Removal]:
        """Finishes what a crash cut short, then removes what the rules let go; returns the removals."""
        until = time.monotonic() + _LONGEST_ROUND
        finished, back = finish_cut_short(self.book, self.core)
        if finished or back:
            log.warning("removals that were cut short: finished=%d put_back=%d", finished, back)
        removed: list[Removal] = []
        for step in (self._by_age, self._early, self._bound):
            for removal in step():
                removed.append(removal)
                if self.stopping() or time.monotonic() > until:
                    return removed
        return removed

    def _by_age(self) -> Iterator[Removal]:
        for rule in self.retention.rules:
            if rule.remove in OF_STUDIES:
                yield from self._of_studies(rule, early=False)
            elif rule.remove == "orders":
                yield from self._orders(rule)
            else:
                yield from self._quarantine(rule.name, utc_now() - timedelta(days=rule.after_days))

    def _early(self) -> Iterator[Removal]:
        """The oldest first, over all rules, until there is room."""
        rules = [rule for rule in self.retention.rules if rule.early_after_days and rule.remove in OF_STUDIES]
        if not rules or self._free() >= self.retention.when_free_below_bytes:
            return
        candidates = sorted(
            (at, uid, number) for number, rule in enumerate(rules) for uid, at in _candidates(self.book, rule, True)
        )
        for _, uid, number in candidates:
            if self._free() >= self.retention.when_free_below_bytes:
                return
            if removal := self._of_study(uid, rules[number], early=True):
                yield removal
        log.error(
            "room is short and no rule lets more go free_bytes=%d when_free_below_bytes=%d",
            self._free(), self.retention.when_free_below_bytes,
        )  # fmt: skip

    def _free(self) -> int:
        return self.free_bytes() if self.free_bytes else shutil.disk_usage(self.core.data_dir).free

    def _of_studies(self, rule: Rule, early: bool) -> Iterator[Removal]:
        for uid, _ in _candidates(self.book, rule, early):
            if removal := self._of_study(uid, rule, early):
                yield removal

    def _of_study(self, uid: str, rule: Rule, early: bool) -> Removal | None:
        """A study that the disk does not let go keeps no other from it."""
        try:
            return remove_of_study(self.book, self.core, uid, rule, early)
        except OSError as error:
            log.error("not removed rule=%r study_instance_uid=%s cause=%s", rule.name, uid, error.strerror)
            return None

    def _orders(self, rule: Rule) -> Iterator[Removal]:
        before = utc_now() - timedelta(days=rule.after_days)
        due = func.coalesce(Order.scheduled_at, Order.received_at)
        taken = select(Study.study_instance_uid).where(Study.order_id == Order.id).exists()
        with self.book.write() as session:
            query = select(Order.id).where(due < before, Order.received_at < before, ~taken).limit(_AT_ONCE)
            ids = session.exec(query.with_for_update()).all()
            if not ids:
                return
            session.execute(delete(Order).where(col(Order.id).in_(ids)))
            removal = _removal("orders", rule.name, len(ids))
            removal.finished_at = removal.at
            session.add(removal)
        log.info("removed what=orders count=%d rule=%r", removal.count, rule.name)
        yield removal

    def _bound(self) -> Iterator[Removal]:
        """The oldest of quarantine, until it holds no more than it may."""
        most = self.retention.quarantine_most_bytes
        while most:
            with self.book.read() as session:
                held = session.scalar(select(func.coalesce(func.sum(Quarantine.size), 0))) or 0
            if held <= most:
                return
            removed = list(self._quarantine(BOUND, None, held - most))
            if not removed:
                return
            log.warning("quarantine held more than %s: the oldest was removed bytes=%d", BOUND, removed[0].size)
            yield from removed

    def _quarantine(self, rule: str, before: datetime | None, at_least: int = 0) -> Iterator[Removal]:
        """The oldest rows with their files: those from before a time, or as many as make `at_least` bytes."""
        removal, root = _removal("quarantine", rule), self.core.quarantine_dir
        try:
            with self.book.write() as session:
                rows = _oldest(session, before, at_least)
                if not rows:
                    return
                removal.count, removal.size = len(rows), sum(row.size for row in rows)
                aside.set_aside(root, removal.id, {row.path for row in rows if row.path})
                for row in rows:
                    session.delete(row)
                session.add(removal)
        except BaseException:
            aside.put_back(root, removal.id)
            raise
        finish(self.book, removal.id, [root])
        yield removal


def _candidates(book: Book, rule: Rule, early: bool) -> list[tuple[str, datetime]]:
    """UID and time of the studies that the rule seems to let go, the oldest first; the removal itself looks again."""
    if (age := rule.age(early)) is None:
        return []
    mark = col(Study.results_removed_at if rule.remove == "results" else Study.images_removed_at)
    settled = col(Study.settled_at)
    query = select(Study.study_instance_uid, settled).where(
        col(Study.state).in_(rule.states), settled <= utc_now() - age
    )
    if rule.remove != "record":  # what has settled again since may have come to something new
        query = query.where(or_(mark.is_(None), mark < settled))
    with book.read() as session:
        return [(uid, at) for uid, at in session.exec(query.order_by(settled).limit(50 * _AT_ONCE)) if at]


def _oldest(session: Session, before: datetime | None, at_least: int) -> list[Quarantine]:
    """The oldest rows, and with them every row that names one of their files."""
    query = select(Quarantine).order_by(col(Quarantine.at), col(Quarantine.id)).limit(_AT_ONCE)
    rows: list[Quarantine] = []
    for row in session.exec(query.where(Quarantine.at < before) if before else query):
        if at_least and sum(one.size for one in rows) >= at_least:
            break
        rows.append(row)
    paths = {row.path for row in rows if row.path}
    known = {row.id for row in rows}
    same = session.exec(select(Quarantine).where(col(Quarantine.path).in_(paths))).all() if paths else []
    return rows + [row for row in same if row.id not in known]


def _removal(what: str, rule: str, count: int = 0) -> Removal:
    return Removal(id=str(uuid.uuid4()), what=what, rule=rule, count=count)
