"""Deliveries over real sockets: sent is sent only on the peer's word, and one peer's trouble is its own."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.send.main import send_stage
from services.send.settings import Settings
from shared.settings import Destination
from shared.stage import Stage, claim, run_next
from shared.store import Run, open_book
from shared.store.moves import move
from shared.study import RunEvent
from shared.worker import Hands
from tests.services.send.stand_ins import Post, StandInPacs, StandInRis, answer, free_port, pacs_at, ris_at

Start = Callable[..., Any]


def _stage(post: Post, *destinations: Destination, away_seconds: float = 0.001, concurrency: int = 4) -> Stage:
    settings = Settings(away_seconds=away_seconds)
    return send_stage(post.book, post.data_dir, list(destinations), settings, concurrency)


def _wait_until(true: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_to_pacs_and_ris_and_then_the_study_is_delivered(post: Post, start: Start) -> None:
    pacs, ris = start(StandInPacs), start(StandInRis, answer)
    object_, message = post.add("PACS", "1.2.3.5"), post.add("RIS", "MSG1")
    assert post.run(_stage(post, pacs_at(pacs.port), ris_at(ris.port))) == 2
    assert pacs.received == ["1.2.3.5"]
    assert [m.split(b"|")[9] for m in ris.messages] == [b"MSG1"]
    assert (post.get(object_).state, post.get(object_).attempts) == ("delivered", 1)
    assert post.get(message).reason == "AA it is"
    assert post.study().state == "delivered"


def test_pacs_down_then_up(post: Post, start: Start) -> None:
    port = free_port()
    delivery, stage = post.add("PACS", "1.2.3.5"), _stage(post, pacs_at(port))
    for attempt in (1, 2):
        assert post.run(stage) == 1
        row = post.get(delivery)
        assert (row.state, row.attempts) == ("waiting", attempt)
        assert "can't be reached" in row.reason
        assert row.next_at is not None
        post.hasten()
        time.sleep(0.01)
    pacs = start(StandInPacs, port)
    assert post.run(stage) == 1
    assert pacs.received == ["1.2.3.5"]
    assert (post.get(delivery).state, post.get(delivery).attempts) == ("delivered", 3)


def test_a_destination_that_is_away_costs_its_others_nothing_and_the_other_destination_no_time(
    post: Post, start: Start
) -> None:
    ris = start(StandInRis, answer)
    objects = [post.add("PACS", f"1.2.3.{n}") for n in range(20)]
    messages = [post.add("RIS", f"MSG{n}") for n in range(20)]
    started = time.monotonic()
    attempts = post.run(_stage(post, pacs_at(free_port()), ris_at(ris.port), away_seconds=60))
    assert attempts == 21, "one to the PACS, and every one to the RIS"
    assert time.monotonic() - started < 20
    assert sum(post.get(d).attempts for d in objects) == 1
    assert all(post.get(d).state == "delivered" for d in messages)


@pytest.mark.parametrize("kind", ["dicom", "mllp"])
def test_on_return_the_backlog_goes_out_urgent_first_and_then_by_age(post: Post, start: Start, kind: str) -> None:
    """What was tried meanwhile, the urgent ones first of all, must not come last for its long wait."""
    port, dicom = free_port(), kind == "dicom"
    names = {f"R{n}": f"1.2.3.{n}" if dicom else f"R{n}" for n in range(5)} | {"STAT": "1.2.3.99" if dicom else "STAT"}
    for name, identifier in names.items():
        post.add("PACS" if dicom else "RIS", identifier, priority=0 if name == "STAT" else 5)
    at = pacs_at if dicom else ris_at
    stage = _stage(post, at(port, first_retry_seconds=1000, longest_retry_seconds=2000), concurrency=1)
    for _ in range(2):  # STAT, then the oldest
        assert run_next(post.book, stage)
        time.sleep(0.01)
    peer = start(StandInPacs, port) if dicom else start(StandInRis, answer, port)
    _wait_until(lambda: post.run(stage) >= 0 and post.study().state == "delivered")
    came = peer.received if dicom else peer.control_ids()
    assert came == [names[n] for n in ("R1", "STAT", "R0", "R2", "R3", "R4")], "one finds out, then all in order"


def test_a_rate_holds_for_all_workers_together_and_lets_urgent_ones_pass(post: Post, start: Start) -> None:
    gap, count = 0.15, 12
    ris = start(StandInRis, answer)
    for n in range(count):
        post.add("RIS", f"R{n:02}")
    # each with its own doors, as in processes of their own
    hands = [Hands(post.book, _stage(post, ris_at(ris.port, per_minute=60 / gap)), 2) for _ in range(2)]

    def go_on(hand: Hands) -> None:
        while len(ris.messages) <= count and time.monotonic() < started + 60:
            hand.answer()  # ends when nothing may go at this moment; the sweeper rings for what is left
            time.sleep(0.02)

    threads = [threading.Thread(target=go_on, args=(h,)) for h in hands]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    _wait_until(lambda: len(ris.messages) >= 3)
    post.add("RIS", "STAT", priority=0)
    for thread in threads:
        thread.join(70)
    came = ris.control_ids()
    assert sorted(came) == [*(f"R{n:02}" for n in range(count)), "STAT"]
    # each worker goes for the turn with the most urgent delivery that no other has in hand, and one of them gets it
    assert came.index("STAT") < count - 1, "before what had waited longer"
    assert ris.heard_at[-1] - started >= count * gap, "no faster than its rate"


def test_an_object_that_kills_its_worker_each_time_ends_dead(post: Post, start: Start) -> None:
    ris = start(StandInRis, answer)
    poison, other = post.add("RIS", "POISON"), post.add("RIS", "OTHER")
    stage = _stage(post, ris_at(ris.port, most_attempts=3))
    for _ in range(3):
        taken = claim(post.book, stage)
        assert taken is not None
        assert taken.key == poison
        post.hasten()
    assert post.run(stage) == 2
    assert post.get(other).state == "delivered"
    assert post.get(poison).state == "dead"
    assert "its worker ended in the middle of the last of 3 attempts" in post.get(poison).reason
    assert ris.control_ids() == ["OTHER"]


def test_a_slow_destination_has_its_share_of_the_threads(post: Post, start: Start) -> None:
    stalled = threading.Event()
    pacs, ris = start(StandInPacs, wait=stalled), start(StandInRis, answer)
    for n in range(6):
        post.add("PACS", f"1.2.3.{n}")
    messages = [post.add("RIS", f"MSG{n}") for n in range(6)]
    stage = _stage(post, pacs_at(pacs.port), ris_at(ris.port))
    threads = [threading.Thread(target=post.run, args=(stage,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        _wait_until(lambda: all(post.get(d).state == "delivered" for d in messages))
        assert pacs.received == []
    finally:
        stalled.set()
    for thread in threads:
        thread.join(30)
    _wait_until(lambda: post.run(stage) >= 0 and len(pacs.received) == 6)  # some were turned away at the door
    assert sorted(pacs.received) == [f"1.2.3.{n}" for n in range(6)]


@pytest.mark.parametrize(
    ("status", "attempts", "said"),
    [(0xA700, 5, "free space"), (0xC000, 3, "can't understand"), (0xA900, 3, "SOP class"), (0x0110, 3, "failed")],
)
def test_failure_statuses_end_dead_with_the_reason(
    post: Post, start: Start, status: int, attempts: int, said: str
) -> None:
    pacs = start(StandInPacs, statuses=[status] * 20)
    delivery, stage = post.add("PACS", "1.2.3.5"), _stage(post, pacs_at(pacs.port, most_attempts=5))
    for _ in range(attempts):
        assert post.get(delivery).state == "waiting"
        assert post.run(stage) == 1
        post.hasten()
        time.sleep(0.05)
    row = post.get(delivery)
    assert row.state == "dead"
    assert said in row.reason
    assert f"after {attempts} attempts" in row.reason
    assert pacs.received == []
    assert post.study().state == "dead"


def test_a_warning_is_accepted_and_noted(post: Post, start: Start) -> None:
    pacs = start(StandInPacs, statuses=[0xB000])
    delivery = post.add("PACS", "1.2.3.5")
    post.run(_stage(post, pacs_at(pacs.port)))
    assert post.get(delivery).state == "delivered"
    assert "0xB000" in post.get(delivery).reason


def test_a_sop_class_that_the_pacs_does_not_take_is_said(post: Post, start: Start) -> None:
    pacs = start(StandInPacs)
    pacs.ae.supported_contexts = []
    pacs.ae.add_supported_context("1.2.840.10008.1.1")
    for scp in pacs.ae._servers:
        scp.contexts = pacs.ae.supported_contexts
    delivery = post.add("PACS", "1.2.3.5")
    post.run(_stage(post, pacs_at(pacs.port)))
    assert "does not take Secondary Capture Image Storage" in post.get(delivery).reason


def test_a_called_ae_title_that_is_wrong_is_said(post: Post, start: Start) -> None:
    pacs = start(StandInPacs)
    pacs.ae.require_called_aet = True
    delivery = post.add("PACS", "1.2.3.5")
    wrong = Destination(name="PACS", kind="dicom", host="127.0.0.1", port=pacs.port, ae_title="OTHER")
    stage = _stage(post, wrong)
    for _ in range(5):  # the stand-in closes right after its rejection: on a busy machine only the close is seen
        post.run(stage)
        if "rejected" in post.get(delivery).reason:
            break
        post.hasten()
    assert "rejected the association: Called AE title not recognised" in post.get(delivery).reason


def test_a_pacs_that_does_not_answer_in_time(post: Post, start: Start) -> None:
    stalled = threading.Event()
    pacs = start(StandInPacs, wait=stalled)
    delivery = post.add("PACS", "1.2.3.5")
    started = time.monotonic()
    post.run(_stage(post, pacs_at(pacs.port, timeout_seconds=1)))
    assert time.monotonic() - started < 20
    stalled.set()
    assert post.get(delivery).state == "waiting"
    assert "no answer to C-STORE within 1 s" in post.get(delivery).reason


def test_a_wrong_msa_2_is_no_acknowledgement_and_the_socket_is_closed(post: Post, start: Start) -> None:
    closed = threading.Event()

    def behave(connection: socket.socket, message: bytes) -> None:
        answer(connection, message, control_id="OTHER" if len(ris.messages) == 1 else "")
        if connection.recv(1) == b"":
            closed.set()

    ris = start(StandInRis, behave)
    delivery, stage = post.add("RIS", "MSG1"), _stage(post, ris_at(ris.port))
    post.run(stage)
    assert post.get(delivery).state == "waiting"
    assert "for message 'OTHER'" in post.get(delivery).reason
    assert closed.wait(5)
    post.hasten()
    post.run(stage)
    assert post.get(delivery).state == "delivered"
    assert len(ris.messages) == 2


def test_ae_then_aa(post: Post, start: Start) -> None:
    ris = start(StandInRis, lambda c, m: answer(c, m, "AE" if len(ris.messages) == 1 else "AA"))
    delivery, stage = post.add("RIS", "MSG1"), _stage(post, ris_at(ris.port))
    post.run(stage)
    assert (post.get(delivery).state, post.get(delivery).reason) == ("waiting", "the destination answered AE: AE it is")
    post.hasten()
    post.run(stage)
    assert (post.get(delivery).state, post.get(delivery).attempts) == ("delivered", 2)
    assert ris.messages[0] == ris.messages[1]


def test_ar_ends_dead_after_a_few(post: Post, start: Start) -> None:
    ris = start(StandInRis, lambda c, m: answer(c, m, "AR"))
    delivery, stage = post.add("RIS", "MSG1"), _stage(post, ris_at(ris.port))
    for _ in range(3):
        post.run(stage)
        post.hasten()
    assert post.get(delivery).state == "dead"
    assert "rejected the message, AR: AR it is" in post.get(delivery).reason


def test_a_late_answer_is_not_taken_for_the_next_messages(post: Post, start: Start) -> None:
    """The peer acknowledges the first message after our time is out: the second must get its own word."""

    def behave(connection: socket.socket, message: bytes) -> None:
        if len(ris.messages) == 1:
            time.sleep(1.2)
        try:
            answer(connection, message)
        except OSError:
            late.set()

    late = threading.Event()
    ris = start(StandInRis, behave)
    first, stage = post.add("RIS", "MSG1"), _stage(post, ris_at(ris.port, timeout_seconds=0.5))
    post.run(stage)
    assert "no answer within 0.5 s" in post.get(first).reason
    second = post.add("RIS", "MSG2")
    time.sleep(0.1)
    post.run(stage)
    assert post.get(second).state == "delivered"
    assert post.get(first).state == "waiting"


@pytest.mark.parametrize("gone", ["PACS", "RIS"])
def test_a_file_that_is_gone_is_dead_at_once(post: Post, start: Start, gone: str) -> None:
    delivery = post.add(gone, "1.2.3.5" if gone == "PACS" else "MSG1")
    (post.data_dir / post.get(delivery).path).unlink()
    post.run(_stage(post, pacs_at(free_port()), ris_at(free_port())))
    assert post.get(delivery).state == "dead"
    assert "replay the run" in post.get(delivery).reason


def test_a_destination_that_was_taken_out_of_the_page(post: Post) -> None:
    delivery = post.add("OLD", "1.2.3.5")
    post.run(_stage(post, pacs_at(free_port())))
    assert post.get(delivery).state == "dead"
    assert "isocenter.toml" in post.get(delivery).reason


WORKER = """
import sys
from datetime import timedelta
from pathlib import Path
from services.send.main import send_stage
from services.send.settings import Settings
from shared.settings import Destination
from shared.stage import run_next
from shared.store import Run, open_book
from shared.store.moves import move
from shared.study import RunEvent
from shared.worker import Hands

