"""Validators of other people find no error in any object, over generated and real sources."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest

from services.report import dicom_sr, secondary_capture
from services.report.facts import RunFacts

REAL = {
    "mr_brain": ("series/mr_brain_t1_philips_elition/*.dcm", "quality"),
    "enhanced_mr": ("enhanced_multiframe/MOVEKNEE.dcm", "quality"),
    "enhanced_big_endian": ("enhanced_multiframe/emri_small_big_endian.dcm", "quality"),
    "mr_big_endian": ("transfer_syntax/MR_small_bigendian.dcm", "quality"),
    "japanese_cr": ("charset/chrJapMulti.dcm", "opacity"),
    "dx": ("xray_2d/dx_image.dcm", "opacity"),
    "lossy_cr": ("xray_2d/RG1_J2KI.dcm", "opacity"),
    "gantry_tilt": ("series_irregular/ct_gantry_tilt_siemens/*", "quality"),
    "no_patient": ("missing_patient_metadata/no_patient_metadata/dcm/*", "quality"),
    "colour_us": ("xa_us_nm_other/OBXXXX1A.dcm", "opacity"),
}


def objects(facts: RunFacts, folder: Path) -> list[Path]:
    built = [*dicom_sr.build(facts), *(secondary_capture.build(facts) if facts.pictures else [])]
    for result in built:
        (folder / result.file_name).write_bytes(result.content)
    return [folder / result.file_name for result in built]


def assert_valid(paths: list[Path]) -> None:
    for path in paths:
        run = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True, check=False)
        errors = [line for line in (run.stdout + run.stderr).splitlines() if line.startswith("Error")]
        assert not errors, f"{path.name}: {errors}"


@pytest.fixture
def dciodvfy() -> None:
    """David Clunie's validator."""
    if not shutil.which("dciodvfy"):
        pytest.skip("dciodvfy (dicom3tools) is not installed")


@pytest.mark.usefixtures("dciodvfy")
def test_objects_of_generated_images(mr_facts: RunFacts, dx_facts: RunFacts, tmp_path: Path) -> None:
    for facts in (mr_facts, dx_facts):
        assert_valid(objects(facts, tmp_path))


@pytest.mark.bench
@pytest.mark.usefixtures("dciodvfy")
@pytest.mark.parametrize("case", REAL)
def test_objects_of_real_images(bench: Path, case: str, build_facts: Callable[..., RunFacts], tmp_path: Path) -> None:
    pattern, kind = REAL[case]
    paths = sorted(p for p in (bench / "data/dicom").glob(pattern) if p.is_file())
    assert_valid(objects(build_facts(paths, kind), tmp_path))


@pytest.mark.hospital
@pytest.mark.usefixtures("dciodvfy")
@pytest.mark.parametrize("case", ["generated_mr", "generated_dx", "enhanced_mr", "enhanced_big_endian", "japanese_cr"])
def test_the_hospitals_own_check(
    bench: Path,
    hospital_home: Path,
    case: str,
    request: pytest.FixtureRequest,
    build_facts: Callable[..., RunFacts],
    tmp_path: Path,
) -> None:
    check, python = bench / "hospital/check.py", hospital_home / "venv/bin/python"
    if case.startswith("generated"):
        name = case.removeprefix("generated_")
        sources, facts = request.getfixturevalue(f"{name}_paths"), request.getfixturevalue(f"{name}_facts")
    else:
        pattern, kind = REAL[case]
        sources = [bench / "data/dicom" / pattern]
        facts = build_facts(sources, kind)
    for source in sources:
        shutil.copy(source, tmp_path)
    objects(facts, tmp_path)
    run = subprocess.run([python, check, tmp_path], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout


@pytest.mark.bench
def test_a_real_japanese_name_arrives(bench: Path, build_facts: Callable[..., RunFacts], tmp_path: Path) -> None:
    for path in objects(build_facts([bench / "data/dicom/charset/chrJapMulti.dcm"], "opacity"), tmp_path):
        assert str(pydicom.dcmread(path).PatientName) == "やまだ^たろう"


@pytest.mark.usefixtures("dciodvfy")
def test_a_japanese_name_arrives_in_all_its_writings(japanese_facts: RunFacts, tmp_path: Path) -> None:
    written = objects(japanese_facts, tmp_path)
    assert len(written) == 2
    for path in written:
        ds = pydicom.dcmread(path)
        assert ds.SpecificCharacterSet == "ISO_IR 192"
        assert str(ds.PatientName) == "Yamada^Tarou=山田^太郎=やまだ^たろう"
        assert ds.StudyDescription == "胸部正面"
    assert_valid(written)


def test_no_name_is_logged_or_warned_of(
    japanese_facts: RunFacts, tmp_path: Path, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    japanese_facts.sources[0].PatientName = "ODDNAME"
    objects(japanese_facts, tmp_path)
    assert "ODDNAME" not in caplog.text
    assert not [w for w in recwarn if "ODDNAME" in str(w.message)]
