"""What was acknowledged outlives a kill -9, also between its file and its row."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from tests.collecting import CollectProcess

STUDY = "1.2.3"


@pytest.fixture
def collecting(tmp_path: Path) -> Iterator[CollectProcess]:
    process = CollectProcess(tmp_path)
    process.start()
    yield process
    process.kill()


def test_files_without_rows_get_them_after_the_crash(collecting, sender_to, tools, pages_of) -> None:
    """Another writer holds the database when the images come, so that no row can be written before the kill."""
    with sqlite3.connect(collecting.folder / "data/isocenter.db", isolation_level=None) as other:
        other.execute("begin immediate")
        sender = sender_to(collecting.port, [(MRImageStorage, ExplicitVRLittleEndian)])
        assert [tools.post(sender, tools.image(STUDY)) for _ in range(5)] == [0] * 5
        collecting.kill()
        assert other.execute("select count(*) from instance").fetchone() == (0,)
        other.execute("rollback")
    other.close()
    assert len(list(collecting.store.glob("*/*/*.dcm"))) == 5
    collecting.start()
    with collecting.book() as book:
        assert len(tools.until(lambda: pages_of(book).instances(STUDY))) == 5
        assert pages_of(book).study(STUDY).state == "collecting"
