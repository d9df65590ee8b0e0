"""What tests share: where the team's bench lies, databases and brokers of their own, and no silent skips in CI."""

import os
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from shared.settings import Core
from shared.store import Book, open_book

ROOT = Path(__file__).parents[1]
BENCH = Path(os.environ.get("ISOCENTER_BENCH", ROOT.parent / "shared"))
POSTGRES = os.environ.get("ISOCENTER_TEST_POSTGRES", "postgresql+psycopg://postgres@127.0.0.1:5432/test")
RABBITMQ = os.environ.get("ISOCENTER_TEST_RABBITMQ", "amqp://guest:guest@127.0.0.1:5672//")


def listens(port: int) -> bool:
    """Whether someone listens on this machine's port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="session")
def bench() -> Path:
    """The team's bench of real DICOM, HL7 and MR series."""
    if not (BENCH / "data" / "MANIFEST.tsv").is_file():
        pytest.skip("the bench of real data is not beside this checkout")
    return BENCH


@pytest.fixture(scope="session")
def triton_environment() -> Path:
    """Triton's own environment."""
    folder = ROOT / ".venv-triton"
    if not (folder / "bin" / "python").exists():
        pytest.skip("Triton's environment is not set up: make setup")
    return folder


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """A PostgreSQL database of this test's own, dropped after it."""
    name = f"isocenter_{uuid.uuid4().hex[:12]}"
    if not listens(5432):
        pytest.skip("no PostgreSQL on 127.0.0.1:5432")
    admin = create_engine(POSTGRES, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f'create database "{name}"'))
    try:
        yield f"{POSTGRES.rsplit('/', 1)[0]}/{name}"
    finally:
        with admin.connect() as connection:
            connection.execute(text(f'drop database if exists "{name}" with (force)'))
        admin.dispose()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database: the embedded default, and PostgreSQL."""
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path}/isocenter.db"


@pytest.fixture
def book(database_url: str) -> Iterator[Book]:
    """A book at the newest schema."""
    book = open_book(database_url)
    book.migrate()
    yield book
    book.close()


@pytest.fixture(params=["files", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
def core(request: pytest.FixtureRequest, tmp_path: Path, database_url: str) -> Iterator[Core]:
    """Settings with a database and a broker of this test's own."""
    if request.param == "files":
        yield Core(data_dir=tmp_path / "data", database_url=database_url)
        return
    if not listens(5672):
        pytest.skip("no RabbitMQ on 127.0.0.1:5672")
    prefix = f"test-{uuid.uuid4().hex[:12]}"
    yield Core(data_dir=tmp_path / "data", database_url=database_url, broker_url=RABBITMQ, broker_prefix=prefix)
    _delete_queues(prefix)


def _delete_queues(prefix: str) -> None:
    from kombu import Connection

    from shared.bus import STAGES, queue_of

    with Connection(RABBITMQ) as connection:
        channel = connection.channel()
        for stage in STAGES:
            channel.queue_delete(queue_of(stage, prefix))
        channel.exchange_delete(f"{prefix}.events")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """In CI beside a bench, a skip is a failure: there everything can run."""
    if report.skipped and os.environ.get("ISOCENTER_REQUIRE_HOSPITAL") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.longrepr = f"skipped where nothing may be skipped: {reason}"
