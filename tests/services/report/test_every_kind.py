"""Every kind of finding that is reported, over images of all sorts: other people's validators accept every object that
is made of them, and every number can be computed again.
"""

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.report.facts import RunFacts
from services.report.handlers import images_to_draw, report
from services.report.planes import images_with_places, images_with_regions, read_planes
from services.report.result_files import write_results
from services.report.source_display import read_displays
from services.report.source_files import read_pictures
from services.report.source_header import spacing_of
from shared.cli.main import app
from shared.imaging.frames import load_frames
from shared.result_profiles import DICOM_KINDS
from shared.settings import Destination
from tests.services.report.findings_by_hand import Made, every_kind

PACS = {"kind": "dicom", "host": "h", "port": 104, "ae_title": "A"}
DESTINATIONS = [
    Destination(name="all", objects=list(DICOM_KINDS), **PACS),
    Destination(name="air", profile="air", **PACS),
    Destination(name="maps", objects=["SR", "SEG"], seg_flavour="label-map", **PACS),
    Destination(name="ohif", profile="ohif", **PACS),
    Destination(name="old", profile="reporting", **PACS),
    Destination(name="ris", kind="mllp", host="h", port=2575),
]


@pytest.fixture(params=["mr", "dx"])
def source(request: pytest.FixtureRequest) -> list[Path]:
    """Images of one sort; test_matrix has real ones."""
    paths: list[Path] = request.getfixturevalue(f"{request.param}_paths")
    return paths


def facts_of(build_facts: Callable[..., RunFacts], paths: list[Path]) -> tuple[RunFacts, Made]:
    base, frames = build_facts(paths), load_frames(paths)
    made = every_kind(frames, (spacing_of(base.sources[0]) or ("", None))[1])
    files = {f.source.sop_instance_uid: f.path for f in frames}
    pictures, _ = read_pictures(images_to_draw(made.findings, made.read), files)
    facts = replace(
        base, findings=made.findings, pictures=pictures, read=made.read,
        planes=read_planes(images_with_places(made.findings), files),
        displays=read_displays(images_with_regions(made.findings), files),
    )  # fmt: skip
    return facts, made


@pytest.fixture
def results(source: list[Path], build_facts: Callable[..., RunFacts], tmp_path: Path) -> Path:
    """A folder with the images and everything that is made of them."""
    facts, _ = facts_of(build_facts, source)
    done = report(facts, DESTINATIONS)
    # images that lie nowhere have no map, and those without pixels can't be drawn
    nowhere = ("no PM: a parametric map lies in the patient", "no SC: none of the images")
    assert all(reason.startswith(nowhere) for reason in done.missing), done.missing
    assert len({result.file_name for result in done.objects}) == len(done.objects), "one would take another's place"
    write_results(tmp_path / "results" / "study" / "run", done.objects)
    (tmp_path / "images").mkdir()
    for path in source:
        shutil.copy(path, tmp_path / "images")
    return tmp_path


def test_validators_accept_what_is_made_and_its_numbers_agree(results: Path) -> None:
    folder = results / "results"
    done = CliRunner().invoke(app, ["verify-results", str(folder), "--images", str(results / "images")])
    assert done.exit_code == 0, done.output
    assert " 0 recomputed" not in done.output
    for path in sorted(folder.rglob("*.dcm")):
        if shutil.which("dciodvfy") and "label-map" not in path.name:  # its release is older than that SOP class
            run = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True, check=False)
            errors = [line for line in (run.stdout + run.stderr).splitlines() if line.startswith("Error")]
            assert not errors, f"{path.name}: {errors}"
        if path.name.startswith(("SR", "KOS", "NASR")) and shutil.which("dsrdump"):
            dump = subprocess.run(["dsrdump", str(path)], capture_output=True, text=True, check=False)
            assert dump.returncode == 0, f"{path.name}: {dump.stderr}"
