"""The process: it starts by its configuration, and SIGTERM ends it without losing a row."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from shared.store import open_book


@pytest.fixture
def process(tmp_path: Path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    page = (
        f'[isocenter]\ndata_dir = "{tmp_path}/data"\n[collect]\nhost = "127.0.0.1"\nport = {port}\nstop_seconds = 5\n'
    )
    (tmp_path / "isocenter.toml").write_text(page + "least_free_bytes = 0\n")
    environment = {**os.environ, "ISOCENTER_CONFIG": str(tmp_path / "isocenter.toml")}
    root = Path(__file__).parents[3]
    running = subprocess.Popen(
        [sys.executable, "-m", "services.collect"], env=environment, cwd=root, stderr=subprocess.PIPE, text=True
    )
    yield running, port, tmp_path / "data"
    if running.poll() is None:
        running.kill()
    running.communicate()


def test_sigterm_lets_associations_end_and_writes_every_row(process, tools, pages_of, sender_to) -> None:
    running, port, data = process
    tools.until(lambda: _listens(port), seconds=90)
    sender = sender_to(port, [(MRImageStorage, ExplicitVRLittleEndian)])
    assert tools.post(sender, tools.image("1.2.3")) == 0
    running.send_signal(signal.SIGTERM)
    tools.until(lambda: not _listens(port))
    assert tools.post(sender, tools.image("1.2.3")) == 0, "an open association goes on"
    sender.release()
    _, errors = running.communicate(timeout=40)
    assert running.returncode == 0, errors
    book = open_book(f"sqlite:///{data}/isocenter.db")
    assert len(pages_of(book).instances("1.2.3")) == 2
    book.close()
    assert "Traceback" not in errors


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
