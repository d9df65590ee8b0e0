"""A PACS that does not take an object gets the run's pictures instead: once, and never neither; over real sockets."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import (
    UID,
    Comprehensive3DSRStorage,
    KeyObjectSelectionDocumentStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)
from sqlmodel import select

from services.send.main import send_stage
from services.send.settings import Settings
from shared.settings import Destination
from shared.store import Delivery, Journal, open_book
from shared.store.moves import enter, move
from shared.study import DeliveryEvent, DeliveryState
from tests.services.send.stand_ins import Post, StandInPacs, free_port, pacs_at, write_object

Start = Callable[..., Any]
SR, SEG, KOS, SC = "1.2.3.11", "1.2.3.12", "1.2.3.13", "1.2.3.21"
CLASSES = {
    "SR": Comprehensive3DSRStorage, "NASR": Comprehensive3DSRStorage, "SEG": SegmentationStorage,
    "KOS": KeyObjectSelectionDocumentStorage,
}  # fmt: skip


def add(post: Post, kind: str, identifier: str, spare: bool = False) -> str:
    """A delivery to the PACS of an object of the kind's own SOP class."""
    path = post.data_dir / f"{identifier}.dcm"
    write_object(path, identifier)
    ds = dcmread(path)
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = UID(CLASSES.get(kind, SecondaryCaptureImageStorage))
    ds.save_as(path)
    with post.book.write() as session:
        row = Delivery(
            id=f"PACS-{identifier}", run_id="run-1", study_instance_uid="1.2.3", destination="PACS", kind=kind,
            identifier=identifier, path=path.name, state=DeliveryState.SPARE if spare else DeliveryState.WAITING,
        )  # fmt: skip
        enter(session, row)
    return row.id


def to(port: int, **more: Any) -> Destination:
    return pacs_at(port, **{"objects": ["SR", "SEG", "KOS"], "fallback": "SC", **more})


def send_all(post: Post, destination: Destination) -> None:
    """Until nothing waits any more."""
    stage = send_stage(post.book, post.data_dir, [destination], Settings(away_seconds=0.001), 4)
    deadline = time.monotonic() + 60
    while post.run(stage) or waits(post):
        assert time.monotonic() < deadline, "it never ends"
        post.hasten()
        time.sleep(0.01)


def waits(post: Post) -> bool:
    with post.book.read() as session:
        return bool(session.exec(select(Delivery).where(Delivery.state == DeliveryState.WAITING)).all())


def states(post: Post, *ids: str) -> list[str]:
    return [post.get(key).state for key in ids]


def test_what_is_not_taken_is_replaced_by_the_pictures_once(post: Post, start: Start) -> None:
    pacs = start(StandInPacs)  # takes Secondary Captures, and nothing else
    others = add(post, "SR", SR), add(post, "SEG", SEG), add(post, "KOS", KOS)
    pictures = add(post, "SC", SC, spare=True), add(post, "SC", f"{SC}.2", spare=True)
    send_all(post, to(pacs.port))
    assert sorted(pacs.received) == [SC, f"{SC}.2"]
    assert states(post, *others, *pictures) == ["replaced"] * 3 + ["delivered"] * 2
    row = post.get(others[0])
    assert row.attempts == 3
    assert row.reason.startswith("replaced by SC: PACS@127.0.0.1")
    assert "does not take Comprehensive 3D SR Storage in Explicit VR Little Endian: allow it there" in row.reason
    assert post.study().state == "delivered"
    with post.book.read() as session:
        said = [(line.subject, line.event, line.state, line.reason) for line in session.exec(select(Journal))]
    came = [line for line in said if line[1] == "stepped_in"]
    assert len(came) == 2
    assert came[0][2:] in {("waiting", f"in place of {kind}, which PACS does not take") for kind in CLASSES}


@pytest.mark.parametrize(("status", "replaced"), [(0x0122, True), (0xA900, True), (0xC000, False), (0x0124, False)])
def test_which_statuses_say_that_it_is_not_taken(status: int, replaced: bool, post: Post, start: Start) -> None:
    pacs = start(StandInPacs, statuses=[status] * 3, takes=[Comprehensive3DSRStorage])
    report, picture = add(post, "SR", SR), add(post, "SC", SC, spare=True)
    send_all(post, to(pacs.port))
    assert states(post, report, picture) == (["replaced", "delivered"] if replaced else ["dead", "spare"])
    assert pacs.received == ([SC] if replaced else [])
    assert post.study().state == ("delivered" if replaced else "dead")


def test_a_destination_that_takes_everything_gets_no_spare_picture(post: Post, start: Start) -> None:
    pacs = start(StandInPacs, takes=[Comprehensive3DSRStorage])
    report, picture = add(post, "SR", SR), add(post, "SC", SC, spare=True)
    send_all(post, to(pacs.port))
    assert pacs.received == [SR]
    assert states(post, report, picture) == ["delivered", "spare"]
    assert post.study().state == "delivered", "a spare picture holds up nothing"


