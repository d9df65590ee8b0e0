"""Triton dies: what was being asked is suspect and tried alone, and the one that it dies of is quarantined."""

from contextlib import suppress
from datetime import timedelta

import pytest
from sqlmodel import select

from services.infer.shadow import no_run_waits
from shared.guard.circuits import Circuits
from shared.guard.rooms import GATES, READERS, SHADOWS, Rooms
from shared.guard.settings import Guard
from shared.serving import ModelUnavailable
from shared.stage import Retry, Stage, run_next, waiting
from shared.store import Circuit, Run, ShadowRun, Study
from shared.store.circuits import lift
from shared.store.clock import database_now
from shared.store.views import study_view
from shared.study import RunEvent, RunState, ShadowState, StudyEvent, StudyState
from tests.books import Maker
from tests.shared.guard.test_circuits import LEASE, PACKAGES, SICK, WELL, ready, states

GATE = next(package for package in PACKAGES.values() if package.is_gate)
GONE = ModelUnavailable("UNAVAILABLE: Socket closed")


class Triton:
    """Dies of `of`, and is back when it is asked whether it lives once more."""

    def __init__(self, of=SICK):
        self.of, self.deaths, self.alive = of, 0, True

    def live(self):
        alive, self.alive = self.alive, True
        return alive

    def ask(self, package):
        if package is self.of:
            self.deaths, self.alive = self.deaths + 1, False
            raise GONE


class Infer:
    """A worker. `during` is called in the middle of each question to a model."""

    def __init__(self, book, triton, during=lambda package: None):
        self.book, self.triton, self.during, self.asked = book, triton, during, []
        self.circuits = Circuits(book, triton, Guard())
        self.stage = Stage(
            "infer", Run, (RunState.READY,), self.work, lease=LEASE, within=Rooms(READERS, LEASE, PACKAGES).within,
            first_delay=timedelta(0),
        )  # fmt: skip

    def work(self, run_id):
        with self.book.read() as session:
            run = session.get_one(Run, run_id)
        package = PACKAGES[run.package, run.version]
        with self.circuits.asking(package):
            self.asked.append(package.name)
            self.during(package)
            self.triton.ask(package)
        return lambda session, row: Maker(session).moves(row, RunEvent.READ)

    def go_on(self):
        for _ in range(50):
            if not run_next(self.book, self.stage):
                return


def circuit(book, package=SICK):
    with book.read() as session:
        return session.get(Circuit, (package.name, package.version))


def suspect(book, *packages):
    with book.write() as session:
        for package in packages:
            session.add(Circuit(package=package.name, version=package.version, deaths=1, reason="Triton died"))


def take(book, run_of):
    """Another worker has a run of this package in hand."""
    with book.write() as session:
        run = session.exec(select(Run).where(Run.package == run_of.name, Run.state == RunState.READY)).first()
        run.lease_owner, run.lease_until = "another", database_now(session) + LEASE
        session.add(run)


def let_go(book):
    with book.write() as session:
        for run in session.exec(select(Run)):
            run.lease_until = None
            session.add(run)


def test_the_one_that_triton_dies_of_is_quarantined_and_the_others_go_on(book):
    ready(book, SICK, 5)
    ready(book, WELL, 5)
    triton = Triton()
    worker, other = Infer(book, triton), Infer(book, triton)
    worker.go_on()
    other.go_on()
    assert triton.deaths == 3
    assert circuit(book).is_quarantined
    assert circuit(book).reason == f"Triton died twice while only {SICK.name} was being asked"
    assert states(book, WELL) == ["read"] * 5
    assert states(book, SICK) == ["ready"] * 5
    with book.write() as session:
        assert lift(session, SICK.name) == [SICK.version]
    triton.of = None
    other.go_on()
    assert states(book, SICK) == ["read"] * 5


def test_who_was_in_flight_beside_it_is_tried_alone_and_cleared(book):
    ready(book, SICK, 3)
    ready(book, WELL, 3)
    triton = Triton()
    worker = Infer(book, triton)
    beside = Circuits(book, triton, Guard())
    with suppress(Retry), beside.asking(WELL), worker.circuits.asking(SICK):
        triton.alive = False
        raise GONE  # both lose their answers in the same death
    triton.alive = False
    with suppress(Retry), beside.asking(WELL):
        pass
    suspect(book, *(package for package in (SICK, WELL) if circuit(book, package) is None))
    worker.go_on()
    assert circuit(book, WELL).deaths == 0
    assert circuit(book, SICK).is_quarantined
    assert states(book, WELL) == ["read"] * 3


def test_one_death_counts_once_however_many_of_its_runs_were_in_hand(book):
    triton = Triton()
    one, other = Circuits(book, triton, Guard()), Circuits(book, triton, Guard())
    with suppress(Retry), one.asking(SICK):
        with suppress(Retry), other.asking(SICK):
            triton.ask(SICK)
        triton.alive = False
        raise GONE
    assert circuit(book).deaths == 1


