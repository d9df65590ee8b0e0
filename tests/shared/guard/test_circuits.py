"""A package whose model keeps failing is left alone by all workers; its runs wait, with the reason."""

from contextlib import nullcontext
from datetime import timedelta

import pytest
from sqlmodel import select

from shared.guard.circuits import Circuits
from shared.guard.rooms import READERS, Rooms
from shared.guard.settings import Guard
from shared.rows import Nonsense
from shared.serving import ModelRefused, ModelUnavailable, ServerAway
from shared.stage import GiveUp, Retry, Stage, run_next, waiting
from shared.store import Circuit, Run, Study, utc_now
from shared.store.circuits import lift
from shared.store.views import study_view
from shared.study import RunEvent, RunState, StudyEvent
from tests.books import Maker
from tests.served import packages

LEASE = timedelta(seconds=60)
PACKAGES = packages()
SICK = next(package for key, package in PACKAGES.items() if key[0] == "chest_opacity")
WELL = next(package for key, package in PACKAGES.items() if key[0] == "cobb_angle")


class Server:
    """Whether Triton as a whole is there, and what a package's model does."""

    alive, error = True, ModelUnavailable("DEADLINE_EXCEEDED: no answer in time")

    def live(self):
        return self.alive


class Infer:
    """A worker; any number of them on one book."""

    def __init__(self, book, server, **settings):
        self.book, self.server, self.asked, self.runs = book, server, [], []
        self.circuits = Circuits(book, server, Guard(**settings))
        rooms = Rooms(READERS, LEASE, PACKAGES)
        self.stage = Stage(
            "infer", Run, (RunState.READY,), self.work, lease=LEASE, within=rooms.within, first_delay=timedelta(0)
        )

    def work(self, run_id):
        with self.book.read() as session:
            run = session.get_one(Run, run_id)
        package = PACKAGES[run.package, run.version]
        self.asked.append(package.name)
        self.runs.append(run_id)
        with self.circuits.asking(package):
            self.ask(package)
        return lambda session, row: Maker(session).moves(row, RunEvent.READ)

    def ask(self, package):
        if package is SICK and self.server.error:
            raise self.server.error

    def go_on(self):
        """As often as there is something to do, up to a bound."""
        for _ in range(50):
            if not run_next(self.book, self.stage):
                return


def ready(book, package, count):
    with book.write() as session:
        make = Maker(session)
        for n in range(count):
            study = make.study(f"{package.name}{n}")
            make.moves(study, StudyEvent.COMPLETED, StudyEvent.CHOSEN)
            run = make.run(study, package.name)
            run.version = package.version
            make.moves(run, RunEvent.PASSED)
            make.moves(study, StudyEvent.GATED)


def circuit(book):
    with book.read() as session:
        return session.get(Circuit, (SICK.name, SICK.version))


def let_time_pass(book):
    with book.write() as session:
        row = session.get_one(Circuit, (SICK.name, SICK.version))
        row.open_until -= timedelta(hours=1)
        session.add(row)


def states(book, package):
    with book.read() as session:
        return [run.state for run in session.exec(select(Run).where(Run.package == package.name))]


def test_after_failures_in_a_row_its_runs_wait_and_the_others_go_on(book):
    ready(book, SICK, 6)
    worker, other = Infer(book, Server()), Infer(book, Server())
    worker.go_on()
    assert worker.asked == [SICK.name] * 3
    ready(book, WELL, 6)
    other.go_on()
    assert other.asked == [WELL.name] * 6, "a second worker has learned it from the book"
    assert states(book, WELL) == ["read"] * 6
    assert states(book, SICK) == ["ready"] * 6
    assert waiting(book, other.stage) == 0


def test_one_at_a_time_tries_another_each_time_and_the_pause_grows_until_the_first_answer(book):
    ready(book, SICK, 8)
    server = Server()
    worker = Infer(book, server, first_pause_seconds=10, longest_pause_seconds=35)
    worker.go_on()
    pauses = []
    for tries in range(4, 8):
        let_time_pass(book)
        worker.go_on()
        assert len(worker.asked) == tries, "one try, then it is left alone again"
        pauses.append((circuit(book).open_until - utc_now()).total_seconds())
    assert len(set(worker.runs[2:])) == 5, "a run that can't be read does not stand for all"
    assert sorted({min(35, 10 * 2**n) for n in range(1, 4)}) == [20, 35], pauses
    server.error = None
    let_time_pass(book)
    worker.go_on()
    assert (circuit(book).failures, circuit(book).open_until, circuit(book).reason) == (0, None, "")
    assert states(book, SICK).count("read") >= 3, "and those that have not been tried go on at once"


