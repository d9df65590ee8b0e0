"""The doorbell, with real brokers: files and RabbitMQ, on SQLite and PostgreSQL. Bells may be lost or doubled."""

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta

import pytest
from kombu import Connection, Exchange, Queue
from sqlmodel import func, select

from shared.bus import Bus, celery_app
from shared.stage import Stage
from shared.store import Outbox, Study, open_book
from shared.store.moves import enter, move
from shared.study import StudyEvent, StudyState
from shared.worker import Hands, Sweeper

WORKER = """
import sys
from shared.logs import start_logging
from shared.settings import Core
from shared.bus import celery_app
from shared.stage import Stage
from shared.store import Study, open_book
from shared.store.moves import move
from shared.study import StudyEvent, StudyState
from shared.worker import run_worker

core = Core.model_validate_json(sys.argv[1])
start_logging("decide")
book = open_book(core.database_url)
refuse = lambda uid: lambda session, row: move(session, row, StudyEvent.REFUSED, "not for us")
stage = Stage("decide", Study, (StudyState.WAITING,), refuse)
run_worker(book, celery_app(core.broker_url, core.data_dir, core.broker_prefix), stage, core, 2)
"""


@pytest.fixture
def book(core):
    book = open_book(core.database_url)
    book.migrate()
    yield book
    book.close()


@pytest.fixture
def worker(core, book):
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", WORKER, core.model_dump_json()])
    yield process
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0, "SIGTERM ends a worker cleanly"


def refused(book):
    with book.read() as session:
        return session.scalar(select(func.count()).select_from(Study).where(Study.state == "refused"))


def until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.1)


def add(book, uid):
    with book.write() as session:
        enter(session, Study(study_instance_uid=uid, state=StudyState.WAITING))


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_rung_lost_and_doubled_bells(core, book, worker):
    bus = Bus(book, celery_app(core.broker_url, core.data_dir, core.broker_prefix), core.broker_prefix)
    for n in range(10):
        add(book, f"1.1.{n}")
    assert bus.flush() == 10
    until(lambda: refused(book) == 10)
    for n in range(10):
        add(book, f"1.2.{n}")  # nobody flushes: the worker's sweeper does
    until(lambda: refused(book) == 20)
    add(book, "1.3")
    with book.write() as session:
        for row in session.exec(select(Outbox)):
            session.delete(row)  # the bell is lost for good: the sweeper sees that a row waits
    until(lambda: refused(book) == 21)
    for _ in range(5):
        bus.ring("decide", by="test", row_id="1.3")  # doubled: nothing waits, nothing happens
    time.sleep(0.5)
    assert refused(book) == 21


def test_events_are_told_on_a_topic_exchange(core, book):
    app = celery_app(core.broker_url, core.data_dir, core.broker_prefix)
    exchange = Exchange(f"{core.broker_prefix}.events", type="topic", durable=True)
    heard = []
    with Connection(core.broker_url, transport_options=app.conf.broker_transport_options) as connection:
        queue = Queue(f"{core.broker_prefix}.listener", exchange, routing_key="study.*", auto_delete=True)
        with connection.Consumer(queue, callbacks=[lambda body, m: (heard.append(body), m.ack())]):
            with book.write() as session:
                study = Study(study_instance_uid="1.2.3", patient_id="SECRET")
                session.add(study)
                move(session, study, StudyEvent.COMPLETED)
            assert Bus(book, app, core.broker_prefix).flush() == 1
            until(lambda: (connection.drain_events(timeout=5), heard)[1])
    assert heard[0]["event"] == "completed"
    assert heard[0]["study_instance_uid"] == "1.2.3"
    assert "SECRET" not in str(heard)


def test_a_broker_that_is_away_keeps_bells_in_the_outbox_and_slows_nothing(tmp_path, core, book):
    app = celery_app("amqp://guest:guest@127.0.0.1:1//", tmp_path, core.broker_prefix)
    bus = Bus(book, app, core.broker_prefix)
    add(book, "1.2.3")
    bus.flush()
    started = time.monotonic()
    for _ in range(100):
        assert bus.flush() == 0
    assert time.monotonic() - started < 10
    with book.read() as session:
        assert session.scalar(select(func.count()).select_from(Outbox)) == 1