@pytest.mark.parametrize("why", ["no fallback", "no picture", "a picture that is dead"])
def test_without_a_picture_it_is_dead_as_ever(why: str, post: Post, start: Start) -> None:
    pacs = start(StandInPacs)
    report = add(post, "SR", SR)
    if why != "no picture":
        picture = add(post, "SC", SC, spare=True)
    if why == "a picture that is dead":
        with post.book.write() as session:
            move(session, session.get_one(Delivery, picture), DeliveryEvent.STEPPED_IN)
            move(session, session.get_one(Delivery, picture), DeliveryEvent.GAVE_UP)
    send_all(post, to(pacs.port, fallback="none" if why == "no fallback" else "SC"))
    assert post.get(report).state == "dead"
    assert "given up after 3 attempts: mend the cause and replay" in post.get(report).reason
    assert pacs.received == []


def test_a_picture_that_goes_there_anyway_goes_once(post: Post, start: Start) -> None:
    pacs = start(StandInPacs)
    report, picture = add(post, "SR", SR), add(post, "SC", SC)
    send_all(post, to(pacs.port, objects=["SR", "SC"]))
    assert pacs.received == [SC]
    assert states(post, report, picture) == ["replaced", "delivered"]
    assert post.study().state == "delivered"


def test_a_notice_that_there_is_no_result_is_not_replaced_by_one(post: Post, start: Start) -> None:
    pacs = start(StandInPacs)
    notice, picture = add(post, "NASR", SR), add(post, "SC", SC, spare=True)
    send_all(post, to(pacs.port))
    assert states(post, notice, picture) == ["dead", "spare"]
    assert pacs.received == []


DIES = """
import os, sys, signal
from pathlib import Path
from services.send import replacing
from services.send.main import send_stage
from services.send.settings import Settings
from shared.settings import Destination
from shared.stage import run_next
from shared.store import moves, open_book

url, data_dir, port, when = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
pacs = Destination(name="PACS", kind="dicom", host="127.0.0.1", port=port, ae_title="PACS", objects=["SR", "SEG"],
                   fallback="SC")
book = open_book(url)
die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
if when == "between the moves":
    replacing.settle, real = die, replacing.move
elif when == "before the first":
    replacing.move = die
run_next(book, send_stage(book, data_dir, [pacs], Settings(lease_seconds=3), 1))
if when == "after the commit":
    die()
"""


@pytest.mark.parametrize("when", ["before the first", "between the moves", "after the commit"])
def test_killed_at_the_last_refusal_both_are_settled_by_the_next(
    when: str, post: Post, start: Start, database_url: str
) -> None:
    pacs = start(StandInPacs)
    report, picture = add(post, "SR", SR), add(post, "SC", SC, spare=True)
    with post.book.write() as session:
        row = session.get_one(Delivery, report)
        row.attempts = 2  # the next refusal is the last
        session.add(row)
    command = [sys.executable, "-c", DIES, database_url, str(post.data_dir), str(pacs.port), when]
    root = str(Path(__file__).parents[3])
    killed = subprocess.run(command, env={**os.environ, "PYTHONPATH": root}, timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL
    moved = when == "after the commit"
    assert states(post, report, picture) == (["replaced", "waiting"] if moved else ["waiting", "spare"])
    post.hasten()
    book = open_book(database_url)
    send_all(post, to(pacs.port))
    book.close()
    assert states(post, report, picture) == ["replaced", "delivered"]
    assert pacs.received == [SC]


STORESCP = """
[[TransferSyntaxes]]
[Any]
TransferSyntax1 = LocalEndianExplicit
TransferSyntax2 = LittleEndianImplicit
[[PresentationContexts]]
[Pictures]
PresentationContext1 = SecondaryCaptureImageStorage\\Any
[[Profiles]]
[Old]
PresentationContexts = Pictures
"""


def test_dcmtks_storescp_that_takes_pictures_alone(post: Post, tmp_path: Path) -> None:
    if not shutil.which("storescp"):
        pytest.skip("storescp (dcmtk) is not installed")
    port, there = free_port(), tmp_path / "there"
    there.mkdir()
    (tmp_path / "old.cfg").write_text(STORESCP)
    command = ["storescp", "-xf", tmp_path / "old.cfg", "Old", "-od", there, str(port)]
    scp = subprocess.Popen(command)
    try:
        report, picture = add(post, "SR", SR), add(post, "SC", SC, spare=True)
        send_all(post, to(port))
    finally:
        scp.terminate()
        scp.wait(10)
    assert states(post, report, picture) == ["replaced", "delivered"]
    assert [str(dcmread(path).SOPInstanceUID) for path in there.iterdir()] == [SC]