def test_while_one_tries_no_other_worker_does(book):
    ready(book, SICK, 6)
    server = Server()
    worker, other, seen = Infer(book, server), Infer(book, server), []
    worker.go_on()
    let_time_pass(book)
    assert waiting(book, other.stage) >= 3
    server.live = lambda: seen.append(waiting(book, other.stage)) or True  # asked in the middle of the try
    worker.go_on()
    assert seen == [0]


def test_an_answer_between_begins_the_count_anew(book):
    server = Server()
    worker = Infer(book, server)
    for _ in range(3):
        for error in (server.error, server.error, None):
            with pytest.raises(Retry) if error else nullcontext(), worker.circuits.asking(SICK):
                if error:
                    raise error
    assert circuit(book).failures == 0


@pytest.mark.parametrize(
    ("alive", "error"),
    [(False, ServerAway("UNAVAILABLE: failed to connect")), (True, ModelRefused("INVALID_ARGUMENT"))],
)
def test_neither_a_server_that_is_away_nor_a_refusal_counts(book, alive, error):
    server = Server()
    server.alive = alive
    worker = Infer(book, server, failures=1)
    with pytest.raises((Retry, ModelRefused)), worker.circuits.asking(SICK):
        raise error
    assert circuit(book) is None


def test_the_study_says_why_it_waits(book):
    ready(book, SICK, 4)
    Infer(book, Server()).go_on()
    with book.read() as session:
        views = [study_view(session, study) for study in session.exec(select(Study))]
    words = "chest_opacity waits, since its model failed 3 times in a row: DEADLINE_EXCEEDED: no answer in time"
    assert [view.runs[0].waits[: len(words)] for view in views] == [words] * 4
    assert all(view.summary.startswith(words) for view in views)


def test_runs_of_a_version_that_is_gone_are_taken_up_to_end_with_that_reason(book):
    ready(book, SICK, 4)
    worker = Infer(book, Server())
    worker.go_on()
    gone = Stage("infer", Run, (RunState.READY,), worker.work, within=Rooms(READERS, LEASE, {}).within)
    assert waiting(book, gone) == 3, "all but the one that waits for its own next attempt"


class Nonsensical(Infer):
    """A worker that gives up what it can't understand, as infer does; `answers` tells whether each makes sense."""

    def __init__(self, book, answers, **settings):
        super().__init__(book, Server(), **settings)
        self.answers = list(answers)

    def work(self, run_id):
        try:
            return super().work(run_id)
        except Nonsense as error:
            raise GiveUp(str(error)) from None

    def ask(self, package):
        if package is SICK and not self.answers.pop(0):
            raise Nonsense("output 'logit' holds values that are not finite numbers")


def test_a_package_that_answers_nonsense_is_quarantined_until_it_is_lifted(book):
    ready(book, SICK, 5)
    ready(book, WELL, 2)
    infer = Nonsensical(book, [False, False, False, True, True], nonsense=3)
    infer.go_on()
    assert infer.asked.count(SICK.name) == 3, "then nobody asks any more"
    assert sorted(states(book, SICK)) == [RunState.FAILING] * 3 + [RunState.READY] * 2
    assert states(book, WELL) == [RunState.READ] * 2, "the others go on"
    with book.read() as session:
        run = session.exec(select(Run).where(Run.package == SICK.name, Run.state == RunState.READY)).first()
        view = study_view(session, session.get_one(Study, run.study_instance_uid))
    assert any("is quarantined" in r.waits and "not finite" in r.waits for r in view.runs)
    with book.write() as session:
        assert lift(session, SICK.name) == [SICK.version]
    infer.go_on()
    assert sorted(states(book, SICK)) == [RunState.FAILING] * 3 + [RunState.READ] * 2


def test_one_odd_answer_is_no_quarantine(book):
    ready(book, SICK, 6)
    infer = Nonsensical(book, [False, False, True, False, False, True], nonsense=3)
    infer.go_on()
    assert infer.asked.count(SICK.name) == 6, "an answer that makes sense begins the count anew"
    with book.write() as session:
        assert lift(session, SICK.name) == []


def test_an_answer_that_was_on_its_way_lifts_no_quarantine(book):
    circuits = Circuits(book, Server(), Guard(nonsense=1))
    with pytest.raises(Nonsense), circuits.asking(SICK):
        raise Nonsense("NaN")
    with circuits.asking(SICK):
        pass
    assert circuit(book).is_quarantined


def test_a_gate_is_never_quarantined_for_studies_wait_for_it(book):
    gate = next(package for package in PACKAGES.values() if package.is_gate)
    circuits = Circuits(book, Server(), Guard(nonsense=1))
    with pytest.raises(Nonsense), circuits.asking(gate):
        raise Nonsense("NaN")
    with book.read() as session:
        assert session.get(Circuit, (gate.name, gate.version)) is None
