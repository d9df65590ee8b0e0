"""Decisions in the book: the order is found, runs are derived, late images supersede, replay reuses."""

import hashlib
from datetime import UTC, datetime

import pytest
from sqlmodel import select

from services.decide.handlers import Choice
from services.decide.main import work
from services.decide.plan import find_order, input_digest, instances_of, save_decision, study_facts
from services.decide.settings import Settings
from shared.packages.folder import load_packages
from shared.packages.installed import Installed
from shared.store import Delivery, Instance, Journal, Order, Run, Study
from shared.store.moves import move
from shared.study import RunEvent, StudyEvent
from shared.versions.choice import use
from tests.versioned import NAME, add_version, weights


@pytest.fixture
def package(pytestconfig):
    packages, _ = load_packages(pytestconfig.rootpath / "model_repository")
    return next(p for p in packages if p.name == "chest_opacity")


def instance(uid, sha="a"):
    return Instance(
        study_instance_uid="1.2", sop_instance_uid=uid, series_instance_uid="1.2.1", sop_class_uid="1.2.840",
        transfer_syntax_uid="1.2.840.10008.1.2.1", path=uid, size=1, digest=sha,
        header={"modality": "DX", "body_part_examined": "CHEST"},
    )  # fmt: skip


def new_study(session, **facts):
    study = Study(study_instance_uid="1.2", state="waiting", **facts)
    session.add(study)
    session.flush()
    return study


def decide(book, package, runs=True):
    with book.write() as session:
        study = session.get(Study, "1.2")
        choice = Choice(package, runs, "because", ("1.2.1",), 3)
        save_decision(session, study, find_order(session, study), instances_of(session, "1.2"), [choice])
        return study.state


def runs_of(book):
    with book.read() as session:
        return {run.id: run for run in session.exec(select(Run))}


def order(accession_number, day=15, patient_id="P1"):
    at = datetime(2026, 11, day, 8, tzinfo=UTC)
    return Order(accession_number=accession_number, patient_id=patient_id, scheduled_at=at, priority=2)


def test_the_order_by_accession_number_else_by_patient_and_day_else_none(book):
    with book.write() as session:
        for row in (order("A1"), order("A2", 16), order("A3", 17), order("A4", 17)):
            session.add(row)
        session.flush()

        def found(**facts):
            match = find_order(session, Study(study_instance_uid="1", **facts))
            return match and match.accession_number

        assert found(accession_number="A1", patient_id="P1") == "A1"
        assert found(accession_number="A1", patient_id="p1 ") == "A1"
        assert found(accession_number="A1") == "A1"
        assert found(accession_number="A1", patient_id="other") is None, "another patient's order"
        assert found(accession_number="A9", patient_id="P1", study_date="20261116") is None, "another order's study"
        assert found(accession_number="", patient_id="P1", study_date="20261116") == "A2"
        assert found(patient_id="P1", study_date="20261117") is None, "two on that day: it can't be told"
        assert found(patient_id="P2", study_date="20261116") is None


def test_a_chosen_package_gets_its_run_and_the_journal_its_reason(book, package):
    with book.write() as session:
        session.add(order("A1"))
        session.add(instance("1.2.1.1"))
        new_study(session, accession_number="A1")
    assert decide(book, package) == "gating"
    (run,) = runs_of(book).values()
    assert (run.package, run.kind, run.series, run.priority) == ("chest_opacity", "reader", ["1.2.1"], 3)
    with book.read() as session:
        assert session.get(Study, "1.2").order_id is not None
        lines = [(j.subject, j.event, j.reason) for j in session.exec(select(Journal))]
    assert ("package chest_opacity " + package.version, "chosen", "because") in lines


def test_what_nobody_reads_is_refused_with_the_reason(book, package):
    with book.write() as session:
        new_study(session)
    assert decide(book, package, runs=False) == "refused"
    with book.read() as session:
        assert session.get(Study, "1.2").reason == "no package reads this study: chest_opacity: because"


def test_runs_of_older_stores_keep_their_identifiers():
    """When digests were SHA-256 and did not say so, the hex digits went into the run's identifier."""
    older, newer = instance("1.2.1.1", "sha256:" + "a" * 64), instance("1.2.1.1", "blake3:" + "a" * 64)
    before = hashlib.sha256(b"1.2.1.1 " + b"a" * 64).hexdigest()
    assert input_digest([older], ["1.2.1"]) == before
    assert input_digest([newer], ["1.2.1"]) != before


def test_the_same_images_give_the_same_run_and_late_images_supersede_it(book, package):
    with book.write() as session:
        session.add(instance("1.2.1.1"))
        new_study(session)
    decide(book, package)
    (first,) = runs_of(book)
    with book.write() as session:
        move(session, session.get(Run, first), RunEvent.GAVE_UP, "x")
        move(session, session.get(Run, first), RunEvent.REASON_REPORTED, "x")
        study = session.get(Study, "1.2")
        move(session, study, StudyEvent.GAVE_UP, "x")
        move(session, study, StudyEvent.REPLAYED)
    decide(book, package)
    assert {k: r.state for k, r in runs_of(book).items()} == {first: "waiting"}
    with book.write() as session:
        study = session.get(Study, "1.2")
        move(session, study, StudyEvent.INSTANCE_STORED)
        session.add(instance("1.2.1.2", "b"))
        move(session, study, StudyEvent.COMPLETED)
    decide(book, package)
    runs = runs_of(book)
    (second,) = set(runs) - {first}
    assert runs[first].state == "superseded"
    assert (runs[second].state, runs[second].supersedes) == ("waiting", first)