def test_while_others_are_in_hand_a_suspect_waits_and_nothing_new_is_taken_up(book):
    ready(book, SICK, 2)
    ready(book, WELL, 3)
    suspect(book, SICK)
    worker = Infer(book, Triton(of=None))
    take(book, WELL)
    assert waiting(book, worker.stage) == 0, "what is in hand ends first"
    let_go(book)
    assert waiting(book, worker.stage) == 2, "then the suspects, before any other"
    seen = []
    worker.during = lambda package: seen.append(waiting(book, worker.stage))
    assert run_next(book, worker.stage)
    assert (worker.asked, seen) == ([SICK.name], [0]), "and nothing beside it"
    assert circuit(book).deaths == 0
    assert waiting(book, worker.stage) == 4


def test_one_that_was_taken_up_before_it_was_suspect_is_not_asked_beside_others(book):
    ready(book, SICK, 1)
    ready(book, WELL, 1)
    worker = Infer(book, Triton())
    take(book, SICK)
    take(book, WELL)
    suspect(book, SICK)
    with pytest.raises(Retry, match="waits to be tried alone") as said, worker.circuits.asking(SICK):
        pytest.fail("it is asked")
    assert not said.value.counts, "that is no attempt"
    with book.write() as session:
        run = session.exec(select(Run).where(Run.package == WELL.name)).one()
        run.lease_until = None
        session.add(run)
    worker.triton.alive = False
    with pytest.raises(Retry, match="waits to be tried alone"), worker.circuits.asking(SICK):
        pytest.fail("Triton is away: that it does not answer says nothing of this one")
    assert circuit(book).deaths == 1


def test_a_suspect_that_nobody_waits_for_or_that_is_not_installed_disturbs_nobody(book):
    ready(book, WELL, 2)
    suspect(book, SICK)
    with book.write() as session:
        session.add(Circuit(package=WELL.name, version="9.0.0", deaths=1))
    worker = Infer(book, Triton(of=None))
    take(book, WELL)
    assert waiting(book, worker.stage) == 1


def test_one_that_fails_while_triton_lives_is_no_suspect_any_more(book):
    suspect(book, SICK)
    circuits = Circuits(book, Triton(of=None), Guard())
    with pytest.raises(Retry), circuits.asking(SICK):
        raise ModelUnavailable("DEADLINE_EXCEEDED")
    assert (circuit(book).deaths, circuit(book).failures) == (0, 1)


def test_gates_and_shadows_are_counted_too(book):
    """A study whose gate is suspect waits for a reader in hand, and a shadow of a suspect for both."""
    with book.write() as session:
        make = Maker(session)
        study = make.study("gated")
        make.moves(study, StudyEvent.COMPLETED, StudyEvent.CHOSEN)
        run = make.run(study, GATE.name, kind="gate")
        run.version = GATE.version
    ready(book, WELL, 2)
    suspect(book, GATE, SICK)
    gate = Stage("gate", Study, (StudyState.GATING,), None, within=Rooms(GATES, LEASE, PACKAGES).within)
    infer = Infer(book, Triton(of=None)).stage
    rooms = Rooms(SHADOWS, LEASE, PACKAGES)
    shadow = Stage("shadow", ShadowRun, (ShadowState.WAITING,), None, within=rooms.within)
    with book.write() as session:
        run = session.exec(select(Run).where(Run.package == WELL.name)).first()
        facts = {"run_id": run.id, "study_instance_uid": run.study_instance_uid, "version": SICK.version}
        session.add(ShadowRun(id="s", package=SICK.name, **facts))
    take(book, WELL)
    assert [waiting(book, stage) for stage in (gate, infer, shadow)] == [0, 0, 0]
    let_go(book)
    assert [waiting(book, stage) for stage in (gate, infer)] == [1, 0]
    with book.write() as session:
        session.get_one(Circuit, (GATE.name, GATE.version)).deaths = 0
    assert [waiting(book, stage) for stage in (gate, infer, shadow)] == [1, 2, 1], "a shadow holds nobody up"
    with book.write() as session:
        row = session.get_one(ShadowRun, "s")
        row.lease_owner, row.lease_until = "another", database_now(session) + LEASE
        session.add(row)
    assert [waiting(book, stage) for stage in (gate, infer)] == [0, 0], "while it is tried, nothing else"
    with book.read() as session:
        assert no_run_waits(session)


def test_the_page_says_that_it_waits_to_be_tried_alone(book):
    ready(book, SICK, 1)
    suspect(book, SICK)
    with book.read() as session:
        view = study_view(session, session.exec(select(Study)).one())
    assert view.runs[0].waits == f"{SICK.name} waits to be tried alone, since Triton died while it was being asked"
