"""From a drawn spine's DICOM to its report: whoever reads the report's lines finds the angle that it says."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.infer.handlers import findings_of
from services.report.facts import RunFacts
from services.report.handlers import images_to_draw, report
from services.report.planes import images_with_regions, read_planes
from services.report.result_files import write_results
from services.report.source_files import read_pictures
from shared.cli.main import app
from shared.findings import Finding, Measurement, NotSure
from shared.imaging.frames import load_frames
from shared.inference import read_images
from shared.packages.folder import load_package
from shared.phantoms.dicom import SPINE_PATIENT, Visit, spine_image
from shared.phantoms.spine_dx import SpineRadiograph, spine_radiograph
from shared.result_profiles import DICOM_KINDS
from shared.serving import Models, open_models
from shared.settings import Destination
from tests.served import REPOSITORY

EVERYTHING = Destination(name="all", kind="dicom", host="h", port=104, ae_title="A", objects=list(DICOM_KINDS))
RIS = Destination(name="ris", kind="mllp", host="h", port=2575)


@pytest.fixture(scope="module")
def models() -> Models:
    return open_models("", REPOSITORY, in_process=True)


@pytest.fixture(scope="module")
def spine() -> SpineRadiograph:
    """A curve of 48 degrees on pixels that are wider than they are high."""
    return spine_radiograph(310, 48.0, "thoracic", aspect=1.25)


def saved(spine: SpineRadiograph, folder: Path, inverted: bool = False, rows: int | None = None) -> Path:
    folder.mkdir()
    visit = Visit(SPINE_PATIENT, "ISO0003")
    ds = spine_image(spine.pixels[:rows], visit, spacing_mm=spine.spacing_mm, inverted=inverted)
    ds.save_as(folder / "spine.dcm", enforce_file_format=True)
    return folder / "spine.dcm"


def found(path: Path, models: Models) -> list[Finding]:
    package = load_package(REPOSITORY / "cobb_angle")
    (reading,) = read_images(package, load_frames([path]), models, 30.0)
    return findings_of(package, reading)


@pytest.mark.parametrize("inverted", [False, True])
def test_the_angle_of_the_report_is_found_again_from_its_lines(
    spine: SpineRadiograph, inverted: bool, models: Models, build_facts: Callable[..., RunFacts], tmp_path: Path
) -> None:
    path = saved(spine, tmp_path / "images", inverted)
    (finding,) = found(path, models)
    assert isinstance(finding, Measurement)
    assert finding.value == pytest.approx(48.0, abs=3.0)
    files = {frame.source.sop_instance_uid: frame.path for frame in load_frames([path])}
    pictures, _ = read_pictures(images_to_draw([finding]), files)
    facts = build_facts([path])
    facts = replace(
        facts, findings=[finding], pictures=pictures, planes=read_planes(images_with_regions([finding]), files)
    )
    facts.run.package = finding.package
    made = report(facts, [EVERYTHING, RIS])
    write_results(tmp_path / "results" / "study" / "run", made.objects)
    done = CliRunner().invoke(app, ["verify-results", str(tmp_path / "results"), "--images", str(path.parent)])
    assert done.exit_code == 0, done.output
    assert " 1 recomputed" in done.output


def test_a_cut_spine_gets_no_angle(spine: SpineRadiograph, models: Models, tmp_path: Path) -> None:
    cut = int(spine.corners[12, :, 1].mean())
    (said,) = found(saved(spine, tmp_path / "images", rows=cut), models)
    assert isinstance(said, NotSure)
