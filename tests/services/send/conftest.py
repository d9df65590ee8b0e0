"""What the tests of send share."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.store import Book
from tests.services.send.stand_ins import Post


@pytest.fixture
def post(book: Book, tmp_path: Path) -> Post:
    return Post(book, tmp_path)


@pytest.fixture
def start() -> Iterator[Callable[..., Any]]:
    """Starts a stand-in, and stops it after the test: `start(StandInPacs, …)`."""
    started: list[Any] = []

    def make(kind: Callable[..., Any], *args: Any, **more: Any) -> Any:
        started.append(kind(*args, **more))
        return started[-1]

    yield make
    for one in started:
        one.stop()
