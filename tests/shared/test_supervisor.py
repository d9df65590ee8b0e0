"""The supervisor outlives whatever dies under it."""

import subprocess
import sys
import threading
import time

import pytest

from shared.serving.triton_server import TritonNotStarted
from shared.settings import Config
from shared.supervisor import System, _Child


def dead():
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process.wait(20)
    return process


@pytest.fixture
def system(tmp_path):
    return System(Config({"isocenter": {"data_dir": str(tmp_path)}}), None)


def test_a_service_that_dies_at_start_for_days_is_started_again_each_minute(system):
    """At the 1024th death, after 17 hours, the doubling pause was more than a float holds, and all was stopped."""
    child = system._children["admit"] = _Child("admit", dead(), deaths=5000)
    assert system.watch() == ["admit"]
    assert 0 < child.restart_at - time.monotonic() <= 60


def test_a_machine_that_can_start_no_process_stops_nothing(system, monkeypatch):
    child = system._children["admit"] = _Child("admit", dead(), restart_at=0.1)

    def no_process(_name):
        raise BlockingIOError("fork: resource temporarily unavailable")

    monkeypatch.setattr(system, "_spawn", no_process)
    assert system.watch() == ["admit"]
    assert child.restart_at > time.monotonic()


class SlowTriton:
    """A Triton that takes its time to start, as after a crash with many models."""

    running = False

    def __init__(self):
        self.go_on, self.starts, self.stops = threading.Event(), 0, 0

    def start(self):
        self.starts += 1
        self.go_on.wait(20)
        raise RuntimeError("not this time")

    def stop(self):
        self.stops += 1
        self.go_on.set()


def test_triton_is_started_again_beside_the_watch_and_not_at_every_look(system):
    triton = system._server = SlowTriton()
    system._children["admit"] = _Child("admit", dead())
    started = time.monotonic()
    assert system.watch() == ["admit", "triton"]
    assert system.watch() == ["admit", "triton"]
    assert time.monotonic() - started < 10, "services are looked after meanwhile"
    assert triton.starts == 1
    triton.go_on.set()
    system._mending.join(10)
    assert system.watch() == ["admit", "triton"]
    assert triton.starts == 1, "a pause comes first"
    system.stop()
    assert triton.stops == 2


def sleeper(_name):
    return subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])


def test_a_database_that_is_away_keeps_no_service_from_starting(tmp_path, monkeypatch):
    """They wait for it themselves, and collect takes studies meanwhile."""
    away = {"data_dir": str(tmp_path), "database_url": "postgresql+psycopg://nobody@127.0.0.1:9/none"}
    system = System(Config({"isocenter": away, "triton": {"url": "127.0.0.1:9"}}), None)
    monkeypatch.setattr(system, "_spawn", sleeper)
    said = []
    try:
        system.start(said.append)
        assert system.watch() == []
    finally:
        system.stop()
    assert any("database does not answer" in text for text in said)


def test_a_triton_that_does_not_start_leaves_the_services_up_and_is_started_again(system, monkeypatch):
    class Unwilling(SlowTriton):
        def start(self):
            self.starts += 1
            raise TritonNotStarted("not this time")

    triton = Unwilling()
    monkeypatch.setattr(system, "_spawn", sleeper)
    monkeypatch.setattr(system, "_own_triton", lambda: triton)
    try:
        with pytest.raises(TritonNotStarted):
            system.start()
        assert system.watch() == ["triton"]
        system._mending.join(10)
        assert triton.starts == 2
    finally:
        system.stop()
