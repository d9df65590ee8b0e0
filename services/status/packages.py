"""/packages: which versions of each package read, how they agree, and the buttons that choose."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field
from sqlmodel import Session

from shared.packages.installed import Installed
from shared.store import Book
from shared.versions.agreement import Agreement, agreement
from shared.versions.choice import roll_back, use

Version = Annotated[str, Field(max_length=32)]


class Packages(BaseModel):
    """The names of the packages that are installed."""

    packages: list[str]


class Back(BaseModel):
    """Who goes back to the version before, and why."""

    who: Annotated[str, Field(max_length=100)] = ""
    why: Annotated[str, Field(max_length=1000)] = ""


class Use(Back):
    """Which versions read from now on."""

    version: Version
    canary: Version = ""
    share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Of the studies, that the canary reads."""
    shadow: Version = ""


def add_packages(
    api: FastAPI, book: Book, installed: Installed, allowed: Callable[[], None], clean: Callable[[str], str]
) -> None:
    """`allowed` raises where buttons are off; `clean` makes a text fit for the database."""

    def told(session: Session, name: str, since: datetime | None = None) -> Agreement:
        if not installed.of(name):
            raise HTTPException(
                404, f"there is no package {name!r}: there are {', '.join(installed.names()) or 'none'}"
            )
        return agreement(session, installed, name, since)

    @api.get("/packages")
    def packages() -> Packages:
        """The packages."""
        return Packages(packages=installed.names())

    @api.get("/packages/{name}/agreement")
    def agreement_of(name: str, since: datetime | None = None) -> Agreement:
        """How the versions of a package stand, and how shadow and canary agree with the one that reads."""
        if since is not None and (since.tzinfo is None or not 1900 <= since.year <= 9000):
            raise HTTPException(422, "since needs its zone, as in 2026-01-31T12:00:00Z")
        with book.read() as session:
            return told(session, clean(name), since)

    @api.post("/packages/{name}/use")
    def use_version(name: str, what: Use) -> Agreement:
        """Choose the version that reads from now on, and what stands beside it."""
        allowed()
        with book.write() as session:
            told(session, clean(name))
            use(
                session, installed, clean(name), clean(what.version), canary=clean(what.canary), share=what.share,
                shadow=clean(what.shadow), who=_actor(what, clean), why=clean(what.why),
            )  # fmt: skip
            return told(session, clean(name))

    @api.post("/packages/{name}/rollback")
    def rollback(name: str, by: Back) -> Agreement:
        """Go back to the version that read before."""
        allowed()
        with book.write() as session:
            told(session, clean(name))
            roll_back(session, installed, clean(name), _actor(by, clean), clean(by.why))
            return told(session, clean(name))


def _actor(by: Back, clean: Callable[[str], str]) -> str:
    return f"page: {clean(by.who)}" if by.who else "page"
