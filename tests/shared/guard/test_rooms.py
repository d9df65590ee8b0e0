"""A package's concurrency holds over all workers of a stage, and takes nothing from the others."""

import threading
import time
from collections import Counter
from datetime import timedelta

import pytest
from sqlmodel import select

from shared.guard.rooms import GATES, READERS, Rooms
from shared.packages.folder import Package
from shared.stage import GiveUp, Stage, run_next, waiting
from shared.store import Run, Study
from shared.store.clock import database_now
from shared.study import RunEvent, RunState, StudyEvent, StudyState
from tests.books import Maker
from tests.served import packages

LEASE = timedelta(seconds=60)
SLOW, QUICK = ("slow", "1.0.0"), ("quick", "1.0.0")


def packaged(most):
    """Packages of that concurrency, by name and version."""
    (any_package, *_) = packages().values()
    made = {}
    for key, count in most.items():
        resources = any_package.manifest.resources.model_copy(update={"concurrency": count})
        manifest = any_package.manifest.model_copy(update={"resources": resources})
        made[key] = Package(any_package.folder, manifest)
    return made


def ready_runs(book, **counts):
    with book.write() as session:
        make = Maker(session)
        for package, count in counts.items():
            for n in range(count):
                study = make.study(f"{package}{n}")
                make.moves(study, StudyEvent.COMPLETED, StudyEvent.CHOSEN)
                make.moves(make.run(study, package), RunEvent.PASSED)


def gating_studies(book, **counts):
    with book.write() as session:
        make = Maker(session)
        for package, count in counts.items():
            for n in range(count):
                study = make.study(f"{package}{n}")
                make.moves(study, StudyEvent.COMPLETED, StudyEvent.CHOSEN)
                make.run(study, package, kind="gate")


class Worker:
    """One of several processes: a stage with an owner of its own, and `seen`, the most that all had in hand at once."""

    inside, seen, lock = Counter(), Counter(), threading.Lock()

    def __init__(self, book, most):
        self.book = book
        rooms = Rooms(READERS, LEASE, packaged(most))
        self.stage = Stage("infer", Run, (RunState.READY,), self.work, lease=LEASE, within=rooms.within)

    def work(self, run_id):
        with self.book.read() as session:
            package = session.get_one(Run, run_id).package
        with self.lock:
            self.inside[package] += 1
            self.seen[package] = max(self.seen[package], self.inside[package])
        time.sleep(0.05)
        with self.lock:
            self.inside[package] -= 1
        raise GiveUp("read")

    def run(self):
        until = time.monotonic() + 60
        while time.monotonic() < until and (run_next(self.book, self.stage) or waiting(self.book, self.stage)):
            pass


def test_no_more_than_its_concurrency_over_all_workers(book):
    ready_runs(book, slow=8, quick=8)
    Worker.seen.clear()
    workers = [Worker(book, {SLOW: 2}) for _ in range(5)]
    threads = [threading.Thread(target=worker.run) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert 1 <= Worker.seen["slow"] <= 2
    for worker in workers:  # some may have ended while the slow package had its fill
        worker.run()
    with book.read() as session:
        assert {run.state for run in session.exec(select(Run))} == {RunState.FAILING}


@pytest.mark.parametrize(("most", "expected"), [(1, ["quick", "quick"]), (2, ["slow", "quick", "quick"])])
def test_a_package_that_has_its_fill_is_passed_over(book, most, expected):
    ready_runs(book, slow=2, quick=2)
    with book.write() as session:  # another worker has one in hand
        run = session.exec(select(Run).where(Run.package == "slow")).first()
        run.lease_owner, run.lease_until = "another", database_now(session) + LEASE
        session.add(run)
    taken = []

    def work(run_id):
        with book.read() as session:
            taken.append(session.get_one(Run, run_id).package)
        raise GiveUp("read")

    rooms = Rooms(READERS, LEASE, packaged({SLOW: most}))
    stage = Stage("infer", Run, (RunState.READY,), work, within=rooms.within)
    assert waiting(book, stage) == len(expected)
    while run_next(book, stage):
        pass
    assert sorted(taken) == sorted(expected)


def test_a_lease_that_has_run_out_takes_no_room(book):
    ready_runs(book, slow=2)
    stage = Stage(
        "infer", Run, (RunState.READY,), lambda _: None, within=Rooms(READERS, LEASE, packaged({SLOW: 1})).within
    )
    with book.write() as session:
        run = session.exec(select(Run)).first()
        run.lease_owner, run.lease_until = "dead", database_now(session) - timedelta(seconds=1)
        session.add(run)
    assert waiting(book, stage) == 2


def test_a_gate_package_has_its_concurrency_by_studies(book):
    gating_studies(book, slow=2, quick=1)
    stage = Stage(
        "gate", Study, (StudyState.GATING,), lambda _: None, within=Rooms(GATES, LEASE, packaged({SLOW: 1})).within
    )
    assert waiting(book, stage) == 3
    with book.write() as session:
        run = session.exec(select(Run).where(Run.package == "slow")).first()
        study = session.get_one(Study, run.study_instance_uid)
        study.lease_owner, study.lease_until = "another", database_now(session) + LEASE
        session.add(study)
    assert waiting(book, stage) == 1, "the study that needs the other gate"
