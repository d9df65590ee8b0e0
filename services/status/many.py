"""POST /replay and POST /cancel: buttons for many at once, by the same filters as on the command line."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field

from shared.store import Book
from shared.store.many import Button, Filter, Found, find, press_each


class Many(BaseModel):
    """Which studies, or which deliveries of a destination, and who moves them."""

    state: Annotated[str, Field(max_length=16)]
    """The state they are in: of studies, or of deliveries where a destination is named."""
    since: datetime | None = None
    """Only what came to its state since; with its zone."""
    destination: Annotated[str, Field(max_length=64)] = ""
    """Only deliveries to this destination, instead of studies."""
    limit: Annotated[int, Field(ge=1, le=500)] = 100
    """At most this many; `more` says whether there are others."""
    dry_run: bool = False
    """Only say what would be moved."""
    who: Annotated[str, Field(max_length=100)] = ""
    why: Annotated[str, Field(max_length=1000)] = ""


class Item(BaseModel):
    """One study or delivery."""

    id: str
    study_instance_uid: str
    what: str
    state: str
    """The one that it was found in."""
    reason: str
    at: datetime


class NotMoved(Item):
    """One that could not be moved, and why."""

    problem: str


class Moved(BaseModel):
    """What was moved (with dry_run: what would be), and what could not be."""

    moved: list[Item]
    not_moved: list[NotMoved]
    more: bool


def add_buttons_for_many(
    api: FastAPI, book: Book, destinations: list[str], allowed: Callable[[], None], clean: Callable[[str], str]
) -> None:
    """`allowed` raises where buttons are off; `clean` makes a text fit for the database."""

    def press(button: Button, many: Many) -> Moved:
        allowed()
        if many.since is not None and many.since.tzinfo is None:
            raise HTTPException(422, "since needs its zone, as in 2026-01-31T12:00:00Z")
        wanted = Filter(clean(many.state), many.since, clean(many.destination))
        if problem := wanted.problem(destinations):
            raise HTTPException(422, problem)
        with book.read() as session:
            found = find(session, wanted, many.limit + 1)
        more, found = len(found) > many.limit, found[: many.limit]
        if many.dry_run:
            return Moved(moved=[Item(**_facts(one)) for one in found], not_moved=[], more=more)
        actor = f"page: {clean(many.who)}" if many.who else "page"
        outcome = press_each(book, button, found, actor, clean(many.why))
        return Moved(
            moved=[Item(**_facts(one)) for one in outcome.moved],
            not_moved=[NotMoved(**_facts(one), problem=problem) for one, problem in outcome.not_moved], more=more,
        )  # fmt: skip

    @api.post("/replay")
    def replay(many: Many) -> Moved:
        """Replay many at once: studies by state, or deliveries to one destination."""
        return press("replay", many)

    @api.post("/cancel")
    def cancel(many: Many) -> Moved:
        """Cancel many at once: studies by state, or deliveries to one destination."""
        return press("cancel", many)


def _facts(one: Found) -> dict[str, Any]:
    return asdict(one)
