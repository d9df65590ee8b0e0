"""/packages: which versions of each package read, how they agree, and the buttons that choose."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field

from shared.packages.installed import Installed
from shared.store import Book
from shared.store.actions import NotPossible
from shared.store.circuits import lift as close
from shared.versions.agreement import Agreement, agreement
from shared.versions.choice import roll_back, use
from shared.versions.overview import PackageView, package_view

Version = Annotated[str, Field(max_length=32)]


class Packages(BaseModel):
    """The packages that are installed."""

    packages: list[PackageView]


class By(BaseModel):
    """Who presses, and why."""

    who: Annotated[str, Field(max_length=100)] = ""
    why: Annotated[str, Field(max_length=1000)] = ""


class Use(By):
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

    def known(name: str) -> str:
        if not installed.of(clean(name)):
            raise HTTPException(
                404, f"there is no package {clean(name)!r}: there are {', '.join(installed.names()) or 'none'}"
            )
        return clean(name)

    @api.get("/packages")
    def packages() -> Packages:
        """The packages: which versions are there, what each does, and how it does."""
        with book.read() as session:
            return Packages(packages=[package_view(session, installed, name) for name in installed.names()])

    @api.get("/packages/{name}/agreement")
    def agreement_of(name: str, since: datetime | None = None) -> Agreement:
        """How the versions of a package stand, and how shadow and canary agree with the one that reads."""
        if since is not None and (since.tzinfo is None or not 1900 <= since.year <= 9000):
            raise HTTPException(422, "since needs its zone, as in 2026-01-31T12:00:00Z")
        with book.read() as session:
            return agreement(session, installed, known(name), since)

    _add_buttons(api, book, installed, allowed, clean, known)


def _add_buttons(
    api: FastAPI, book: Book, installed: Installed, allowed: Callable[[], None], clean: Callable[[str], str],
    known: Callable[[str], str],
) -> None:  # fmt: skip
    def actor(by: By) -> str:
        return f"page: {clean(by.who)}" if by.who else "page"

    @api.post("/packages/{name}/use")
    def use_version(name: str, what: Use) -> Agreement:
        """Choose the version that reads from now on, and what stands beside it."""
        allowed()
        with book.write() as session:
            use(
                session, installed, known(name), clean(what.version), canary=clean(what.canary), share=what.share,
                shadow=clean(what.shadow), who=actor(what), why=clean(what.why),
            )  # fmt: skip
            return agreement(session, installed, known(name))

    @api.post("/packages/{name}/rollback")
    def rollback(name: str, by: By) -> Agreement:
        """Go back to the version that read before."""
        allowed()
        with book.write() as session:
            roll_back(session, installed, known(name), actor(by), clean(by.why))
            return agreement(session, installed, known(name))

    @api.post("/packages/{name}/lift")
    def lift(name: str, by: By) -> PackageView:
        """Let a package be asked again that is quarantined or left alone."""
        allowed()
        with book.write() as session:
            if not close(session, known(name), actor(by), clean(by.why)):
                raise NotPossible(f"{known(name)} is neither quarantined nor left alone")
            return package_view(session, installed, known(name))
