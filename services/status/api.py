"""The API of status over HTTP: studies, journal, buttons, live changes, health, metrics, and the page."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session
from starlette.middleware.trustedhost import TrustedHostMiddleware

from services.status.body_limit import BodyLimit
from services.status.book_metrics import scrape
from services.status.handlers import Readiness, readiness
from services.status.many import add_buttons_for_many
from services.status.packages import add_packages
from services.status.preview import NoPreview, find_picture, png_of
from services.status.settings import Settings
from services.status.watch import Watch
from shared.checks import Checks
from shared.packages.installed import Installed
from shared.settings import Core
from shared.store import Book, Study, actions
from shared.store.removed import removals_view
from shared.store.view_models import JournalLine, RemovalView, StudyDetail, StudyView
from shared.store.views import StudyNotFound, find_study, journal_view, studies_view, study_detail, study_view
from shared.study import StudyState

PAGE = Path(__file__).parent / "page"
_SECURITY = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


class Studies(BaseModel):
    """A list of studies, the one with the newest image first."""

    studies: list[StudyView]


class Journal(BaseModel):
    """What happened to a study, oldest first."""

    journal: list[JournalLine]


class Removals(BaseModel):
    """What retention has removed, the newest first."""

    removed: list[RemovalView]


class Press(BaseModel):
    """Who presses a button, and why."""

    who: Annotated[str, Field(max_length=100)] = ""
    why: Annotated[str, Field(max_length=1000)] = ""


class Replay(Press):
    """What is replayed: the study, or one run or delivery of it."""

    id: Annotated[str, Field(max_length=64)] = ""
    """The id of a run or of a delivery; empty: the study."""


@dataclass(frozen=True)
class Surroundings:
    """What the API reads from and acts on."""

    book: Book
    core: Core
    settings: Settings
    checks: Checks
    watch: Watch
    installed: Installed
    destinations: list[str] = field(default_factory=list)


def make_api(around: Surroundings) -> FastAPI:
    """The application."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        around.watch.close()
        around.checks.close()

    api = FastAPI(
        title="Isocenter", version="1", lifespan=lifespan, docs_url=None, redoc_url=None,
        summary="Where is my study, what happened to it, and what do I press?",
    )  # fmt: skip
    api.add_middleware(TrustedHostMiddleware, allowed_hosts=around.settings.allowed_hosts)
    api.add_middleware(BodyLimit)
    _answer_errors(api)
    _add_reading(api, around)
    _add_results(api, around)
    _add_buttons(api, around)
    _add_health(api, around)
    _add_page(api, around)
    return api


