"""What goes by a rule, what never goes, and what a crash in the middle leaves."""

import os
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
from sqlmodel import select

from shared.keeping import aside, removal
from shared.keeping.removal import finish_cut_short, remove_of_study, why_not
from shared.keeping.rules import Retention, Rule
from shared.keeping.sweep import BOUND, Sweep
from shared.settings import Core
from shared.store import (
    Commitment,
    Delivery,
    Duplicate,
    Instance,
    Journal,
    Order,
    Quarantine,
    Removal,
    Run,
    Study,
    actions,
    utc_now,
)
from shared.store.views import StudyNotFound, find_study, study_detail

STUDY = "1.2.3"
IMAGES = Rule(name="old images", remove="images", states=["delivered"], after_days=30)
RESULTS = Rule(name="old results", remove="results", states=["delivered"], after_days=30)
RECORD = Rule(name="old records", remove="record", states=["delivered", "dead"], after_days=30)


@pytest.fixture
def here(tmp_path: Path, book) -> Core:
    return Core(data_dir=tmp_path / "data", database_url=book.url)


def put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def a_study(book, core: Core, uid: str = STUDY, days: float = 40, state: str = "delivered") -> None:
    """A settled study with two images, other bytes of one, a run, its result and its delivery."""
    at = utc_now() - timedelta(days=days)
    with book.write() as session:
        session.add(
            Study(study_instance_uid=uid, state=state, settled_at=at, first_instance_at=at, last_instance_at=at)
        )
        session.flush()
        for number in (1, 2):
            path = f"{uid}/1.9/1.{number}.dcm"
            put(core.store_dir / path, b"i" * 100)
            session.add(
                Instance(
                    study_instance_uid=uid, sop_instance_uid=f"1.{number}", series_instance_uid="1.9", path=path,
                    sop_class_uid="1.2", transfer_syntax_uid="1.2", size=100, digest="a" * 64, received_at=at,
                )
            )  # fmt: skip
        path = f"{uid}/1.9/1.1~bbbbbbbb.dcm"
        put(core.store_dir / path, b"o" * 50)
        session.add(Duplicate(path=path, study_instance_uid=uid, sop_instance_uid="1.1", size=50, digest="b" * 64))
        run = {"package": "p", "version": "1", "kind": "reader", "state": state, "verdict": "pass"}
        session.add(Run(id=f"run-{uid}", study_instance_uid=uid, revision=1, **run))
        session.flush()
        path = f"results/{uid}/run-{uid}/sr.dcm"
        put(core.data_dir / path, b"r" * 30)
        session.add(
            Delivery(
                id=f"d-{uid}", run_id=f"run-{uid}", study_instance_uid=uid, destination="PACS", kind="SR",
                identifier="1", path=path, state=state,
            )
        )  # fmt: skip


def files(core: Core) -> list[str]:
    roots = (core.store_dir, core.results_dir, core.quarantine_dir)
    return sorted(p.relative_to(core.data_dir).as_posix() for r in roots for p in r.rglob("*") if p.is_file())


def removals(book) -> list[Removal]:
    with book.read() as session:
        return list(session.exec(select(Removal).order_by(Removal.at)))


def rows(book, table) -> list:
    with book.read() as session:
        return list(session.exec(select(table)))


def test_images_go_and_the_book_says_so(book, here):
    a_study(book, here)
    remove_of_study(book, here, STUDY, IMAGES)
    assert files(here) == [f"results/{STUDY}/run-{STUDY}/sr.dcm"]
    assert not (here.store_dir / STUDY).exists(), "nor are empty folders left"
    (written,) = removals(book)
    assert (written.what, written.rule, written.count, written.size) == ("images", "old images", 3, 250)
    assert written.finished_at
    assert all(row.removed_at for row in rows(book, Instance))
    assert rows(book, Duplicate) == []
    with book.read() as session:
        detail = study_detail(session, find_study(session, STUDY))
    assert [one.rule for one in detail.removed] == ["old images"]
    assert "images removed (3, 250 bytes) by retention rule 'old images': delivered since" in detail.journal[-1].reason
    assert remove_of_study(book, here, STUDY, IMAGES) is None, "once is enough"


