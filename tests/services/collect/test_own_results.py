"""Results of ours that a PACS routes back are kept, and reopen nothing."""

from datetime import UTC, datetime, timedelta

import pytest

from services.collect.store.index import write_rows
from shared.own_results import MANUFACTURER
from shared.store import Study
from shared.store.moves import move
from shared.study import StudyEvent

STUDY = "1.2.3"
ROUND = (StudyEvent.COMPLETED, StudyEvent.CHOSEN, StudyEvent.GATED, StudyEvent.DELIVERED)


def write(book, *rows) -> None:
    with book.write() as session:
        write_rows(session, list(rows))


@pytest.mark.parametrize("events", [ROUND[:count] for count in range(len(ROUND) + 1)])
def test_a_result_that_comes_back_changes_nothing_of_its_study(any_book, pages_of, tools, events) -> None:
    pages = pages_of(any_book)
    write(any_book, tools.instance(STUDY, "1.1"))
    with any_book.write() as session:
        for event in events:
            move(session, session.get_one(Study, STUDY), event)
    before = pages.study(STUDY)
    later = datetime.now(UTC) + timedelta(seconds=90)
    back = tools.instance(STUDY, "1.9", ae="PACS2", at=later, manufacturer=MANUFACTURER)
    write(any_book, back)
    write(any_book, back)
    assert pages.study(STUDY) == before
    assert {row.sop_instance_uid for row in pages.instances()} == {"1.1", "1.9"}
    told = [line.reason for line in pages.journal(STUDY) if line.event == "result_returned"]
    assert told == ["1 of Isocenter's own results came back: kept, not read"]


def test_an_image_that_comes_with_results_is_late_as_ever(any_book, pages_of, tools) -> None:
    pages = pages_of(any_book)
    write(any_book, tools.instance(STUDY, "1.1"))
    with any_book.write() as session:
        for event in ROUND:
            move(session, session.get_one(Study, STUDY), event)
    write(any_book, tools.instance(STUDY, "1.9", manufacturer=MANUFACTURER), tools.instance(STUDY, "1.2"))
    study = pages.study(STUDY)
    assert (study.state, study.revision) == ("collecting", 2)
    assert pages.journal(STUDY)[-1].reason == "1 late image after delivered"


def test_results_without_their_images_are_a_study_all_the_same(any_book, pages_of, tools) -> None:
    write(any_book, tools.instance(STUDY, "1.9", manufacturer=MANUFACTURER, patient_id="P1"))
    study = pages_of(any_book).study(STUDY)
    assert (study.state, study.patient_id) == ("collecting", "P1")
