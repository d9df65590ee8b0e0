"""Packages that were being asked when Triton died: each is tried alone, so that it shows which of them it dies of.

Alone means: no other work of gate or infer, on any host, may ask Triton then. It is counted in the book, by the leases.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta

from sqlalchemy import and_, false, func, not_, or_
from sqlalchemy.sql import ColumnElement
from sqlmodel import Session, col, select

from shared.store import Run, ShadowRun, Study
from shared.store.circuits import Key
from shared.store.clock import database_now, lease_has_ended
from shared.store.tables import Leased
from shared.study import RunState, ShadowState, StudyState

LONGEST_LEASE = timedelta(hours=1)
"""That a stage can have: whose setting this is does not matter here."""
GATES_WAIT = (col(Run.kind) == "gate", col(Run.state) == RunState.WAITING)
"""A gate package's run that has still to be judged."""

_GATED = col(Study.study_instance_uid).in_(select(Run.study_instance_uid).where(*GATES_WAIT))


def in_flight(session: Session) -> int:
    """How many pieces of work may be asking Triton now."""
    asking = [
        select(func.count()).select_from(Run).where(Run.state == RunState.READY, is_held(session, Run)),
        select(func.count()).select_from(Study).where(
            Study.state == StudyState.GATING, _GATED, is_held(session, Study)
        ),
        select(func.count()).select_from(ShadowRun).where(
            ShadowRun.state == ShadowState.WAITING, is_held(session, ShadowRun)
        ),
    ]  # fmt: skip
    return sum(session.scalar(query) or 0 for query in asking)


def one_alone(
    session: Session, suspects: Sequence[Key], needs: Callable[[Key], ColumnElement[bool]]
) -> list[ColumnElement[bool]]:
    """Which rows of a stage may be taken up while there are suspects; `needs` says which rows need a package.

    Where one waits nothing else is taken up until all that is in hand has ended, then that one, and until it has ended
    nothing. What nobody waits for disturbs nobody.
    """
    busy = in_flight(session) > 0
    if not _is_wanted(session, suspects):
        return [not_(needs(key)) for key in suspects] if busy else []
    return [false()] if busy else [or_(*(needs(key) for key in suspects))]


def is_held(session: Session, table: type[Leased], lease: timedelta = LONGEST_LEASE) -> ColumnElement[bool]:
    """Whether somebody works on the row."""
    return not_(lease_has_ended(table, database_now(session), lease))


def _is_wanted(session: Session, suspects: Sequence[Key]) -> bool:
    """Whether a run or a study waits for one of them, or one of them is being tried. A shadow waits for nobody."""
    now = database_now(session)

    def is_due(table: type[Leased]) -> ColumnElement[bool]:
        return or_(col(table.next_at).is_(None), col(table.next_at) <= now)

    def is_of(table: type[Run | ShadowRun]) -> ColumnElement[bool]:
        return or_(*(and_(col(table.package) == name, col(table.version) == version) for name, version in suspects))

    judged = select(Run.study_instance_uid).where(*GATES_WAIT, is_of(Run))
    wanted = [
        select(Run.id).where(Run.state == RunState.READY, is_due(Run), is_of(Run)),
        select(Study.study_instance_uid).where(
            Study.state == StudyState.GATING, is_due(Study), col(Study.study_instance_uid).in_(judged)
        ),
        select(ShadowRun.id).where(
            ShadowRun.state == ShadowState.WAITING, is_of(ShadowRun), is_held(session, ShadowRun)
        ),
    ]  # fmt: skip
    return any(session.exec(query.limit(1)).first() is not None for query in wanted)
