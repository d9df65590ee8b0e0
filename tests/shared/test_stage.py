"""Leases: one worker at a time, another takes over, attempts end, and whose turn it is."""

import errno
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlmodel import select

from shared.logs import _Formatter
from shared.stage import GiveUp, Retry, Stage, _locked, check_lease, claim, run_next, waiting
from shared.store import Delivery, Journal, Outbox, Study, open_book, utc_now
from shared.store.moves import AGEING, enter, move
from shared.study import DeliveryState, StudyEvent, StudyState
from tests.books import Maker, sending


def add_study(book, uid, priority=5, state=StudyState.WAITING):
    with book.write() as session:
        enter(session, Study(study_instance_uid=uid, state=state, priority=priority))


def stage_of(work, **options):
    return Stage("decide", Study, (StudyState.WAITING,), work, **options)


def refuse(_uid):
    return lambda session, row: move(session, row, StudyEvent.REFUSED, "not for us")


def read_study(book, uid):
    with book.read() as session:
        return session.get(Study, uid)


def test_work_is_committed_with_its_journal_and_its_bell(book):
    add_study(book, "1.2.3")

    def choose(_uid):
        return lambda session, row: move(session, row, StudyEvent.CHOSEN, "chest_opacity")

    assert run_next(book, stage_of(choose))
    assert not run_next(book, stage_of(choose))
    study = read_study(book, "1.2.3")
    assert (study.state, study.reason, study.lease_owner) == ("gating", "chest_opacity", "")
    with book.read() as session:
        assert [(j.event, j.state) for j in session.exec(select(Journal))] == [("chosen", "gating")]
        bells = session.exec(select(Outbox)).all()
    assert [(b.stage, b.row_id) for b in bells] == [("decide", "1.2.3"), ("gate", "1.2.3")]
    assert bells[1].event["state"] == "gating"
    assert "patient" not in str(bells[1].event)