def test_replay_says_in_words_what_is_gone(book, here):
    a_study(book, here)
    remove_of_study(book, here, STUDY, IMAGES)
    remove_of_study(book, here, STUDY, RESULTS)
    for name, words in (
        (STUDY, "by retention rule 'old images': have the PACS send the whole study again"),
        (f"run-{STUDY}", "by retention rule 'old images'"),
        (f"d-{STUDY}", "by retention rule 'old results': replay its run"),
    ):
        with pytest.raises(actions.NotPossible, match=words):
            actions.press(book, lambda session, name=name: actions.replay(session, name, "test"))


def test_a_record_goes_whole_and_is_still_told_of(book, here):
    a_study(book, here)
    a_study(book, here, "1.2.4", days=1)
    remove_of_study(book, here, STUDY, RECORD)
    assert {row.study_instance_uid for table in (Study, Instance, Run, Delivery) for row in rows(book, table)} == {
        "1.2.4"
    }
    assert not [path for path in files(here) if f"/{STUDY}/" in path]
    with book.read() as session, pytest.raises(StudyNotFound, match=r"removed on .* by retention rule 'old records'"):
        find_study(session, STUDY)
    assert remove_of_study(book, here, "1.2.4", RECORD) is None, "it is too young"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"study": "collecting"}, "it is collecting"),
        ({"study": "held"}, "it is held"),
        ({"run": "sending"}, "1 of its runs are under way"),
        ({"delivery": "waiting"}, "1 of its results are not delivered"),
        ({"days": 29}, "too short a time ago"),
    ],
)
@pytest.mark.parametrize("rule", [IMAGES, RESULTS, RECORD], ids=lambda rule: rule.remove)
def test_never_what_is_under_way(book, here, rule, change, words):
    a_study(book, here, days=change.get("days", 40))
    with book.write() as session:
        for name, table in (("study", Study), ("run", Run), ("delivery", Delivery)):
            if name in change:
                (row,) = session.exec(select(table))
                row.state = change[name]
    before = files(here)
    assert remove_of_study(book, here, STUDY, rule) is None
    assert files(here) == before
    assert removals(book) == []
    with book.read() as session:
        assert words in why_not(session, session.get_one(Study, STUDY), rule, utc_now())


def test_never_what_a_sender_waits_for_our_word_on(book, here):
    """It asked whether we keep its images (storage commitment), and deletes its own when we say so."""
    a_study(book, here)
    asked = {"transaction_uid": "1.9", "calling_ae_title": "CT1", "references": [("1.2", "1.1")]}
    with book.write() as session:
        session.add(Commitment(id="c", **asked))
    assert remove_of_study(book, here, STUDY, IMAGES) is None
    with book.write() as session:
        session.get_one(Commitment, "c").state = "reported"
    assert remove_of_study(book, here, STUDY, IMAGES) is not None


def test_the_guard_looks_inside_the_transaction(book, here, monkeypatch):
    """A delivery is replayed between the choice of the study and its removal: who comes second sees the other."""
    a_study(book, here)
    write, entered, go = book.write, threading.Event(), threading.Event()

    def slow(*args):
        entered.set()
        assert go.wait(10)
        return write(*args)

    with monkeypatch.context() as patch:
        patch.setattr(book, "write", slow)
        thread = threading.Thread(target=remove_of_study, args=(book, here, STUDY, IMAGES))
        thread.start()
        assert entered.wait(10)
    actions.press(book, lambda session: actions.replay(session, f"d-{STUDY}", "test"))
    go.set()
    thread.join(10)
    assert len(files(here)) == 4
    assert removals(book) == []


def test_an_image_whose_row_is_still_on_its_way_stays(book, here):
    a_study(book, here)
    put(here.store_dir / STUDY / "1.9" / "1.3.dcm", b"late")
    remove_of_study(book, here, STUDY, IMAGES)
    assert [path for path in files(here) if path.startswith("store")] == [f"store/{STUDY}/1.9/1.3.dcm"]


