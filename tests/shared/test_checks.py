"""What Isocenter stands on, away and there."""

import os
import socket
from pathlib import Path

import pytest
from celery import Celery

from shared.bus import celery_app
from shared.checks import Checks, schema
from shared.settings import Core
from shared.store import Book, open_book


def closed_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@pytest.fixture
def core(tmp_path: Path) -> Core:
    return Core(data_dir=tmp_path)


@pytest.fixture
def celery(core: Core) -> Celery:
    return celery_app(core.broker_url, core.data_dir, core.broker_prefix)


@pytest.fixture
def sqlite(tmp_path: Path) -> Book:
    return open_book(f"sqlite:///{tmp_path}/isocenter.db")


def test_all_there(sqlite: Book, core: Core, celery: Celery) -> None:
    found = Checks(sqlite, celery, core, "", 0.001).run()
    assert all(check.ok for check in found.values())
    assert found["database"].detail == "sqlite"


def test_all_away(core: Core) -> None:
    port = closed_port()
    book = open_book(f"postgresql+psycopg://nobody@127.0.0.1:{port}/none")
    app = celery_app(f"amqp://guest@127.0.0.1:{port}//", core.data_dir)
    checks = Checks(book, app, core, f"127.0.0.1:{port}", 10**9)
    found = checks.run()
    checks.close()
    assert {name: check.ok for name, check in found.items()} == {
        "database": False, "broker": False, "triton": False, "disk": False,
    }  # fmt: skip
    said = {name: check.detail for name, check in found.items()}
    assert "images are still taken" in said["database"]
    assert "isocenter.database_url" in said["database"]
    assert said["broker"].startswith("amqp does not answer: work goes on")
    assert "isocenter.broker_url" in said["broker"]
    assert said["triton"].startswith(f"no answer on 127.0.0.1:{port}: studies wait")
    assert "make room" in said["disk"]


@pytest.mark.rabbitmq
def test_rabbitmq(sqlite: Book, core: Core) -> None:
    url = os.environ.get("ISOCENTER_TEST_RABBITMQ", "amqp://guest:guest@127.0.0.1:5672//")
    with socket.socket() as probe:
        probe.settimeout(2)
        if probe.connect_ex(("127.0.0.1", 5672)) and "ISOCENTER_TEST_RABBITMQ" not in os.environ:
            pytest.skip("no RabbitMQ here: set ISOCENTER_TEST_RABBITMQ to its URL")
    found = Checks(sqlite, celery_app(url, core.data_dir), core, "", 0.001).run()
    assert (found["broker"].ok, found["broker"].detail) == (True, "amqp")


def test_a_data_folder_that_is_gone_is_red(sqlite: Book, core: Core, celery: Celery) -> None:
    gone = core.model_copy(update={"data_dir": core.data_dir / "unmounted"})
    found = Checks(sqlite, celery, gone, "", 0.001).run()
    assert not found["disk"].ok
    assert not found["broker"].ok
    assert "is its disk mounted" in found["disk"].detail


def test_a_database_of_another_schema_is_told(sqlite: Book) -> None:
    assert not schema(sqlite).ok
    assert "the database has schema none" in schema(sqlite).detail
    sqlite.migrate()
    assert schema(sqlite).ok