def round_ends(book, run_id, *events):
    with book.write() as session:
        run, study = session.get(Run, run_id), session.get(Study, "1.2")
        for event in events:
            move(session, run, event)
        move(session, study, StudyEvent.GATED)
        move(session, study, StudyEvent.DELIVERED)


DELIVERED = (RunEvent.PASSED, RunEvent.READ, RunEvent.REPORTED, RunEvent.DELIVERED)


@pytest.mark.parametrize(
    ("events", "state"), [(DELIVERED, "delivered"), ((RunEvent.HELD, RunEvent.REASON_REPORTED), "held")]
)
def test_a_run_that_late_images_do_not_touch_stands_until_a_person_replays_it(book, package, events, state):
    with book.write() as session:
        session.add(instance("1.2.1.1"))
        new_study(session)
    decide(book, package)
    (run_id,) = runs_of(book)
    round_ends(book, run_id, *events)
    with book.write() as session:
        study = session.get(Study, "1.2")
        study.revision += 1
        move(session, study, StudyEvent.INSTANCE_STORED)
        other = instance("1.2.2.1")
        other.series_instance_uid = "1.2.2"
        session.add(other)
        move(session, study, StudyEvent.COMPLETED)
    assert decide(book, package) == "gating"
    (run,) = runs_of(book).values()
    assert (run.state, run.revision) == (state, 2)
    round_ends(book, run_id)
    with book.write() as session:
        move(session, session.get(Study, "1.2"), StudyEvent.REPLAYED)
    decide(book, package)
    (run,) = runs_of(book).values()
    assert run.state == "waiting"


def test_the_patients_of_a_study_are_counted_without_our_own_results(book):
    with book.write() as session:
        study = new_study(session)
        for number, header in enumerate([
            {"patient_id": "P1"}, {"patient_id": "P1"}, {}, {"patient_id": "P2", "manufacturer": "Isocenter"},
        ]):  # fmt: skip
            one = instance(f"1.2.1.{number}")
            one.header = header
            session.add(one)
        session.flush()
        assert study_facts(study, None, instances_of(session, "1.2")).patients == 1
        two = instance("1.2.1.9")
        two.header = {"patient_id": "P2"}
        session.add(two)
        session.flush()
        assert study_facts(study, None, instances_of(session, "1.2")).patients == 2


def test_facts_come_from_the_headers(book):
    with book.write() as session:
        session.add(instance("1.2.1.1"))
        study = new_study(session, calling_ae_title="DX1")
        facts = study_facts(study, None, instances_of(session, "1.2"))
    assert facts.calling_ae_title == "DX1"
    assert (facts.series[0].modality, facts.series[0].body_part_examined, facts.series[0].instances) == (
        "DX",
        "CHEST",
        1,
    )


def test_what_a_superseded_run_has_still_to_send_is_not_sent_and_a_run_comes_back_with_its_input(book, package):
    """Installed 1.0, then 1.1, then 1.0 again: the run of the first is not made twice, and is not left for dead."""
    with book.write() as session:
        session.add(instance("1.2.1.1"))
        new_study(session)
    decide(book, package)
    (first,) = runs_of(book)
    with book.write() as session:
        session.add(
            Delivery(
                id="d", run_id=first, study_instance_uid="1.2", destination="RIS", kind="ORU", identifier="1", path="x"
            )
        )  # fmt: skip
        move(session, session.get(Study, "1.2"), StudyEvent.GAVE_UP)
        move(session, session.get(Study, "1.2"), StudyEvent.REPLAYED)
    assert decide(book, package, runs=False) == "refused"
    with book.write() as session:
        assert session.get(Run, first).state == "superseded"
        assert session.get(Delivery, "d").state == "cancelled"
        move(session, session.get(Study, "1.2"), StudyEvent.REPLAYED)
    assert decide(book, package) == "gating"
    assert {key: run.state for key, run in runs_of(book).items()} == {first: "waiting"}


def test_the_first_version_goes_on_to_read_and_other_weights_are_not_read_with(book, tmp_path):
    folder = add_version(tmp_path / "models", 1)

    def decide_now():
        with book.write() as session:
            study = session.get(Study, "1.2") or new_study(session)
            session.merge(instance("1.2.1.1"))
            work(Installed(tmp_path / "models"), Settings())(session, study)
            lines = session.exec(select(Journal).where(Journal.subject.startswith("package"))).all()
            study.state, said = "waiting", (lines[-1].subject, lines[-1].event, lines[-1].reason)
        return said

    assert decide_now() == ("package scale 1.0.0", "chosen", "fits 1 of 1 series")
    add_version(tmp_path / "models", 2)
    assert decide_now()[:2] == ("package scale 1.0.0", "chosen")
    (folder / "model.onnx").write_bytes(weights(7))
    subject, event, reason = decide_now()
    assert (subject, event) == ("package scale 1.0.0", "not_chosen")
    assert "`isocenter package use scale 1.0.0`" in reason


def test_the_version_that_was_chosen_runs_and_the_journal_says_why(book, tmp_path):
    for number in (1, 2):
        add_version(tmp_path / "models", number)
    installed = Installed(tmp_path / "models")
    with book.write() as session:
        study = new_study(session)
        session.add(instance("1.2.1.1"))
        use(session, installed, NAME, "1.0.0", who="anna", why="2.0.0 is too eager")
        session.flush()
        work(installed, Settings())(session, study)
        (run,) = session.exec(select(Run)).all()
        assert (run.package, run.version) == (NAME, "1.0.0")
        line = session.exec(select(Journal).where(Journal.subject == "package scale 1.0.0")).one()
        assert line.reason == "fits 1 of 1 series; version 1.0.0: chosen by anna: 2.0.0 is too eager"