KILLED = """
import os, sys
from pathlib import Path
from shared.keeping import aside, removal
from shared.keeping.rules import Rule
from shared.settings import Core
from shared.store import open_book
url, data, where = sys.argv[1:]
book, core = open_book(url), Core(data_dir=Path(data), database_url=url)
if where == "before the commit":
    removal._write_down = lambda *_: os._exit(9)
elif where == "amid the renames":
    rename, count = Path.rename, []
    def one(self, target):
        count.append(self)
        if len(count) > 1:
            os._exit(9)
        return rename(self, target)
    Path.rename = one
elif where == "after the commit":
    removal.finish = lambda *_: os._exit(9)
elif where == "amid the deletion":
    aside.shutil.rmtree = lambda top: (next(p for p in top.rglob("*.dcm")).unlink(), os._exit(9))
rule = Rule(name="old images", remove="images", states=["delivered"], after_days=30)
removal.remove_of_study(book, core, "1.2.3", rule)
"""


@pytest.mark.parametrize("where", ["amid the renames", "before the commit", "after the commit", "amid the deletion"])
def test_kill_9_leaves_no_lie(book, here, where):
    a_study(book, here)
    before = files(here)
    command = [sys.executable, "-W", "ignore", "-c", KILLED, book.url, str(here.data_dir), where]
    assert subprocess.run(command, timeout=60, check=False).returncode == 9
    then = time.time() - 3600
    for folder in aside.lying_aside(here.store_dir):
        os.utime(folder, (then, then))
    committed = where.startswith("after") or where.endswith("deletion")
    assert finish_cut_short(book, here)[0] == int(committed)
    assert finish_cut_short(book, here) == (0, 0)
    if committed:
        assert files(here) == [path for path in before if path.startswith("results")]
        assert all(row.removed_at for row in rows(book, Instance))
        assert [one.finished_at is not None for one in removals(book)] == [True]
    else:
        assert files(here) == before
        assert not any(row.removed_at for row in rows(book, Instance))
        assert removals(book) == []


def test_a_database_that_fails_at_the_commit_leaves_all_in_place(book, here, monkeypatch):
    a_study(book, here)
    before = files(here)

    def fail(*_):
        raise RuntimeError("the connection is lost")

    monkeypatch.setattr(removal, "_write_down", fail)
    with pytest.raises(RuntimeError):
        remove_of_study(book, here, STUDY, IMAGES)
    assert files(here) == before
    assert not any(row.removed_at for row in rows(book, Instance))


def test_without_rules_nothing_goes(book, here):
    a_study(book, here, days=4000)
    assert Sweep(book, here, Retention()).round() == []
    assert len(files(here)) == 4


def test_room_is_made_by_the_oldest_that_a_rule_lets_go_early_and_by_no_other(book, here):
    early = Rule(name="early", remove="images", states=["delivered"], after_days=30, early_after_days=5)
    late = Rule(name="late", remove="images", states=["held"], after_days=30)
    for uid, days, state in (
        ("1.1", 20, "delivered"), ("1.2", 25, "delivered"), ("1.3", 10, "delivered"), ("1.4", 25, "held"),
        ("1.5", 4, "delivered"), ("1.6", 25, "dead"),
    ):  # fmt: skip
        a_study(book, here, uid, days, state)
    free = [100]
    sweep = Sweep(book, here, Retention(rules=[early, late], when_free_below_bytes=500), lambda: free[0])

    def now_free():
        return 100 + 250 * len(removals(book))

    sweep.free_bytes = now_free
    assert [one.study_instance_uid for one in sweep.round()] == ["1.2", "1.1"], "until there is room"
    sweep.free_bytes = lambda: 100
    assert [one.study_instance_uid for one in sweep.round()] == ["1.3"], "and then what else may go early"
    assert sweep.round() == []
    assert "early: room was short" in next(j.reason for j in rows(book, Journal) if j.study_instance_uid == "1.2")


