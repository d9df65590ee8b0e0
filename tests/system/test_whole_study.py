"""A package that reads a study goes through the whole system: both views, one alone, and the wrong one."""

import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from shared.phantoms.dicom import CHEST_PATIENT, Visit
from tests.whole_study import film, two_views

pytestmark = [pytest.mark.system, pytest.mark.triton, pytest.mark.timeout(300)]
ISOCENTER = Path(sys.executable).with_name("isocenter")


def isocenter(*arguments):
    command = [ISOCENTER, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, env=dict(os.environ), check=False)


def test_studies_of_two_views_are_read_with_and_without_the_second(tmp_path, triton_environment):
    two_views(tmp_path)
    page = tmp_path / "isocenter.toml"
    page.write_text(f'[triton]\nmodel_repository = "{tmp_path}/packages"\nenvironment = "{triton_environment}"\n')
    (tmp_path / "dicom").mkdir()
    for name, views in {"BOTH": ("PA", "LL"), "ONE": ("PA",), "WRONG": ("LL",)}.items():
        visit = Visit(CHEST_PATIENT, name, datetime.now(), "whole study")
        for number, view in enumerate(views, start=1):
            film(view, 20, number, visit=visit).save_as(
                tmp_path / "dicom" / f"{name}{view}.dcm", enforce_file_format=True
            )
    checked = isocenter("package", "validate", "tiny", "--write-golden", "--config", page)
    assert "golden rows on Triton: 2 rows" in checked.stdout, checked.stdout + checked.stderr

    tried = isocenter("package", "try", "tiny", tmp_path / "dicom", "--out", tmp_path / "out", "--config", page)
    assert tried.returncode == 0, tried.stdout + tried.stderr
    studies = json.loads((tmp_path / "out" / "studies.json").read_text())["studies"]
    found = {study["accession_number"]: study for study in studies}
    assert {name: study["state"] for name, study in found.items()} == {
        "BOTH": "delivered", "ONE": "delivered", "WRONG": "refused",
    }  # fmt: skip
    assert "the study has no pa (view PA or AP)" in found["WRONG"]["reason"]
    said = {name: [f["missing"] for run in found[name]["runs"] for f in run["findings"]] for name in ("BOTH", "ONE")}
    assert said == {"BOTH": [[]], "ONE": [["lateral"]]}
    messages = "".join(path.read_text() for path in (tmp_path / "out" / "ris").rglob("*.hl7"))
    assert messages.count("made without lateral") == 1
