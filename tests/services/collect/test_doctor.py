"""The store is examined beside the running system: nothing is lost, doubled or falsely told."""

import json
import os
import threading
import time

import pytest
from sqlmodel import select
from typer.testing import CliRunner

from services.collect.doctor import findings
from services.collect.store.folder import StoreFolder
from services.collect.store.reconcile import Reconciler, changed_folders
from services.collect.store.study_files import StudyFiles
from shared.cli.main import app
from shared.store import Reconciliation, utc_now

STUDY = "1.2.3"


@pytest.fixture
def page(tmp_path, book):
    path = tmp_path / "isocenter.toml"
    path.write_text(f'[isocenter]\ndata_dir = "{tmp_path}"\ndatabase_url = "{book.url}"\n')
    return path


def doctor(page, *options: str) -> tuple[int, dict[str, dict]]:
    done = CliRunner().invoke(app, ["doctor", "--config", str(page), "--json", *options])
    assert done.exit_code in (0, 1), done.output
    found = json.loads(done.stdout)["findings"]
    return done.exit_code, {finding["kind"]: finding for finding in found if finding["kind"] != "configuration"}


def test_the_command_finds_mends_and_says_so_by_its_exit_code(page, tmp_path, book, tools, put_file, monkeypatch):
    monkeypatch.setattr("shared.cli.main.problems_of", lambda *_, **__: [])
    folder = StoreFolder(tmp_path / "store")
    stored = put_file(folder, tools.image(STUDY))
    Reconciler(StudyFiles(book, folder), 120).run()
    assert doctor(page) == (0, {})
    half, then = folder.incoming / "half", time.time() - 3600
    half.write_bytes(b"half")
    os.utime(half, (then, then))
    assert doctor(page)[0] == 1
    assert half.exists(), "without --mend nothing is changed"
    code, found = doctor(page, "--mend")
    assert (code, found["half-received files"]["mended"], half.exists()) == (0, True, False)
    stored.unlink()
    code, found = doctor(page, "--mend")
    assert (code, set(found)) == (1, {"rows without files"})
    assert "send these studies again" in found["rows without files"]["do"]
    assert CliRunner().invoke(app, ["doctor", "--config", "absent.toml"]).exit_code == 2
    assert CliRunner().invoke(app, ["doctor", "--nonsense"]).exit_code == 2


def test_files_without_rows_are_counted_and_only_written_when_told_to(book, pages, tmp_path, tools, put_file):
    folder = StoreFolder(tmp_path / "store")
    put_file(folder, tools.image(STUDY))
    found = Reconciler(StudyFiles(book, folder, mend=False), 120).run(whole=True)
    (finding,) = findings(found, mended=False)
    assert (finding.kind, finding.count, pages.instances()) == ("files without rows", 1, [])
    with book.read() as session:
        assert session.exec(select(Reconciliation)).all() == []


def test_doctor_loops_beside_a_running_listener(start, associate, tmp_path, book, pages, tools):
    """Every image has one row, with its sender, and none was ever told to be missing."""
    collect, done, failures = start(), threading.Event(), []

    def examine() -> None:
        files = StudyFiles(book, StoreFolder(tmp_path / "store"), since=0.0)
        while not done.is_set():
            try:
                Reconciler(files, 120).run(whole=True)
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=examine) for _ in range(2)]
    for thread in threads:
        thread.start()
    sender = associate(collect)
    assert [tools.post(sender, tools.image(f"{STUDY}.{n % 3}")) for n in range(60)] == [0] * 60
    sender.release()
    rows = tools.until(lambda: len(found := pages.instances()) == 60 and found)
    done.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert {row.calling_ae_title for row in rows} == {"PACS1"}
    events = {line.event for n in range(3) for line in pages.journal(f"{STUDY}.{n}")}
    assert events == {"instance_stored"}


def test_only_what_has_changed_is_looked_into_again(book, tmp_path, tools, put_file):
    folder = StoreFolder(tmp_path / "store")
    for number in range(3):
        put_file(folder, tools.image(f"{STUDY}.{number}"))
    assert Reconciler(StudyFiles(book, folder), 120).run().studies == 3
    with book.write() as session:
        session.exec(select(Reconciliation)).one().started_at = utc_now()
    for path in folder.root.glob("[0-9]*"):
        for one in (path, *path.iterdir()):
            os.utime(one, (time.time() - 3600,) * 2)
    assert Reconciler(StudyFiles(book, folder), 120).run().studies == 0
    put_file(folder, tools.image(f"{STUDY}.1"))
    assert Reconciler(StudyFiles(book, folder), 120).run().indexed == 1
    assert Reconciler(StudyFiles(book, folder), 120).run(whole=True).studies == 3
    assert changed_folders(folder.root, None)[0] == f"{STUDY}.1", "the newest first"


def test_a_study_is_not_complete_before_it_was_looked_into(start, book, pages, tools, put_file, tmp_path, monkeypatch):
    """A crash kept some rows of a study from the book: it must not be read without them."""
    folder, go = StoreFolder(tmp_path / "store"), threading.Event()
    put_file(folder, tools.image(STUDY))
    Reconciler(StudyFiles(book, folder), 120).run()
    for _ in range(3):
        put_file(folder, tools.image(STUDY))
    look = StudyFiles.look

    def slow(self, *args):
        assert go.wait(20)
        look(self, *args)

    monkeypatch.setattr(StudyFiles, "look", slow)
    began = time.monotonic()
    start(quiet_seconds=0)
    assert time.monotonic() - began < 15, "the port is open at once"
    time.sleep(1.5)
    assert pages.study(STUDY).state == "collecting"
    go.set()
    tools.until(lambda: pages.study(STUDY).state == "waiting")
    assert len(pages.instances()) == 4
    assert pages.study(STUDY).revision == 1


def test_a_fresh_file_is_left_to_the_listener_whose_row_is_on_its_way(book, pages, tmp_path, tools, put_file):
    folder = StoreFolder(tmp_path / "store")
    put_file(folder, tools.image(STUDY))
    assert Reconciler(StudyFiles(book, folder, since=0.0), 120).run(whole=True).indexed == 0
    assert pages.instances() == []
    assert Reconciler(StudyFiles(book, folder), 120).run(whole=True).indexed == 1
