"""What tests share: where the team's bench lies, databases and brokers of their own, and no silent skips in CI."""

import os
import sys
import tempfile
import uuid
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from shared.settings import Core
from shared.store import Book, open_book
from tests.servers import RABBITMQ, delete_queues, listens, new_database

ROOT = Path(__file__).parents[1]
# Looked up once: a listener under test moves the folder for temporary files.
HOSPITAL_HOME = Path(os.environ.get("HOSPITAL_HOME", Path(tempfile.gettempdir()) / "hospital"))
BENCH = Path(os.environ.get("ISOCENTER_BENCH", ROOT.parent / "shared"))
# An environment that is activated has pynetdicom's storescu before DCMTK's, which is the one that is meant.
os.environ["PATH"] = os.pathsep.join(
    one for one in os.environ.get("PATH", "").split(os.pathsep) if one != str(Path(sys.prefix) / "bin")
)


@pytest.fixture(scope="session")
def bench() -> Path:
    """The team's bench of real DICOM, HL7 and MR series."""
    if not (BENCH / "data" / "MANIFEST.tsv").is_file():
        pytest.skip("the bench of real data is not beside this checkout")
    return BENCH


@pytest.fixture(scope="session")
def hospital_home() -> Path:
    """What the bench's hospital has installed: a real PACS, a real viewer, validators, HL7 peers."""
    if not (HOSPITAL_HOME / "venv").is_dir():
        pytest.skip("the hospital is not set up: the bench's `hospital setup` does it")
    return HOSPITAL_HOME


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
    if not listens(5432):
        pytest.skip("no PostgreSQL on 127.0.0.1:5432")
    with new_database() as url:
        yield url


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
    delete_queues(prefix)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI beside a bench, a skip is a failure: there everything can run."""
    report = yield
    if report.skipped and os.environ.get("ISOCENTER_REQUIRE_HOSPITAL") and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome, report.longrepr = "failed", f"skipped where nothing may be skipped: {reason}"
    return report
