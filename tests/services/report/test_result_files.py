"""Files are whole or not there."""

from pathlib import Path

import pytest

from services.report.facts import ResultObject
from services.report.result_files import write_results


def test_files_are_written_and_replaced_whole(tmp_path: Path) -> None:
    folder = tmp_path / "study" / "run"
    for content in (b"first", b"second"):
        write_results(folder, [ResultObject("SR", "1.2", "SR_1.dcm", content)])
        assert [(p.name, p.read_bytes()) for p in folder.iterdir()] == [("SR_1.dcm", content)]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_results(tmp_path, [ResultObject("SR", "1.2", "SR_1.dcm", b"old")])

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shared.durable.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_results(tmp_path, [ResultObject("SR", "1.2", "SR_1.dcm", b"new")])
    assert (tmp_path / "SR_1.dcm").read_bytes() == b"old"
