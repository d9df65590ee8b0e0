"""The service as a process of its own: it serves, tells changes as they happen, and stops cleanly."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from shared.store import Book, open_book
from shared.store.actions import cancel, press
from tests.books import fill


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[Book]:
    book = open_book(f"sqlite:///{tmp_path}/isocenter.db")
    book.migrate()
    fill(book, tmp_path)
    yield book
    book.close()


@pytest.fixture
def process(filled: Book, tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    port = free_port()
    (tmp_path / "isocenter.toml").write_text(
        f'[isocenter]\ndata_dir = "{tmp_path}"\n[status]\nport = {port}\nrefresh_seconds = 0.2\n'
    )
    root = Path(__file__).parents[3]
    environment = os.environ | {"ISOCENTER_CONFIG": str(tmp_path / "isocenter.toml"), "PYTHONPATH": str(root)}
    with (tmp_path / "log").open("wb") as log:
        started = subprocess.Popen([sys.executable, "-m", "services.status"], env=environment, stderr=log, cwd=tmp_path)
        url = f"http://127.0.0.1:{port}"
        try:
            wait_until_up(url, started, tmp_path / "log")
            yield url, started
        finally:
            started.kill()
            started.wait(10)


def wait_until_up(url: str, started: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        assert started.poll() is None, log.read_text()
        try:
            if httpx.get(f"{url}/healthz").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    pytest.fail(f"not up within a minute: {log.read_text()}")


def next_change(lines: Iterator[str]) -> dict[str, object]:
    for line in lines:
        if line.startswith("data: "):
            return dict(json.loads(line.removeprefix("data: ")))
    raise AssertionError("the stream ended")


def test_changes_are_told_live_and_sigterm_ends_it(
    process: tuple[str, subprocess.Popen[bytes]], filled: Book, tmp_path: Path
) -> None:
    url, started = process
    uids = {s["accession_number"]: s["study_instance_uid"] for s in httpx.get(f"{url}/studies").json()["studies"]}
    with httpx.stream("GET", f"{url}/events", timeout=20) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = stream.iter_lines()
        assert next(lines) == "retry: 2000"
        while not next(lines).startswith(": still here"):  # the first look at the book has been taken
            pass
        press(filled, lambda session: cancel(session, uids["MR-24817"], "test"))
        (study,) = next_change(lines)["studies"]  # type: ignore[misc]
        assert (study["accession_number"], study["state"]) == ("MR-24817", "cancelled")
        # a button on the page reaches the same stream
        assert httpx.post(f"{url}/studies/DX-87991/replay", json={"who": "ann"}).status_code == 200
        (study,) = next_change(lines)["studies"]  # type: ignore[misc]
        assert (study["accession_number"], study["state"]) == ("DX-87991", "waiting")
        assert list((tmp_path / "broker" / "messages").glob("*isocenter.decide*")), "decide was rung"
        # the open stream does not keep the process from stopping
        started.send_signal(signal.SIGTERM)
        assert started.wait(30) == 0
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log
    assert "ERROR" not in log


def test_without_a_listener_the_book_is_left_alone(process: tuple[str, subprocess.Popen[bytes]]) -> None:
    """After the last page is closed the process comes to rest."""
    url, started = process
    with httpx.stream("GET", f"{url}/events", timeout=20) as stream:
        next(stream.iter_lines())
    time.sleep(1.5)
    before = cpu_ticks(started.pid)
    time.sleep(2)
    assert cpu_ticks(started.pid) - before <= 5  # hundredths of a second


def cpu_ticks(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        pytest.skip("no /proc here")
    return int(fields[11]) + int(fields[12])
