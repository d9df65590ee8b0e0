"""What is stored counts as delivered when the PACS has also said that it keeps it, where it is asked to say so."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from services.send.main import send_stage
from services.send.settings import Settings
from shared.dicom.commitment import Report
from shared.settings import Destination
from shared.stage import Stage
from shared.store import Delivery, Run
from shared.store.actions import NotPossible, cancel, press, replay
from shared.store.commitments import MOST_STORED, hear
from shared.store.moves import supersede, withdraw
from shared.store.views import find_study, study_view
from tests.services.send.stand_ins import CommittingPacs, Post, StandInPacs, free_port, pacs_at

Start = Callable[..., Any]
OBJECT = "1.2.3.5"


def _stage(post: Post, destination: Destination) -> Stage:
    return send_stage(post.book, post.data_dir, [destination], Settings(away_seconds=0.001), 4)


def _hear(post: Post, report: Report) -> bool:
    """As collect does when the PACS has opened an association of its own."""
    with post.book.write() as session:
        return hear(session, report)


def _committing(post: Post, start: Start, **how: Any) -> tuple[CommittingPacs, Stage, str]:
    pacs = start(CommittingPacs, **how)
    delivery = post.add("PACS", OBJECT)
    return pacs, _stage(post, pacs_at(pacs.port, commitment=True)), delivery


def test_delivered_when_the_pacs_says_so_on_the_same_association(post: Post, start: Start) -> None:
    pacs, stage, delivery = _committing(post, start)
    assert post.run(stage) == 2, "one to store, one to ask"
    assert (pacs.received, len(pacs.questions)) == ([OBJECT], 1)
    row = post.get(delivery)
    assert (row.state, row.reason, row.attempts) == ("delivered", "PACS says that it keeps it", 1)
    assert post.study().state == "delivered"


def test_stored_is_not_delivered_until_the_answer_comes_to_our_port(post: Post, start: Start) -> None:
    pacs, stage, delivery = _committing(post, start, here=False)
    assert post.run(stage) == 2
    assert post.run(stage) == 0, "nothing more to do until the answer, or the time-out"
    row = post.get(delivery)
    assert (row.state, post.study().state) == ("committing", "running")
    assert row.reason == "stored; PACS has not yet said that it keeps it (asked 1 of 3)"
    assert row.next_at is not None
    with post.book.read() as session:
        view = study_view(session, find_study(session, "1.2.3"))
    assert [d.state for d in view.deliveries] == ["committing"]
    assert "1 stored, not yet said to be kept" in view.summary
    assert _hear(post, pacs.reports[0])
    assert (post.get(delivery).state, post.study().state) == ("delivered", "delivered")
    assert _hear(post, pacs.reports[0]), "a repeat is taken and does nothing"
    assert not _hear(post, Report("1.2.99", committed=pacs.reports[0].committed)), "not ours"


def test_an_answer_that_comes_while_the_row_is_worked_on_is_applied_by_who_works(post: Post, start: Start) -> None:
    pacs, stage, delivery = _committing(post, start, here=False)
    working = threading.Thread(target=post.run, args=(stage,))
    working.start()
    while not pacs.reports:
        working.join(0.02)
    assert _hear(post, pacs.reports[0])
    assert post.get(delivery).state == "committing", "the asker still listens on its association"
    working.join(20)
    assert post.get(delivery).state == "delivered"


def test_what_is_not_kept_is_stored_again_and_asked_for_again(post: Post, start: Start) -> None:
    pacs, stage, delivery = _committing(post, start, loses={OBJECT: [0x0112]})
    assert post.run(stage) == 2
    row = post.get(delivery)
    assert (row.state, row.reason) == ("waiting", "PACS does not keep it: 0x0112 (no such object instance)")
    assert row.next_at is not None
    post.hasten()
    assert post.run(stage) == 2
    assert pacs.received == [OBJECT, OBJECT]
    assert len(set(pacs.questions)) == 2, "each question has a Transaction UID of its own"
    assert (post.get(delivery).state, post.get(delivery).attempts) == ("delivered", 2)


def test_a_pacs_that_never_keeps_it_ends_dead_with_its_reason(post: Post, start: Start) -> None:
    pacs = start(CommittingPacs, loses={OBJECT: [0x0213] * 20})
    delivery, stage = post.add("PACS", OBJECT), _stage(post, pacs_at(pacs.port, commitment=True))
    for _ in range(MOST_STORED + 1):
        post.run(stage)
        post.hasten()
    row = post.get(delivery)
    assert (row.state, len(pacs.received)) == ("dead", MOST_STORED)
    assert f"stored it {MOST_STORED} times, and does not keep it: 0x0213 (resource limitation)" in row.reason
    assert post.study().state == "dead"


def test_a_pacs_that_never_answers_is_asked_again_and_then_given_up(post: Post, start: Start) -> None:
    pacs, stage, delivery = _committing(post, start, here=False)
    for _ in range(4):
        post.run(stage)
        post.hasten()
    row = post.get(delivery)
    assert (row.state, len(set(pacs.questions)), pacs.received) == ("dead", 3, [OBJECT])
    assert "asked 3 times, 10 min each" in row.reason
    assert "commitment = false" in row.reason
    assert _hear(post, pacs.reports[2])
    assert post.get(delivery).state == "dead", "too late; replay is the button"
    with post.book.write() as session:
        replay(session, delivery, "test")
    pacs.here = True
    assert post.run(stage) == 2
    assert post.get(delivery).state == "delivered"


def test_an_answer_to_an_earlier_question_counts(post: Post, start: Start) -> None:
    pacs, stage, delivery = _committing(post, start, here=False)
    post.run(stage)
    post.hasten()
    post.run(stage)
    assert len(pacs.reports) == 2
    assert _hear(post, pacs.reports[0])
    assert post.get(delivery).state == "delivered"


def test_an_answer_from_before_it_was_stored_anew_does_not_count(post: Post, start: Start) -> None:
    pacs, stage, delivery = _committing(post, start, here=False)
    post.run(stage)
    press(post.book, lambda session: replay(session, delivery, "test"))
    post.run(stage)
    assert _hear(post, pacs.reports[0])
    assert post.get(delivery).state == "committing"
    assert _hear(post, pacs.reports[1])
    assert post.get(delivery).state == "delivered"


def test_a_pacs_that_does_not_offer_it_ends_dead_with_what_to_do(post: Post, start: Start) -> None:
    pacs = start(StandInPacs)
    delivery, stage = post.add("PACS", OBJECT), _stage(post, pacs_at(pacs.port, commitment=True))
    for _ in range(4):
        post.run(stage)
        post.hasten()
    row = post.get(delivery)
    assert (row.state, pacs.received) == ("dead", [OBJECT])
    assert "does not offer storage commitment: allow it there" in row.reason
    assert "commitment = false" in row.reason


@pytest.mark.parametrize(("status", "said"), [(0x0124, "enter our AE title"), (0x0110, "failed to process")])
def test_a_request_that_is_refused_ends_dead_with_the_reason(
    post: Post, start: Start, status: int, said: str
) -> None:  # fmt: skip
    _, stage, delivery = _committing(post, start, status=status)
    for _ in range(4):
        post.run(stage)
        post.hasten()
    assert (post.get(delivery).state, said in post.get(delivery).reason) == ("dead", True)


def test_a_pacs_that_is_away_when_it_is_to_be_asked(post: Post, start: Start) -> None:
    pacs, stage, delivery = _committing(post, start, here=False, status=0x0213)
    post.run(stage)
    assert post.get(delivery).state == "committing"
    gone = _stage(post, pacs_at(free_port(), commitment=True))
    post.hasten()
    assert post.run(gone) == 1
    assert "can't be reached" in post.get(delivery).reason
    pacs.status, pacs.here = 0, True
    post.hasten()
    assert post.run(stage) == 1
    assert (post.get(delivery).state, pacs.received) == ("delivered", [OBJECT])


def test_a_question_whose_taking_was_not_heard_is_put_again_and_any_answer_counts(post: Post, start: Start) -> None:
    pacs, stage, delivery = _committing(post, start, here=False)
    pacs.hangs_up = True
    assert post.run(stage) == 2
    row = post.get(delivery)
    assert (row.state, len(pacs.questions), row.attempts) == ("committing", 1, 1)
    pacs.hangs_up = False
    post.hasten()
    assert post.run(stage) == 1
    assert len(set(pacs.questions)) == 2
    assert _hear(post, pacs.reports[0])
    assert post.get(delivery).state == "delivered"


def test_commitment_that_is_no_longer_asked_for(post: Post, start: Start) -> None:
    pacs, stage, delivery = _committing(post, start, here=False)
    post.run(stage)
    post.hasten()
    assert post.run(_stage(post, pacs_at(pacs.port))) == 1
    assert (post.get(delivery).state, post.study().state) == ("delivered", "delivered")


def test_cancelled_while_it_waits_for_the_answer(post: Post, start: Start) -> None:
    pacs, stage, delivery = _committing(post, start, here=False)
    post.run(stage)
    press(post.book, lambda session: cancel(session, "1.2.3", "test"))
    assert _hear(post, pacs.reports[0])
    assert (post.get(delivery).state, post.study().state) == ("cancelled", "cancelled")
    with pytest.raises(NotPossible):
        press(post.book, lambda session: cancel(session, "1.2.3", "test"))


def test_superseded_while_it_waits_the_book_still_says_that_the_pacs_has_it(post: Post, start: Start) -> None:
    pacs, stage, delivery = _committing(post, start, here=False)
    post.run(stage)
    with post.book.write() as session:
        run = session.get_one(Run, "run-1")
        supersede(session, run, "late images")
        withdraw(session, run, "late images")
    assert post.get(delivery).state == "committing"
    assert _hear(post, pacs.reports[0])
    assert post.get(delivery).state == "delivered"


def test_superseded_and_not_kept_it_is_not_stored_again(post: Post, start: Start) -> None:
    pacs, stage, delivery = _committing(post, start, here=False, loses={OBJECT: [0x0112]})
    post.run(stage)
    with post.book.write() as session:
        supersede(session, session.get_one(Run, "run-1"), "late images")
    assert _hear(post, pacs.reports[0])
    post.hasten()
    post.run(stage)
    assert (post.get(delivery).state, pacs.received) == ("cancelled", [OBJECT])


def test_only_dicom_destinations_can_be_asked() -> None:
    with pytest.raises(ValueError, match="only a dicom destination"):
        Destination(name="RIS", kind="mllp", host="h", port=1, commitment=True)


def test_the_worker_dies_after_the_answer_was_written_down(post: Post, start: Start) -> None:
    """The lease runs out; who takes the row up next finds the answer, and asks nothing."""
    pacs, stage, delivery = _committing(post, start, here=False)
    post.run(stage)
    with post.book.write() as session:
        row = session.get_one(Delivery, delivery)
        row.lease_until = row.waiting_since.replace(year=row.waiting_since.year + 1)
    assert _hear(post, pacs.reports[0])
    assert post.get(delivery).state == "committing"
    with post.book.write() as session:
        session.get_one(Delivery, delivery).lease_until = None
    post.hasten()
    assert post.run(stage) == 1
    assert (post.get(delivery).state, len(pacs.questions)) == ("delivered", 1)