url, data_dir, port = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
pacs = Destination(name="PACS", kind="dicom", host="127.0.0.1", port=port, ae_title="PACS")
book = open_book(url)
run_next(book, send_stage(book, data_dir, [pacs], Settings(lease_seconds=3), 1))
"""


def test_killed_in_the_middle_of_a_transfer_it_is_delivered_by_the_next(
    post: Post, start: Start, database_url: str
) -> None:
    stalled = threading.Event()
    pacs = start(StandInPacs, wait=stalled)
    delivery = post.add("PACS", "1.2.3.5")
    root = Path(__file__).parents[3]
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, database_url, str(post.data_dir), str(pacs.port)],
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    try:
        assert pacs.asked.wait(30), "the transfer has begun"
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait(10)
    row = post.get(delivery)
    assert (row.state, row.attempts) == ("waiting", 1)
    assert row.lease_owner
    stalled.set()
    book = open_book(database_url)
    stage = send_stage(book, post.data_dir, [pacs_at(pacs.port)], Settings(), 1)
    _wait_until(lambda: post.run(stage) == 1)
    book.close()
    assert (post.get(delivery).state, post.get(delivery).attempts) == ("delivered", 2)
    assert set(pacs.received) == {"1.2.3.5"}


def test_an_old_result_does_not_arrive_after_the_new_one(post: Post, start: Start) -> None:
    """Its run was superseded while an attempt was under way, which then failed."""
    ris = start(StandInRis, answer)
    delivery = post.add("RIS", "MSG1")
    with post.book.write() as session:
        move(session, session.get_one(Run, "run-1"), RunEvent.SUPERSEDED)
    assert post.run(_stage(post, ris_at(ris.port))) == 1
    assert ris.messages == []
    assert (post.get(delivery).state, post.get(delivery).reason) == ("cancelled", "its run was superseded")
