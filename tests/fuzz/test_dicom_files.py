"""DICOM files that lie: every reader of them ends with an outcome that has a name, in time, and within its memory."""

from pathlib import Path

import pytest

from tests.fuzz.corpus import maker
from tests.fuzz.driver import drive

QUICK = {"header": 120, "imaging": 80, "picture": 80, "report": 60, "reception": 60, "store_folder": 30}


@pytest.mark.parametrize(("target", "quick"), QUICK.items())
def test_a_file_ends_in_an_outcome(target, quick, tmp_path: Path):
    drive(target, maker(tmp_path / "corpus"), tmp_path, quick, share=0.2)