def test_quarantine_is_bounded_and_told(book, here):
    for number in range(4):
        put(here.quarantine_dir / f"dicom/2026-01/{number}.dcm", b"q" * 100)
        with book.write() as session:
            at = utc_now() - timedelta(days=10 - number)
            path = f"dicom/2026-01/{number}.dcm"
            session.add(Quarantine(source="dicom", reason="cut", path=path, size=100, at=at))
    Sweep(book, here, Retention(quarantine_most_bytes=250)).round()
    assert files(here) == [f"quarantine/dicom/2026-01/{number}.dcm" for number in (2, 3)]
    assert [(one.what, one.rule, one.count, one.size) for one in removals(book)] == [("quarantine", BOUND, 2, 200)]
    assert len(rows(book, Quarantine)) == 2
    old = Rule(name="a week", remove="quarantine", after_days=7.5)
    Sweep(book, here, Retention(rules=[old])).round()
    assert files(here) == ["quarantine/dicom/2026-01/3.dcm"]


def test_orders_go_where_no_study_belongs_to_them(book, here):
    long_ago = utc_now() - timedelta(days=100)
    with book.write() as session:
        for number in ("1", "2", "3"):
            session.add(
                Order(id=int(number), accession_number=number, received_at=long_ago if number != "3" else utc_now())
            )
        session.flush()
        session.add(Study(study_instance_uid=STUDY, order_id=2))
        session.add(
            Order(id=4, accession_number="4", received_at=long_ago, scheduled_at=utc_now() + timedelta(days=30))
        )
    rule = Rule(name="old orders", remove="orders", after_days=90)
    Sweep(book, here, Retention(rules=[rule])).round()
    assert {order.accession_number for order in rows(book, Order)} == {"2", "3", "4"}
    assert [(one.what, one.count) for one in removals(book)] == [("orders", 1)]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"remove": "images"}, "needs states"),
        ({"remove": "quarantine", "states": ["held"]}, "are of studies"),
        ({"remove": "images", "states": ["dead"], "early_after_days": 1}, "never goes early"),
        ({"remove": "images", "states": ["held"], "early_after_days": 60}, "earlier than after_days"),
        ({"remove": "images", "states": ["waiting"]}, "Input should be"),
        ({"remove": "images", "states": ["held"], "after_days": 0}, "greater than 0"),
    ],
)
def test_a_rule_that_makes_no_sense_says_why(rule, words):
    with pytest.raises(ValueError, match=words):
        Rule(**{"name": "x", "after_days": 30, **rule})


def test_a_study_that_the_disk_refuses_keeps_no_other_from_going(book, here):
    a_study(book, here, "1.2.3", days=50)
    a_study(book, here, "1.2.4", days=40)
    with book.write() as session:
        row = session.exec(select(Instance).where(Instance.study_instance_uid == "1.2.3")).first()
        row.path = f"1.2.3/1.9/{'1' * 300}.dcm"  # too long a name, which the disk answers with an error
        session.add(row)
    before = files(here)
    gone = Sweep(book, here, Retention(rules=[IMAGES])).round()
    assert [one.study_instance_uid for one in gone] == ["1.2.4"]
    assert files(here) == [path for path in before if not path.startswith("store/1.2.4/")]


def test_a_removal_that_can_not_be_ended_keeps_no_other_from_going(book, here):
    """A removal that was written down, and whose files the disk does not let go."""
    a_study(book, here)
    stuck = Removal(id="0" * 36, study_instance_uid="1.2.9", what="images", rule="old images")
    with book.write() as session:
        session.add(stuck)
    put(here.store_dir / aside.FOLDER / stuck.id, b"a file where the folder was")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aside, "delete", _refusing(stuck.id, aside.delete))
        gone = Sweep(book, here, Retention(rules=[IMAGES])).round()
    assert [one.study_instance_uid for one in gone] == [STUDY]
    assert [one.id for one in removals(book) if not one.finished_at] == [stuck.id]


def _refusing(removal_id, delete):
    def refuse(root, which):
        if which == removal_id:
            raise OSError(5, "Input/output error")
        delete(root, which)

    return refuse