def _answer_errors(api: FastAPI) -> None:
    @api.exception_handler(NoPreview)
    @api.exception_handler(StudyNotFound)
    def _not_found(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 404)

    @api.exception_handler(RequestValidationError)
    def _not_valid(_: Request, error: RequestValidationError) -> JSONResponse:
        """Without what was sent: half a character, which JSON allows, can't be sent back."""
        said = [{key: one[key] for key in ("type", "loc", "msg")} for one in error.errors()]
        return JSONResponse({"detail": said}, 422)

    @api.exception_handler(actions.NotPossible)
    def _not_possible(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 409)

    @api.exception_handler(SQLAlchemyError)
    def _no_book(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": f"the database does not answer ({type(error).__name__}): see /readyz"}, 503)

    @api.middleware("http")
    async def _secure(request: Request, call_next: Callable) -> Response:  # type: ignore[type-arg]
        response: Response = await call_next(request)
        for name, value in _SECURITY.items():
            response.headers.setdefault(name, value)
        return response


def _add_reading(api: FastAPI, around: Surroundings) -> None:
    book = around.book

    @api.get("/studies")
    def studies(
        state: Annotated[list[StudyState] | None, Query(description="Only studies in one of these states.")] = None,
        since: Annotated[
            datetime | None, Query(description="Only with an image or a move since; with its zone.")
        ] = None,
        q: Annotated[str, Query(max_length=64, description="Start of an accession number or a UID.")] = "",
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        offset: Annotated[int, Query(ge=0, le=2**31)] = 0,
    ) -> Studies:
        """Studies, the one with the newest image first."""
        if since is not None and (since.tzinfo is None or not 1900 <= since.year <= 9000):
            raise HTTPException(422, "since needs its zone, as in 2026-01-31T12:00:00Z")
        with book.read() as session:
            found = studies_view(session, state=state or (), since=since, q=_text(q), limit=limit, offset=offset)
        return Studies(studies=found)

    @api.get("/studies/{name}")
    def study(name: str) -> StudyDetail:
        """One study by its UID or accession number, with its journal."""
        with book.read() as session:
            return study_detail(session, find_study(session, _text(name)))

    @api.get("/studies/{name}/journal")
    def journal(name: str, limit: Annotated[int, Query(ge=1, le=10_000)] = 1000) -> Journal:
        """What happened to a study, oldest first."""
        with book.read() as session:
            uid = find_study(session, _text(name)).study_instance_uid
            return Journal(journal=journal_view(session, uid, limit))

    @api.get("/removed")
    def removed(
        since: Annotated[datetime | None, Query(description="Only since this time; with its zone.")] = None,
        limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
    ) -> Removals:
        """What retention has removed, the newest first."""
        if since is not None and (since.tzinfo is None or not 1900 <= since.year <= 9000):
            raise HTTPException(422, "since needs its zone, as in 2026-01-31T12:00:00Z")
        with book.read() as session:
            return Removals(removed=removals_view(session, since=since, limit=limit))

    @api.get("/events", response_class=StreamingResponse)
    def events() -> StreamingResponse:
        """Server-sent events: `studies` with the views of those that have changed."""
        return StreamingResponse(_stream(around.watch), media_type="text/event-stream")


def _text(value: str) -> str:
    """PostgreSQL takes no NUL in a text, so nothing in the book has one."""
    return value.replace("\0", "\ufffd")


async def _stream(watch: Watch) -> AsyncIterator[str]:
    yield "retry: 2000\n\n"
    async for changed in watch.changes():
        if changed:
            data = json.dumps({"studies": [view.model_dump(mode="json") for view in changed]})
            yield f"event: studies\ndata: {data}\n\n"
        else:
            yield ": still here\n\n"


def _add_results(api: FastAPI, around: Surroundings) -> None:
    @api.get("/results/{run_id}/{identifier}.png", response_class=Response)
    def preview(run_id: str, identifier: str) -> Response:
        """A Secondary Capture as a PNG."""
        with around.book.read() as session:
            core = around.core
            path = find_picture(session, core.data_dir, core.results_dir, _text(run_id), _text(identifier))
        return Response(png_of(path), media_type="image/png")


def _add_buttons(api: FastAPI, around: Surroundings) -> None:
    """Every button takes a JSON body, which a form on a page elsewhere can't send."""

    def allowed() -> None:
        if not around.settings.allow_actions:
            raise HTTPException(403, "buttons are off here: status.allow_actions is false")

    def pressed(name: str, button: Callable[[Session, str], Study]) -> StudyView:
        allowed()
        uid = actions.press(around.book, lambda session: button(session, _text(name)))
        with around.book.read() as session:
            return study_view(session, find_study(session, uid))

    @api.post("/studies/{name}/complete")
    def complete(name: str, by: Press) -> StudyView:
        """Call a study complete at once, instead of waiting for its quiet time."""
        return pressed(name, lambda session, n: actions.complete(session, n, _actor(by)))

    @api.post("/studies/{name}/replay")
    def replay(name: str, what: Replay) -> StudyView:
        """Send a settled study round again, or one of its runs or deliveries (`id`)."""
        if not what.id:
            return pressed(name, lambda session, n: actions.replay(session, n, _actor(what)))
        return pressed(name, lambda session, n: _replay_part(session, n, what))

    @api.post("/studies/{name}/cancel")
    def cancel(name: str, by: Press) -> StudyView:
        """Stop a study with its runs and deliveries."""
        return pressed(name, lambda session, n: actions.cancel(session, n, _actor(by), _text(by.why)))

    @api.post("/studies/{name}/release")
    def release(name: str, by: Press) -> StudyView:
        """Let a held study through; `who` and `why` are written into its results."""
        return pressed(name, lambda s, n: actions.release(s, n, _text(by.who), _text(by.why), _actor(by)))

    add_buttons_for_many(api, around.book, around.destinations, allowed, _text)
    add_packages(api, around.book, around.installed, allowed, _text)


def _replay_part(session: Session, name: str, what: Replay) -> Study:
    study = find_study(session, name)
    moved = actions.replay(session, _text(what.id), _actor(what))
    if moved.study_instance_uid != study.study_instance_uid:
        raise actions.NotPossible("that run or delivery belongs to another study")
    return moved


def _actor(by: Press) -> str:
    return f"page: {_text(by.who)}" if by.who else "page"


def _add_health(api: FastAPI, around: Surroundings) -> None:
    @api.get("/healthz")
    def healthz() -> dict[str, str]:
        """The process is up."""
        return {"status": "up"}

    @api.get("/readyz", responses={503: {"model": Readiness}})
    def readyz(response: Response) -> Readiness:
        """Whether database, broker, Triton and disk are there."""
        found = readiness(around.checks.run())
        response.status_code = 200 if found.status == "ready" else 503
        return found

    @api.get("/metrics", response_class=Response)
    def metrics() -> Response:
        """For Prometheus."""
        return Response(scrape(around.book, around.installed), media_type=CONTENT_TYPE_LATEST)


def _add_page(api: FastAPI, around: Surroundings) -> None:
    @api.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    @api.get("/page-settings", include_in_schema=False)
    def page_settings() -> dict[str, object]:
        return {"allow_actions": around.settings.allow_actions, "followed_studies": around.settings.followed_studies}

    api.mount("/page", StaticFiles(directory=PAGE), name="page")
