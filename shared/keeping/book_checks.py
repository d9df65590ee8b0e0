"""Looks through the book for work that stands still, and gives it the push that it waits for."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import func, or_
from sqlmodel import Session, col, select

from shared.keeping.findings import Finding
from shared.keeping.removal import finish_cut_short
from shared.settings import Core
from shared.store import Book, Delivery, Outbox, Removal, Run, Study, utc_now
from shared.store.moves import settle
from shared.study import BELLS, DELIVERY_ENDED, RUN_ENDED, DeliveryState, RunState, State, StudyState

_LATE = timedelta(minutes=5)  # beyond it, what the system mends by itself has not been
_MOST = 10  # examples

_TABLES: dict[type, type[Study] | type[Run] | type[Delivery]] = {
    StudyState: Study,
    RunState: Run,
    DeliveryState: Delivery,
}


def examine_book(book: Book, core: Core, mend: bool) -> list[Finding]:
    """Every look at the book; safe beside a running system."""
    looks: tuple[Callable[[], Finding | None], ...] = (
        lambda: _stuck(book, mend),
        lambda: _idle(book),
        lambda: _outbox(book),
        lambda: _lost_results(book, core),
        lambda: _removals(book, core, mend),
    )
    return [finding for look in looks if (finding := look()) is not None]


def _stuck(book: Book, mend: bool) -> Finding | None:
    """Studies that are running with nothing left to run or deliver, as a crash of an older program may leave them."""
    under_way = (
        select(Run.id).where(
            Run.study_instance_uid == Study.study_instance_uid,
            Run.revision == Study.revision,
            col(Run.state).not_in([*RUN_ENDED, RunState.SENDING]),
        ),
        select(Delivery.id).join(Run, col(Run.id) == Delivery.run_id).where(
            Delivery.study_instance_uid == Study.study_instance_uid,
            Run.revision == Study.revision,
            Run.state != RunState.SUPERSEDED,
            col(Delivery.state).not_in(DELIVERY_ENDED),
        ),
    )  # fmt: skip
    query = select(Study.study_instance_uid).where(
        Study.state == StudyState.RUNNING,
        Study.waiting_since < utc_now() - _LATE,
        *(~one.exists() for one in under_way),
    )
    with book.read() as session:
        uids = session.exec(query.limit(1000)).all()
    for uid in uids if mend else ():
        with book.write() as session:
            settle(session, uid)
    return _finding(
        "stuck studies", uids, "studies are running with nothing left to do", "--mend ends them by what came of them",
        mend,
    )  # fmt: skip


def _idle(book: Book) -> Finding | None:
    """Rows that a stage could take up and nobody does."""
    found: dict[str, list[str]] = {}
    with book.read() as session:
        for state, stage in BELLS.items():
            if ids := _untouched(session, state):
                found.setdefault(stage, []).extend(ids)
    if not found:
        return None
    stages = ", ".join(f"{stage} ({len(ids)})" for stage, ids in sorted(found.items()))
    return _finding(
        "idle work", [one for ids in found.values() for one in ids],
        f"pieces of work wait for {stages} and nobody takes them up",
        "look whether these services run and what their logs say; nothing is lost", False,
    )  # fmt: skip


def _untouched(session: Session, state: State) -> Sequence[str]:
    """Due long ago and taken up by nobody, or by one whose lease ended long ago."""
    table, then = _TABLES[type(state)], utc_now() - _LATE
    key: Any = Study.study_instance_uid if issubclass(table, Study) else table.id
    query = select(key).where(
        table.state == state,
        table.waiting_since < then,
        or_(col(table.lease_until).is_(None), col(table.lease_until) < then),
        or_(col(table.next_at).is_(None), col(table.next_at) < then),
    )
    return session.exec(query.limit(1000)).all()


def _outbox(book: Book) -> Finding | None:
    with book.read() as session:
        count = session.scalar(select(func.count()).where(Outbox.at < utc_now() - _LATE)) or 0
    if not count:
        return None
    return Finding(
        kind="unsent bells", count=count, words=f"{count} bells and events were not sent for minutes",
        do="look whether the broker answers and collect runs; work goes on meanwhile, more slowly",
    )  # fmt: skip


def _lost_results(book: Book, core: Core) -> Finding | None:
    """Deliveries that still have to go and whose file is gone; retention takes none of these."""
    query = select(Delivery.id, Delivery.path).where(
        col(Delivery.removed_at).is_(None),
        or_(col(Delivery.state).not_in(DELIVERY_ENDED), col(Delivery.state) == DeliveryState.DEAD),
    )
    with book.read() as session:
        ids = [key for key, path in session.exec(query) if not (core.data_dir / path).is_file()]
    return _finding(
        "lost results", ids, "results that are to be delivered are not on the disk",
        "replay the study or its run: the result is made again", False,
    )  # fmt: skip


def _removals(book: Book, core: Core, mend: bool) -> Finding | None:
    query = select(Removal.id).where(col(Removal.finished_at).is_(None), Removal.at < utc_now() - _LATE)
    with book.read() as session:
        ids = session.exec(query).all()
    if ids and mend:
        finish_cut_short(book, core)
    return _finding(
        "cut-short removals", ids, "removals were written down and not finished", "--mend finishes them", mend
    )


def _finding(kind: str, ids: Sequence[str], words: str, do: str, mended: bool) -> Finding | None:
    if not ids:
        return None
    return Finding(
        kind=kind, count=len(ids), words=f"{len(ids)} {words}", do=do, mended=mended, examples=list(ids[:_MOST])
    )
