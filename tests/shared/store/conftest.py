"""A new book for each test, on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.store import Book
from tests.books import KINDS, new_book


@pytest.fixture(params=KINDS)
def book(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Book]:
    with new_book(request.param, tmp_path) as made:
        yield made
