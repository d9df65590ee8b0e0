"""A study is complete when it is quiet and no open association carried it."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel import select

from services.collect.completion import Completion
from services.collect.listening.open_associations import OpenAssociations, Pulse
from services.collect.listening.register import LocalDesk, Register
from services.collect.settings import Settings
from services.collect.store.index import Index, write_rows
from shared.store import Outbox, Study

STUDY = "1.2.3"


@pytest.fixture
def register() -> Register:
    return Register(most_associations=10, most_associations_per_ae=10)


@pytest.fixture
def pulse(book, register) -> Pulse:
    """A listener's, in this process."""
    index = Index(book)
    pulse = Pulse(book, OpenAssociations(LocalDesk(register)), index.pending_studies)
    pulse.index = index
    return pulse


@pytest.fixture
def completion(book, register) -> Completion:
    return Completion(book, Settings(quiet_seconds=10, quiet_seconds_by_ae={"CT1": 2}), register.studies)


def arrived(book, tools, seconds_ago: float, ae: str = "PACS1") -> None:
    at = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    with book.write() as session:
        write_rows(session, [tools.instance(STUDY, "1.1", at=at, ae=ae)])


def test_after_the_quiet_time_decide_is_rung(book, pages, tools, completion) -> None:
    arrived(book, tools, 9)
    assert completion.look() == 0
    book.ring = (rung := []).append
    with book.write() as session:
        study = session.get_one(Study, STUDY)
        study.last_instance_at = study.active_at = datetime.now(UTC) - timedelta(seconds=11)
    assert completion.look() == 1
    assert completion.look() == 0
    assert pages.study(STUDY).state == "waiting"
    assert pages.journal(STUDY)[-1].reason == "no new image for 10 s"
    with book.read() as session:
        bells = [line.stage for line in session.exec(select(Outbox)) if line.stage]
    assert bells == ["decide"]
    assert len(rung) == 1


def test_each_sender_has_its_quiet_time(book, pages, tools, completion) -> None:
    arrived(book, tools, 3, ae="CT1")
    assert completion.look() == 1
    assert pages.journal(STUDY)[-1].reason == "no new image for 2 s"


def test_an_open_association_that_carried_it_holds_it(book, pages, tools, completion, pulse) -> None:
    arrived(book, tools, 100)
    pulse.open.begin("association")
    pulse.open.carry("association", STUDY)
    pulse.look()
    assert completion.look() == 0
    pulse.open.end("association")
    assert completion.look() == 0, "its rows may still wait"
    pulse.look()
    assert completion.look() == 0, "a process that is not asked must be given time to say that it carries it too"
    assert datetime.now(UTC) - pages.study(STUDY).active_at < timedelta(seconds=2)


def test_it_is_held_from_the_first_image_on(book, tools, completion, pulse) -> None:
    arrived(book, tools, 100)
    pulse.open.begin("association")
    pulse.open.carry("association", STUDY)
    assert completion.look() == 0, "the pulse has not looked yet"


def test_an_open_association_that_carried_another_study_holds_nothing(book, tools, completion, pulse) -> None:
    arrived(book, tools, 100)
    pulse.open.begin("association")
    pulse.open.carry("association", "1.9.9")
    pulse.look()
    assert completion.look() == 1


def test_a_process_that_is_not_asked_holds_it_through_the_book(book, tools, completion) -> None:
    arrived(book, tools, 100)
    elsewhere = Pulse(book, OpenAssociations(LocalDesk(Register(9, 9))), set)
    elsewhere.open.begin("theirs")
    elsewhere.open.carry("theirs", STUDY)
    elsewhere.look()
    assert completion.look() == 0


def test_rows_that_wait_hold_it(book, tools, completion, pulse, register) -> None:
    arrived(book, tools, 100)
    pulse.open.begin("association")
    pulse.open.carry("association", STUDY)
    pulse.index.add(tools.instance(STUDY, "1.2"))
    pulse.open.end("association")
    pulse.look()
    assert register.studies() == {STUDY}
    assert completion.look() == 0
    pulse.index.flush()
    pulse.look()
    assert register.studies() == set()


def test_a_complete_study_is_not_touched(book, pages, tools, completion, pulse) -> None:
    arrived(book, tools, 100)
    assert completion.look() == 1
    active_at = pages.study(STUDY).active_at
    pulse.open.begin("association")
    pulse.open.carry("association", STUDY)
    pulse.look()
    assert completion.look() == 0
    assert pages.study(STUDY).active_at == active_at


def test_late_images_over_the_wire_reopen(start, associate, pages, tools) -> None:
    collect = start(quiet_seconds=0.3)
    holding = associate(collect)
    assert tools.post(holding, tools.image(STUDY)) == 0
    tools.until(lambda: pages.study(STUDY))
    time.sleep(1.5)
    assert pages.study(STUDY).state == "collecting", "the association is open"
    holding.release()
    tools.until(lambda: pages.study(STUDY).state == "waiting")
    late = associate(collect)
    assert tools.post(late, tools.image(STUDY)) == 0
    tools.until(lambda: pages.study(STUDY).state == "collecting")
    late.release()
    tools.until(lambda: pages.study(STUDY).state == "waiting")
    assert [line.event for line in pages.journal(STUDY)] == ["instance_stored", "completed"] * 2
