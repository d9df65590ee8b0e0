"""Buttons for many at once: what an outage left dead is replayed, or cancelled, by state, age and destination."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, cast

from sqlmodel import Session, col, select

from shared.store import actions
from shared.store.book import Book
from shared.store.tables import Delivery, Study
from shared.store.views import StudyNotFound
from shared.study import DeliveryState, StudyState

Button = Literal["replay", "cancel"]


@dataclass(frozen=True)
class Filter:
    """Which: studies in a state, or, where a destination is named, its deliveries; `since` is when they came to it."""

    state: str
    since: datetime | None = None
    destination: str = ""

    def problem(self, destinations: Sequence[str]) -> str:
        """What is wrong with it, in words; empty when nothing is."""
        known = [str(s) for s in (DeliveryState if self.destination else StudyState)]
        if self.state not in known:
            whose = "delivery" if self.destination else "study"
            return f"no {whose} is ever {self.state!r}: it is one of {', '.join(known)}"
        if self.destination and self.destination not in destinations:
            return f"there is no destination {self.destination!r}: it is one of {', '.join(destinations) or 'none'}"
        return ""


@dataclass(frozen=True)
class Found:
    """One study or delivery that the filter finds."""

    id: str
    study_instance_uid: str
    what: str
    state: str
    reason: str
    at: datetime  # when it came to its state


@dataclass
class Outcome:
    """What was moved, and what could not be and why."""

    moved: list[Found] = field(default_factory=list)
    not_moved: list[tuple[Found, str]] = field(default_factory=list)


def find(session: Session, wanted: Filter, limit: int) -> list[Found]:
    """What the filter finds, the most urgent and then the oldest first."""
    table: type[Study] | type[Delivery] = Delivery if wanted.destination else Study
    query = select(table).where(table.state == wanted.state)
    if wanted.destination:
        query = query.where(Delivery.destination == wanted.destination)
    if wanted.since:
        query = query.where(col(table.waiting_since) >= wanted.since)
    rows = session.exec(query.order_by(col(table.priority), col(table.waiting_since)).limit(limit)).all()
    return [_found(cast("Study | Delivery", row)) for row in rows]


def _found(row: Study | Delivery) -> Found:
    facts = {"study_instance_uid": row.study_instance_uid, "state": row.state, "reason": row.reason}
    if isinstance(row, Delivery):
        return Found(row.id, what=f"{row.kind} to {row.destination}", at=row.waiting_since, **facts)
    number = row.accession_number or "without accession number"
    return Found(row.study_instance_uid, what=f"study {number}", at=row.waiting_since, **facts)


def press_each(
    book: Book, button: Button, found: Sequence[Found], actor: str, why: str = "",
    told: Callable[[int], None] = lambda _: None,
) -> Outcome:  # fmt: skip
    """Presses the button on each in a transaction of its own: one that can't be moved keeps no other back. `told` hears
    how many are done."""
    outcome = Outcome()
    for number, one in enumerate(found, start=1):
        try:
            actions.press(book, lambda session, one=one: _press(session, button, one, actor, why))  # type: ignore[misc]
            outcome.moved.append(one)
        except (StudyNotFound, actions.NotPossible) as error:
            outcome.not_moved.append((one, str(error)))
        told(number)
    return outcome


def _press(session: Session, button: Button, one: Found, actor: str, why: str) -> Study:
    if button == "cancel":
        return actions.cancel(session, one.id, actor, why)
    if one.state == StudyState.DEAD and one.id == one.study_instance_uid:
        return actions.replay_dead_parts(session, one.id, actor)
    return actions.replay(session, one.id, actor)
