"""How many pieces of work with a package may be in hand at once: its concurrency, and while its circuit is open none.

Counted in the book, by the leases, in the transaction that takes a row up: so over all workers of a stage, on all
hosts, and what a worker that died had in hand counts until its lease has run out.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, not_, text
from sqlalchemy.sql import ColumnElement
from sqlmodel import Session, and_, col, select

from shared.guard.suspects import GATES_WAIT, is_held, one_alone
from shared.packages.folder import Package
from shared.store import Run, ShadowRun, Study
from shared.store.circuits import Circuit, Key, marked_circuits
from shared.store.clock import database_now
from shared.study import RunState, ShadowState, StudyState

_ONE_COUNTS = 0x150CE17F  # PostgreSQL's advisory lock while counting: two that count at once would both find room


@dataclass(frozen=True)
class Use:
    """How a stage's rows use packages: what is in hand now, by package, and which rows need one."""

    in_hand: Callable[[Session, timedelta], dict[Key, int]]
    needs: Callable[[Key], ColumnElement[bool]]


@dataclass(frozen=True)
class Rooms:
    """For a stage's `within`."""

    use: Use
    lease: timedelta
    packages: Mapping[Key, Package]

    def within(self, session: Session) -> list[ColumnElement[bool]]:
        """Every row but those that need a package which has its fill, or is left alone; none beside a suspect."""
        circuits = marked_circuits(session)
        rooms = self._rooms(session, circuits)
        suspects = [key for key, circuit in circuits.items() if circuit.is_suspect and self.packages.get(key)]
        if not rooms and not suspects:
            return []
        if session.get_bind().dialect.name == "postgresql":
            session.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _ONE_COUNTS})
        in_hand = self.use.in_hand(session, self.lease)
        full = [not_(self.use.needs(key)) for key, room in rooms.items() if in_hand.get(key, 0) >= room]
        tried = [key for key in suspects if rooms.get(key, 1)]
        return [*full, *one_alone(session, tried, self.use.needs)] if tried else full

    def _rooms(self, session: Session, circuits: Mapping[Key, Circuit]) -> dict[Key, int]:
        """Of the packages that have a bound. One that is not installed has none: its rows end with that reason."""
        said = {key: package.manifest.resources.concurrency for key, package in self.packages.items()}
        rooms = {key: most for key, most in said.items() if most is not None}
        now = database_now(session) if circuits else None
        for key, circuit in circuits.items():
            if self.packages.get(key) and circuit.open_until and now:
                rooms[key] = 0 if circuit.open_until > now else 1
        return rooms


def _readings(session: Session, lease: timedelta) -> dict[Key, int]:
    query = select(Run.package, Run.version, func.count()).where(Run.state == RunState.READY)
    rows = session.exec(query.where(is_held(session, Run, lease)).group_by(Run.package, Run.version))
    return {(package, version): count for package, version, count in rows}


def _shadowings(session: Session, lease: timedelta) -> dict[Key, int]:
    query = select(ShadowRun.package, ShadowRun.version, func.count()).where(ShadowRun.state == ShadowState.WAITING)
    rows = session.exec(query.where(is_held(session, ShadowRun, lease)).group_by(ShadowRun.package, ShadowRun.version))
    return {(package, version): count for package, version, count in rows}


def _gatings(session: Session, lease: timedelta) -> dict[Key, int]:
    held = is_held(session, Study, lease)
    studies = select(Study.study_instance_uid).where(Study.state == StudyState.GATING, held)
    query = select(Run.package, Run.version, func.count()).where(*GATES_WAIT)
    query = query.where(col(Run.study_instance_uid).in_(studies))
    rows = session.exec(query.group_by(Run.package, Run.version))
    return {(package, version): count for package, version, count in rows}


def _reads(key: Key) -> ColumnElement[bool]:
    return and_(col(Run.package) == key[0], col(Run.version) == key[1])


def _gates(key: Key) -> ColumnElement[bool]:
    return col(Study.study_instance_uid).in_(select(Run.study_instance_uid).where(*GATES_WAIT, _reads(key)))


def _shadows(key: Key) -> ColumnElement[bool]:
    return and_(col(ShadowRun.package) == key[0], col(ShadowRun.version) == key[1])


READERS = Use(_readings, _reads)
"""infer: a row is a run, and needs its package."""
GATES = Use(_gatings, _gates)
"""gate: a row is a study, and needs every gate package that has still to judge it."""
SHADOWS = Use(_shadowings, _shadows)
"""infer: a row is a shadow."""
