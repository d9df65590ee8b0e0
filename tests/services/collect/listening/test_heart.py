"""A listener process that hangs is as bad as one that is dead: it is told from one that is only busy, and replaced."""

import socket
import sys
import threading
import time

import pytest

from services.collect.listening import processes, server
from services.collect.listening.heart import Heart
from services.collect.listening.register import Register, RemoteDesk

STUDY = "1.2.3"


@pytest.fixture
def register() -> Register:
    return Register(most_associations=1, most_associations_per_ae=1)


@pytest.fixture
def line():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_a_process_that_falls_silent_is_told_from_one_that_ends(register, line) -> None:
    ours, theirs = line
    began = time.monotonic()
    assert register.serve(1, ours, silent_seconds=0.05) is False
    assert time.monotonic() - began >= 0.05
    theirs.close()
    assert register.serve(2, ours, silent_seconds=10) is True


def test_a_beating_process_is_served_for_as_long_as_it_works(register, line) -> None:
    ours, theirs = line
    desk, ended = RemoteDesk(theirs), []
    heart = Heart(desk.beat, seconds=0.02)
    served = threading.Thread(target=lambda: ended.append(register.serve(1, ours, silent_seconds=0.5)))
    served.start()
    desk.hold(STUDY)
    assert desk.admit("CT1") == ""
    time.sleep(1)
    assert not ended, "it beats"
    assert register.studies(1) == {STUDY}
    heart.works = lambda: False
    served.join(5)
    assert ended == [False]
    assert register.studies(1) == {STUDY}, "held until its rows are mended"


def test_a_hanging_process_is_killed_mended_and_replaced(register, tools, monkeypatch) -> None:
    monkeypatch.setattr(processes, "SILENT_SECONDS", 0.2)
    monkeypatch.setattr(processes, "_COMMAND", [sys.executable, "-c", "import time; time.sleep(600)"])
    mended: list[int] = []
    running = processes.Processes(1, [], register, mended.append)
    running.start()
    try:
        tools.until(lambda: len(mended) >= 2, seconds=20)
    finally:
        running.stop(0)
    assert mended[:2] == [1, 2], "each life is mended once"
    assert running.pids() == []


def test_a_port_that_nobody_looks_after_is_no_work(start, tools, monkeypatch) -> None:
    monkeypatch.setattr(server, "_LOOK_SECONDS", 0.05)
    monkeypatch.setattr(server, "_LONGEST_LOOK", 1.0)
    hangs, listener = threading.Event(), start().listener
    time.sleep(1.1)
    assert listener.works(), "nobody calls, and it looks"
    monkeypatch.setattr(listener.servers[0], "_take_one", lambda: hangs.wait(20))
    try:
        with socket.create_connection(("127.0.0.1", listener.port)):
            tools.until(lambda: not listener.works())
    finally:
        hangs.set()
    tools.until(listener.works)
