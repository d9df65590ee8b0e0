"""Images that retention has removed come again: the study is read when it is whole, and never in part."""

from pathlib import Path

import pytest
from sqlmodel import select

from services.collect.store.folder import StoreFolder
from services.collect.store.index import write_rows
from services.collect.store.reconcile import reconcile
from services.decide.main import work
from services.decide.settings import Settings
from shared.packages.installed import Installed
from shared.store import Instance, Study, utc_now
from shared.store.moves import move
from shared.study import StudyEvent

STUDY = "1.2.3"
ROUND = (StudyEvent.COMPLETED, StudyEvent.CHOSEN, StudyEvent.GATED, StudyEvent.DELIVERED)


def write(book, *rows) -> None:
    with book.write() as session:
        write_rows(session, list(rows))


@pytest.fixture
def removed(any_book, tools):
    """A delivered study of two images, both of which retention has removed."""
    write(any_book, tools.instance(STUDY, "1.1"), tools.instance(STUDY, "1.2"))
    with any_book.write() as session:
        study = session.get_one(Study, STUDY)
        for event in ROUND:
            move(session, study, event)
        study.images_removed_at = utc_now()
        for row in session.exec(select(Instance)):
            row.removed_at = study.images_removed_at
    return any_book


def decided(book) -> Study:
    with book.write() as session:
        study = session.get_one(Study, STUDY)
        move(session, study, StudyEvent.COMPLETED)
        work(Installed(Path("no packages here")), Settings())(session, study)
    with book.read() as session:
        return session.get_one(Study, STUDY)


def test_a_part_that_came_again_is_not_read_as_the_whole(removed, pages_of, tools) -> None:
    write(removed, tools.instance(STUDY, "1.1"))
    pages = pages_of(removed)
    assert (pages.study(STUDY).state, pages.study(STUDY).revision) == ("collecting", 2)
    assert pages.journal(STUDY)[-1].reason == "1 image that had been removed came again after delivered"
    study = decided(removed)
    assert study.state == "refused"
    assert study.reason.startswith("1 of 2 images of the study were removed on ")
    assert study.reason.endswith("have the PACS send the whole study again")


def test_a_late_image_of_a_removed_study_is_kept_and_not_read_alone(removed, pages_of, tools) -> None:
    write(removed, tools.instance(STUDY, "1.3"))
    assert decided(removed).reason.startswith("2 of 3 images")
    assert len(pages_of(removed).instances()) == 3


def test_the_whole_that_came_again_is_read(removed, pages_of, tools) -> None:
    write(removed, tools.instance(STUDY, "1.1"), tools.instance(STUDY, "1.2", digest="b" * 64))
    assert [(row.removed_at, row.digest[-1], row.conflicts) for row in pages_of(removed).instances()] == [
        (None, "a", 0), (None, "b", 0),
    ]  # fmt: skip
    assert decided(removed).reason == "no package is installed: put one into the model repository"


def test_bytes_that_were_found_in_their_place_say_nothing(removed, pages_of, tools) -> None:
    """They may have been found in the moment before retention took them away."""
    from dataclasses import replace

    write(removed, replace(tools.instance(STUDY, "1.1"), known=True))
    assert pages_of(removed).study(STUDY).state == "delivered"
    assert all(row.removed_at for row in pages_of(removed).instances())


def test_reconcile_knows_what_was_removed_from_what_is_missing(removed, pages_of, tmp_path) -> None:
    found = reconcile(removed, StoreFolder(tmp_path / "store"), 120)
    assert found.missing == 0
    assert "files_missing" not in {line.event for line in pages_of(removed).journal(STUDY)}
