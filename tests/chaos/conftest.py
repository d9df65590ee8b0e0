"""What the chaos tests need of the machine."""

import sys

import pytest

from tests.servers import listens


@pytest.fixture(autouse=True)
def linux() -> None:
    """Processes are found and stopped through /proc."""
    if sys.platform != "linux":
        pytest.skip("the chaos harness finds its processes through /proc: Linux only")


@pytest.fixture
def servers() -> None:
    """PostgreSQL and RabbitMQ."""
    if not (listens(5432) and listens(5672)):
        pytest.skip("no PostgreSQL on 127.0.0.1:5432 or no RabbitMQ on 127.0.0.1:5672")
