"""A book of made-up studies in every state, and the API on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery
from fastapi.testclient import TestClient

from services.status.api import Surroundings, make_api
from services.status.settings import Settings
from services.status.watch import Watch
from shared.bus import celery_app
from shared.checks import Checks
from shared.packages.installed import Installed
from shared.settings import Core
from shared.store import Book
from tests.books import KINDS, fill, new_book


@pytest.fixture(params=KINDS)
def book(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Book]:
    with new_book(request.param, tmp_path) as made:
        fill(made, tmp_path)
        yield made


@pytest.fixture
def core(tmp_path: Path) -> Core:
    return Core(data_dir=tmp_path)


@pytest.fixture
def celery(core: Core) -> Celery:
    return celery_app(core.broker_url, core.data_dir, core.broker_prefix)


def around(book: Book, core: Core, celery: Celery, **settings: object) -> Surroundings:
    chosen = Settings(**settings)  # type: ignore[arg-type]
    checks = Checks(book, celery, core, "", 0.001)
    return Surroundings(
        book, core, chosen, checks, Watch(book, 0.1, 200), Installed(core.data_dir / "models"), ["PACS", "RIS"]
    )


@pytest.fixture
def client(book: Book, core: Core, celery: Celery) -> Iterator[TestClient]:
    with TestClient(make_api(around(book, core, celery)), base_url="http://127.0.0.1") as made:
        yield made


@pytest.fixture
def client_without_buttons(book: Book, core: Core, celery: Celery) -> Iterator[TestClient]:
    with TestClient(make_api(around(book, core, celery, allow_actions=False)), base_url="http://127.0.0.1") as made:
        yield made
