"""With broker or database away, cut or silent, the work goes on or waits, and goes on by itself when they are back."""

import json
import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url
from sqlmodel import func, select

from shared.bus import Bus, celery_app
from shared.service import migrate_when_there
from shared.settings import Core
from shared.store import Book, Study, open_book
from shared.store.moves import enter
from shared.store.patience import Patient
from shared.study import StudyState
from shared.worker import Ringer
from tests.proxy import Proxy
from tests.servers import RABBITMQ, delete_queues, listens
from tests.shared.test_worker import WORKER


@pytest.fixture
def broker() -> Iterator[Proxy]:
    if not listens(5672):
        pytest.skip("no RabbitMQ on 127.0.0.1:5672")
    with Proxy(5672) as proxy:
        yield proxy


@pytest.fixture
def core(broker: Proxy, tmp_path: Path) -> Iterator[Core]:
    """SQLite, and RabbitMQ behind the proxy."""
    url, prefix = make_url(RABBITMQ).set(port=broker.port), f"test-{tmp_path.name}-{broker.port}"
    text = url.render_as_string(hide_password=False)
    (tmp_path / "data").mkdir()
    yield Core(data_dir=tmp_path / "data", broker_url=text, broker_prefix=prefix)
    delete_queues(prefix)


@pytest.fixture
def book(core: Core) -> Iterator[Book]:
    made = open_book(core.database_url)
    made.migrate()
    yield made
    made.close()


def _add(book: Book, uid: str) -> None:
    with book.write() as session:
        enter(session, Study(study_instance_uid=uid, state=StudyState.WAITING))


def _refused(book: Book) -> int:
    with book.read() as session:
        return session.scalar(select(func.count()).select_from(Study).where(Study.state == "refused")) or 0


def _until(true: object, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.1)


@pytest.mark.rabbitmq
def test_a_worker_goes_on_whatever_becomes_of_its_broker(broker: Proxy, core: Core, book: Book, tmp_path: Path) -> None:
    """Away at the start, back, silent, cut: each time what waits is done, and SIGTERM is heard at the end."""
    broker.refuse()
    log = tmp_path / "worker.log"
    with log.open("wb") as output:
        worker = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", WORKER, json.dumps(core.model_dump(mode="json"))], stderr=output
        )
    try:
        for number, change in enumerate((lambda: None, broker.resume, broker.blackhole, broker.resume, broker.cut), 1):
            change()
            _add(book, f"1.{number}")
            _until(lambda: _refused(book) == number)  # noqa: B023
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(40) == 0
    finally:
        worker.kill()
        worker.wait(10)
    said = log.read_text()
    assert said.count("broker away") <= 3, "once an outage"
    assert "broker back after" in said
    assert "consumer: C" not in said, "Celery tells of each attempt, in three lines"
    assert "CPendingDeprecationWarning" not in said


@pytest.mark.rabbitmq
def test_a_commit_waits_for_no_broker_that_hangs(broker: Proxy, core: Core, book: Book) -> None:
    ringer = Ringer(Bus(book, celery_app(core.broker_url, core.data_dir, core.broker_prefix), core.broker_prefix))
    ringer.start()
    _add(book, "1.0")
    _until(lambda: broker.open_connections == 1)
    broker.blackhole()
    done = threading.Event()

    def commit() -> None:
        for number in range(1, 20):
            _add(book, f"1.{number}")
        done.set()

    thread = threading.Thread(target=commit, daemon=True)
    thread.start()
    try:
        assert done.wait(30), "nineteen commits, none of which waits for four seconds"
    finally:
        broker.resume()
        ringer.stop()


@pytest.mark.postgres
def test_a_service_waits_for_a_database_that_is_away_at_its_start_and_says_so_once(
    postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with Proxy(5432) as proxy:
        proxy.refuse()
        book = open_book(make_url(postgres_url).set(port=proxy.port).render_as_string(hide_password=False))
        thread = threading.Thread(target=migrate_when_there, args=(book, 0.1), daemon=True)
        thread.start()
        thread.join(1)
        assert thread.is_alive()
        proxy.resume()
        thread.join(30)
        assert not thread.is_alive()
        assert book.reachable()
        book.close()
    first, second = caplog.messages
    assert first.startswith("database away")
    assert second.startswith("database back")


@pytest.mark.postgres
def test_a_database_that_goes_silent_holds_no_thread_for_ever(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Patient, "longest_silence", 1.0)
    with Proxy(5432) as proxy:
        book = open_book(make_url(postgres_url).set(port=proxy.port).render_as_string(hide_password=False))
        book.migrate()
        proxy.blackhole()
        assert not book.reachable()
        errors: list[Exception] = []

        def ask() -> None:
            try:
                _refused(book)
            except Exception as error:
                errors.append(error)

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(30)
        assert errors, "it has ended, with an error"
        proxy.resume()
        assert _refused(book) == 0
        book.close()