def test_two_workers_never_take_the_same_row(book):
    for n in range(20):
        add_study(book, f"1.2.{n}")
    taken, lock = [], threading.Lock()

    def work(uid):
        with lock:
            taken.append(uid)
        return refuse(uid)

    def worker():
        stage = stage_of(work)
        while run_next(book, stage):
            pass

    threads = [threading.Thread(target=worker) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(taken) == sorted(f"1.2.{n}" for n in range(20))


def test_a_dead_workers_row_is_taken_over_and_its_late_result_dropped(book):
    add_study(book, "1.2.3")
    hung, stage = threading.Event(), stage_of(refuse, lease=timedelta(seconds=0.3))
    claimed = claim(book, stage)
    assert claim(book, stage) is None, "a live lease holds"
    time.sleep(0.4)
    assert run_next(book, stage), "an expired one does not"
    assert read_study(book, "1.2.3").state == "refused"
    from shared.stage import _commit

    _commit(book, stage, claimed, lambda session, row: hung.set())
    assert not hung.is_set(), "the first worker came back too late"


def test_a_long_piece_of_work_keeps_its_lease(book):
    add_study(book, "1.2.3")

    def slow(_uid):
        time.sleep(1.2)
        return refuse(_uid)

    stage = stage_of(slow, lease=timedelta(seconds=0.6))
    thread = threading.Thread(target=run_next, args=(book, stage))
    thread.start()
    time.sleep(0.9)
    assert waiting(book, stage) == 0
    thread.join(10)
    assert read_study(book, "1.2.3").state == "refused"


def test_what_fails_is_tried_again_later_and_ends_dead_with_its_last_reason(book):
    add_study(book, "1.2.3")
    add_study(book, "1.2.4")

    def fail(uid):
        if uid == "1.2.3":
            raise Retry("Triton is away")
        return refuse(uid)

    stage = stage_of(fail, most_attempts=2, first_delay=timedelta(milliseconds=1))
    assert run_next(book, stage)
    study = read_study(book, "1.2.3")
    assert (study.state, study.attempts, study.reason) == ("waiting", 1, "Triton is away")
    assert study.next_at is not None
    deadline = time.monotonic() + 10
    while run_next(book, stage) or waiting(book, stage) or read_study(book, "1.2.3").state == "waiting":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert read_study(book, "1.2.3").state == "dead"
    assert read_study(book, "1.2.3").reason == "Triton is away"
    assert read_study(book, "1.2.4").state == "refused", "the next one is not disturbed"


@pytest.mark.parametrize(("error", "state"), [(GiveUp("no pixels"), "dead"), (ZeroDivisionError("x"), "waiting")])
def test_giving_up_ends_at_once_and_an_unforeseen_error_is_an_attempt(book, error, state):
    add_study(book, "1.2.3")

    def fail(_uid):
        raise error

    run_next(book, stage_of(fail))
    assert read_study(book, "1.2.3").state == state


def test_delays_double_with_jitter_up_to_a_bound():
    stage = stage_of(refuse, first_delay=timedelta(seconds=2), longest_delay=timedelta(seconds=30))
    for attempts, seconds in [(1, 2), (2, 4), (3, 8), (9, 30)]:
        assert 0.75 * seconds <= stage.delay(attempts).total_seconds() <= 1.25 * seconds


def test_urgent_work_goes_first_but_routine_work_that_waited_goes_before_fresh_urgent_work(book):
    taken = []

    def note(uid):
        taken.append(uid)
        return refuse(uid)

    add_study(book, "1.5", priority=5)
    add_study(book, "1.0", priority=0)
    with book.write() as session:
        old = Study(study_instance_uid="1.9", state="waiting", priority=5, waiting_since=utc_now() - 6 * AGEING)
        enter(session, old)
    while run_next(book, stage_of(note)):
        pass
    assert taken == ["1.9", "1.0", "1.5"]


def test_what_was_not_tried_spends_no_attempt_and_waits_as_long_as_it_says(book):
    add_study(book, "1.2.3")

    def busy(_uid):
        raise Retry("busy", timedelta(seconds=30), counts=False)

    stage = stage_of(busy, most_attempts=1)
    assert run_next(book, stage)
    study = read_study(book, "1.2.3")
    assert (study.state, study.attempts, study.reason) == ("waiting", 0, "busy")
    assert timedelta(seconds=25) < study.next_at - utc_now() <= timedelta(seconds=30)


@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_spends_no_attempt_and_says_what_to_do(book, reason):
    """Twelve studies ended dead in a minute of it, though nothing was wrong with them."""
    add_study(book, "1.2.3")

    def full(_uid):
        raise OSError(reason, os.strerror(reason))

    stage = stage_of(full, most_attempts=1, longest_delay=timedelta(0))
    for _ in range(3):
        assert run_next(book, stage)
    study = read_study(book, "1.2.3")
    assert (study.state, study.attempts) == ("waiting", 0)
    assert "no room on the disk" in study.reason


def test_a_stage_takes_only_what_it_may_take_at_the_moment(book):
    for uid in ("1.2.1", "1.2.2"):
        add_study(book, uid)
    shut = ["1.2.1"]
    stage = stage_of(refuse, only=lambda: [Study.study_instance_uid.not_in(shut)])
    assert waiting(book, stage) == 1
    assert run_next(book, stage)
    assert not run_next(book, stage)
    assert (read_study(book, "1.2.1").state, read_study(book, "1.2.2").state) == ("waiting", "refused")
    shut.clear()
    assert run_next(book, stage)


def test_who_asks_what_may_be_taken_holds_no_lock(book):
    """A server that hangs is waited for: meanwhile others write."""
    add_study(book, "1")
    other, asked = open_book(book.url), []

    def only():
        add_study(other, f"2.{len(asked)}", state=StudyState.COLLECTING)
        asked.append(True)
        return []

    stage = stage_of(lambda _: lambda session, row: move(session, row, StudyEvent.REFUSED), only=only)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(run_next, book, stage).result(20)
    assert asked
    other.close()


def test_what_brings_its_worker_down_each_time_ends_dead(book):
    """kill -9 leaves no word: only the count of how often the row was taken up tells."""
    add_study(book, "1.2.3")
    stage = stage_of(refuse, most_attempts=3, lease=timedelta(seconds=0))
    for _ in range(3):
        assert claim(book, stage), "a worker that takes it up, and ends"
        time.sleep(0.01)
    assert run_next(book, stage)
    study = read_study(book, "1.2.3")
    assert (study.state, study.lease_owner) == ("dead", "")
    assert "its worker ended in the middle of the last of 3 attempts" in study.reason


def test_a_row_dead_by_its_workers_death_keeps_the_last_error_that_was_told(book):
    add_study(book, "1.2.3")

    def fail(_uid):
        raise Retry("Triton lost its process")

    stage = stage_of(fail, most_attempts=2, lease=timedelta(seconds=0), first_delay=timedelta(0))
    assert run_next(book, stage)
    assert claim(book, stage), "a worker that takes it up, and ends"
    time.sleep(0.01)
    assert run_next(book, stage)
    study = read_study(book, "1.2.3")
    assert study.state == "dead"
    assert "the last error that an attempt told: Triton lost its process" in study.reason


def test_work_that_hangs_for_ever_ends_dead_and_the_next_is_not_disturbed(book):
    """Its thread can't be ended: the row is taken from it, and the attempt counts."""
    for uid in ("1.1", "1.2"):
        add_study(book, uid)
    for_ever, hung = threading.Event(), []

    def work(uid):
        if uid == "1.1":
            for_ever.wait(30)
        return refuse(uid)

    stage = stage_of(
        work, most_attempts=2, first_delay=timedelta(0), longest_work=timedelta(seconds=0.3),
        hung=lambda: hung.append(1),
    )  # fmt: skip
    ended = threading.Event()

    def worker():
        while not ended.is_set():
            if not run_next(book, stage):
                time.sleep(0.05)

    threads = [threading.Thread(target=worker) for _ in range(3)]
    for thread in threads:
        thread.start()
    _until(lambda: read_study(book, "1.1").state == "dead" and read_study(book, "1.2").state == "refused")
    ended.set()
    assert "took longer than decide.longest_work_seconds (0.3 s)" in read_study(book, "1.1").reason
    _until(lambda: len(hung) == 2)  # told after it is written
    for_ever.set()
    for thread in threads:
        thread.join(10)
    assert read_study(book, "1.1").state == "dead"


def _until(true, seconds=20):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


def test_who_wakes_up_after_another_has_taken_over_stops_before_what_cant_be_taken_back(book):
    """SIGSTOP, and SIGCONT when the lease has run out: renewals stop with the process."""
    add_study(book, "1.2.3")
    stopped, woken, sent = threading.Event(), threading.Event(), []

    def work(uid):
        if not sent:
            stopped.set()
            woken.wait(20)
        check_lease()
        sent.append(uid)
        return refuse(uid)

    stage = stage_of(work)
    first = threading.Thread(target=run_next, args=(book, stage))
    first.start()
    assert stopped.wait(10)
    with book.write() as session:  # as if the lease had run out while it was stopped
        row = session.get(Study, "1.2.3")
        row.lease_until = utc_now() - timedelta(seconds=1)
        session.add(row)
    sent.append("the other's")
    assert run_next(book, stage)
    woken.set()
    first.join(10)
    assert sent == ["the other's", "1.2.3"], "once, by the second"
    assert read_study(book, "1.2.3").state == "refused"


def test_a_lease_from_before_the_clock_was_set_back_does_not_hold_for_ever(book):
    add_study(book, "1.2.3")
    with book.write() as session:
        row = session.get(Study, "1.2.3")
        row.lease_owner, row.lease_until = "who died", utc_now() + timedelta(hours=5)
        session.add(row)
    assert waiting(book, stage_of(refuse)) == 1
    assert run_next(book, stage_of(refuse))


@pytest.mark.postgres
@pytest.mark.parametrize("wrong", [timedelta(hours=-3), timedelta(hours=3)])
def test_a_host_whose_clock_is_wrong_judges_leases_by_the_databases(postgres_url, monkeypatch, wrong):
    book = open_book(postgres_url)
    book.migrate()
    add_study(book, "1.2.3")
    stage = stage_of(refuse)
    assert claim(book, stage)
    monkeypatch.setattr("shared.store.clock.utc_now", lambda: datetime.now(UTC) + wrong)
    monkeypatch.setattr("shared.store.tables.utc_now", lambda: datetime.now(UTC) + wrong)
    assert claim(book, stage) is None, "its lease holds"
    assert waiting(book, stage) == 0
    book.close()


def test_an_outcome_waits_for_the_database_and_the_work_is_not_done_twice(book):
    add_study(book, "1.2.3")
    done, away = [], [OperationalError("x", {}, Exception("gone")), OperationalError("x", {}, Exception("gone"))]

    def work(uid):
        done.append(uid)

        def save(session, row):
            if away:
                raise away.pop()
            move(session, row, StudyEvent.REFUSED, "not for us")

        return save

    assert run_next(book, stage_of(work))
    assert (read_study(book, "1.2.3").state, read_study(book, "1.2.3").attempts) == ("refused", 1)
    assert done == ["1.2.3"]


@pytest.mark.postgres
def test_who_ends_a_delivery_and_who_ends_its_study_do_not_wait_for_each_other(postgres_url):
    """Both lock the study first: PostgreSQL would end one of them, and the delivery would be made again."""
    book = open_book(postgres_url)
    book.migrate()
    with book.write() as session:
        make = Maker(session)
        study, _, deliveries = sending(make, "s")
        uid, key = study.study_instance_uid, deliveries["SR"].id
    stage = Stage("send", Delivery, (DeliveryState.WAITING,), lambda _: lambda *_: None)
    with book.write() as session, ThreadPoolExecutor(1) as threads:
        session.get(Study, uid, with_for_update=True)
        session.flush()
        with book.write() as other:
            other.execute(text("set local lock_timeout = '300ms'"))
            with pytest.raises(OperationalError):
                _locked(other, stage, key)
        free = select(Delivery).where(Delivery.id == key).with_for_update(nowait=True)
        waiter = threads.submit(_lock_once, book, stage, key)
        time.sleep(0.3)
        assert session.scalars(free).first(), "the delivery is not locked by who waits for the study"
        session.rollback()
        waiter.result(10)
    book.close()


def _lock_once(book, stage, key):
    with book.write() as session:
        assert _locked(session, stage, key) is not None


def test_neither_a_statements_values_nor_an_errors_text_come_into_the_log(book, caplog):
    add_study(book, "1.2.3")
    name = "EOD^NHOJ"[::-1]  # so that the test's own lines in the traceback do not say it

    def fail(_uid):
        with book.read() as session:
            session.execute(text("select :name from nowhere"), {"name": name})

    run_next(book, stage_of(fail, most_attempts=1))
    (record,) = [r for r in caplog.records if r.exc_info]
    record.exc_text = None  # pytest's own handler has written it
    line = _Formatter().format(record)
    assert "test_stage.py" in line
    assert "sqlalchemy.exc." in line
    assert name not in line
    assert name not in read_study(book, "1.2.3").reason
    record.exc_info = (ValueError, ValueError(f"bad name {name}"), None)
    record.exc_text = None
    assert name not in _Formatter().format(record)


def test_an_outcome_is_written_after_the_server_ended_the_transaction_of_a_stopped_process(postgres_url):
    """What was accepted must not be sent again since a process stood still in the middle of its commit."""
    book = open_book(postgres_url)
    book.migrate()
    add_study(book, "1.2.3")
    done, stops = [], [True, False]

    def work(uid):
        done.append(uid)

        def save(session, row):
            if stops.pop(0):
                session.execute(text("set idle_in_transaction_session_timeout = 50"))
                time.sleep(0.5)
            move(session, row, StudyEvent.REFUSED, "not for us")

        return save

    assert run_next(book, stage_of(work))
    assert (read_study(book, "1.2.3").state, done) == ("refused", ["1.2.3"])
    book.close()
