"""admit's own process, its database refused, silent and cut: never AA for what is not written, and it goes on."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url
from sqlmodel import select

from shared.hl7.acknowledgement import Acknowledgement, read_acknowledgement
from shared.hl7.mllp import send_message
from shared.store import Book, Order, open_book
from tests.collecting import free_port, listens
from tests.proxy import Proxy
from tests.services.admit.test_mllp_listener import orm

pytestmark = pytest.mark.postgres
RIS_WAITS = 25.0  # seconds; a RIS mostly waits for half a minute


@pytest.fixture
def database() -> Iterator[Proxy]:
    with Proxy(5432) as proxy:
        yield proxy


@pytest.fixture
def book(postgres_url: str) -> Iterator[Book]:
    book = open_book(postgres_url)
    book.migrate()
    yield book
    book.close()


@pytest.fixture
def port(postgres_url: str, database: Proxy, book: Book, tmp_path: Path) -> Iterator[int]:
    """`python -m services.admit`, which reaches PostgreSQL through the proxy only."""
    url, port = make_url(postgres_url).set(port=database.port).render_as_string(hide_password=False), free_port()
    page = f'[isocenter]\ndata_dir = "{tmp_path}/data"\ndatabase_url = "{url}"\n[admit]\nhost = "127.0.0.1"\n'
    (tmp_path / "isocenter.toml").write_text(f"{page}port = {port}\n")
    environment = {**os.environ, "ISOCENTER_CONFIG": str(tmp_path / "isocenter.toml")}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "services.admit"], env=environment, stderr=log)
    try:
        _until_listens(port, process)
        yield port
        database.resume()
        process.send_signal(signal.SIGTERM)
        assert process.wait(40) == 0
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in (tmp_path / "log").read_text()


def _until_listens(port: int, process: "subprocess.Popen[bytes]") -> None:
    pause = threading.Event()
    for _ in range(600):
        if listens(port):
            return
        assert process.poll() is None
        pause.wait(0.1)
    raise AssertionError("it does not listen")


def _send(port: int, number: int) -> Acknowledgement:
    return read_acknowledgement(send_message("127.0.0.1", port, orm(f"ID{number}", f"ACC{number}"), RIS_WAITS))


def _written(book: Book) -> set[str]:
    with book.read() as session:
        return set(session.exec(select(Order.accession_number)))


def test_a_database_that_is_refused_or_silent(port: int, database: Proxy, book: Book) -> None:
    assert _send(port, 1).code == "AA"
    for number, goes in enumerate((database.refuse, database.blackhole), start=2):
        goes()
        answer = _send(port, number)
        assert answer.code != "AA"
        assert "send it again later" in answer.text
        assert f"ACC{number}" not in _written(book)
        database.resume()
        assert _send(port, number).code == "AA", "it goes on by itself"
        assert f"ACC{number}" in _written(book)


def test_a_database_whose_connections_are_cut_again_and_again(port: int, database: Proxy, book: Book) -> None:
    stop, answers = threading.Event(), dict[str, str]()

    def cut() -> None:
        while not stop.wait(0.03):
            database.cut()

    thread = threading.Thread(target=cut, daemon=True)
    thread.start()
    for number in range(60):
        answers[f"ACC{number}"] = _send(port, number).code
    stop.set()
    thread.join(10)
    accepted = {accession for accession, code in answers.items() if code == "AA"}
    assert accepted <= _written(book)
    assert all(_send(port, number).code == "AA" for number in range(60))
    assert _written(book) == set(answers)