def test_what_was_rung_leaves_the_outbox_whatever_the_broker_raises_at_the_next(tmp_path):
    book = open_book(f"sqlite:///{tmp_path}/b.db")
    book.migrate()
    add(book, "1.1")
    add(book, "1.2")
    app = celery_app("memory://", tmp_path)
    bus, send_task = Bus(book, app), app.send_task

    def once(*args, **options):
        app.send_task = fail
        return send_task(*args, **options)

    def fail(*_, **__):
        raise LookupError("an error that only this transport has")

    app.send_task = once
    assert bus.flush() == 1
    with book.read() as session:
        assert [row.row_id for row in session.exec(select(Outbox))] == ["1.2"]
    book.close()


class Bells:
    """A ringer that only notes."""

    def __init__(self):
        self.rung = []

    def ring(self, stage, times):
        self.rung.append((stage, times))


@pytest.fixture
def small_book(tmp_path):
    book = open_book(f"sqlite:///{tmp_path}/b.db")
    book.migrate()
    yield book
    book.close()


def test_busy_hands_are_not_rung_and_a_bell_ends_in_time_to_hear_another(small_book):
    for n in range(50):
        add(small_book, f"1.{n}")
    begun, go_on = threading.Event(), threading.Event()

    def work(_uid):
        begun.set()
        go_on.wait(20)
        return lambda session, row: move(session, row, StudyEvent.REFUSED, "")

    hands, bells = Hands(small_book, Stage("decide", Study, (StudyState.WAITING,), work), 1), Bells()
    sweeper = Sweeper(small_book, bells, hands)
    thread = threading.Thread(target=hands.answer, args=(0.05,))
    thread.start()
    assert begun.wait(10)
    for _ in range(5):
        sweeper.sweep()
    assert bells.rung == []
    time.sleep(0.05)
    go_on.set()
    thread.join(20)
    assert refused(small_book) == 1, "the others wait for the next bell"
    sweeper.sweep()
    sweeper.sweep()
    assert bells.rung == [("decide", 1)]


def test_a_bell_that_nobody_hears_is_rung_once_and_then_the_book_is_looked_at(small_book):
    """The broker takes bells and brings none, or its connection hangs: the work goes on all the same."""
    add(small_book, "1.1")
    stage = Stage("decide", Study, (StudyState.WAITING,), lambda _: lambda s, r: move(s, r, StudyEvent.REFUSED, ""))
    hands, bells = Hands(small_book, stage, 2), Bells()
    sweeper = Sweeper(small_book, bells, hands)
    for _ in range(3):
        sweeper.sweep()
    assert bells.rung == [("decide", 1)]
    assert refused(small_book) == 0
    sweeper.sweep()
    until(lambda: refused(small_book) == 1)
    until(lambda: hands.free == 2)


def test_a_hand_that_hangs_ends_its_process_after_what_else_is_in_hand(small_book):
    for uid in ("1.1", "1.2"):
        add(small_book, uid)
    hung, other, ended = threading.Event(), threading.Event(), []

    def work(uid):
        (hung if uid == "1.1" else other).wait(20)
        return lambda session, row: move(session, row, StudyEvent.REFUSED, "")

    stage = Stage("decide", Study, (StudyState.WAITING,), work, longest_work=timedelta(seconds=1))
    hands = Hands(small_book, stage, 2, end=lambda code: ended.append((code, refused(small_book))))
    threads = [threading.Thread(target=hands.answer) for _ in range(2)]
    for thread in threads:
        thread.start()
    until(lambda: hands.free == 0)
    time.sleep(0.2)
    other.set()
    until(lambda: ended)
    assert ended == [(1, 1)], "once, and the other piece is finished and written"
    with small_book.read() as session:
        row = session.get(Study, "1.1")
    assert (row.state, row.attempts, row.lease_owner) == ("waiting", 1, "")
    assert "longer than decide.longest_work_seconds" in row.reason
    hung.set()
    for thread in threads:
        thread.join(20)
    assert refused(small_book) == 1, "what the hung thread says in the end is not heard"


def test_a_bell_while_the_database_is_away_ends_quietly(tmp_path, caplog):
    book = open_book(f"sqlite:///{tmp_path}/b.db")  # without tables
    hands = Hands(book, Stage("decide", Study, (StudyState.WAITING,), lambda _: None), 1)
    for _ in range(20):
        hands.answer()
    (line,) = caplog.messages
    assert line == "database away for 0 s, nothing is taken up stage=decide cause=OperationalError"
    book.close()
