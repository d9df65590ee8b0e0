"""Validators of other people find no error in any object, over generated and real sources."""

import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest

from services.report.facts import CannotBuild, RunFacts
from services.report.result_kinds import BUILDERS, UNREAD, build_objects
from shared.result_profiles import Flavour

REAL = {
    "mr_brain": ("series/mr_brain_t1_philips_elition/*.dcm", "quality"),
    "enhanced_mr": ("enhanced_multiframe/MOVEKNEE.dcm", "quality"),
    "enhanced_big_endian": ("enhanced_multiframe/emri_small_big_endian.dcm", "quality"),
    "mr_big_endian": ("transfer_syntax/MR_small_bigendian.dcm", "quality"),
    "japanese_cr": ("charset/chrJapMulti.dcm", "opacity"),
    "dx": ("xray_2d/dx_image.dcm", "opacity"),
    "lossy_cr": ("xray_2d/RG1_J2KI.dcm", "opacity"),
    "gantry_tilt": ("series_irregular/ct_gantry_tilt_siemens/*", "quality"),
    "gantry_tilt_opacity": ("series_irregular/ct_gantry_tilt_siemens/*", "opacity"),
    "mr_opacity": ("series/mr_brain_t1_philips_elition/1301_008*.dcm", "opacity"),
    "no_patient": ("missing_patient_metadata/no_patient_metadata/dcm/*", "quality"),
    "colour_us": ("xa_us_nm_other/OBXXXX1A.dcm", "opacity"),
}

MOST_IMAGES = 24  # of a series: more of them make nothing else

FLAVOURS = [
    Flavour(),
    Flavour(region_coordinates="SCOORD3D"),
    Flavour(sr_flavour="comprehensive", character_set="source"),
    Flavour(sr_flavour="enhanced", series_description="{package} {what}"),
]


def objects(facts: RunFacts, folder: Path, flavours: Sequence[Flavour] = FLAVOURS[:1]) -> list[Path]:
    """Every kind that the sources allow, in each flavour."""
    paths = []
    for kind, builder in BUILDERS.items():
        wanted = dict.fromkeys((f.of_kind(kind) for f in flavours), ())
        try:
            built = build_objects(facts, kind, wanted, builder)
        except CannotBuild:
            # those need pixels, and the second needs grey ones
            assert (kind, facts.pictures) == ("SC", {}) or (kind, facts.displays) == ("GSPS", {})
            continue
        for result in built:
            (folder / result.file_name).write_bytes(result.content)
            paths.append(folder / result.file_name)
    wanted = dict.fromkeys((f.of_kind("NASR") for f in flavours), ())
    for outcome in ("held", "failed"):
        unread = replace(facts, outcome=outcome, findings=[], pictures={})
        for result in build_objects(unread, "NASR", wanted, UNREAD["NASR"]):
            (folder / result.file_name).write_bytes(result.content)
            paths.append(folder / result.file_name)
    assert len(paths) == len(set(paths))
    return paths


def assert_valid(paths: list[Path]) -> None:
    for path in paths:
        run = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True, check=False)
        errors = [line for line in (run.stdout + run.stderr).splitlines() if line.startswith("Error")]
        assert not errors, f"{path.name}: {errors}"
        if pydicom.dcmread(path, specific_tags=["Modality"]).Modality in ("SR", "KO") and shutil.which("dsrdump"):
            dump = subprocess.run(["dsrdump", str(path)], capture_output=True, text=True, check=False)
            assert dump.returncode == 0, f"{path.name}: {dump.stderr}"


@pytest.mark.usefixtures("dciodvfy")
def test_objects_of_generated_images(mr_facts: RunFacts, dx_facts: RunFacts, tmp_path: Path) -> None:
    for facts in (mr_facts, dx_facts):
        assert_valid(objects(facts, tmp_path, FLAVOURS))


@pytest.mark.bench
@pytest.mark.usefixtures("dciodvfy")
@pytest.mark.parametrize("case", REAL)
def test_objects_of_real_images(bench: Path, case: str, build_facts: Callable[..., RunFacts], tmp_path: Path) -> None:
    pattern, kind = REAL[case]
    paths = sorted(p for p in (bench / "data/dicom").glob(pattern) if p.is_file())[:MOST_IMAGES]
    assert_valid(objects(build_facts(paths, kind), tmp_path, FLAVOURS))


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
    objects(facts, tmp_path, FLAVOURS)
    run = subprocess.run([python, check, tmp_path], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout


@pytest.mark.usefixtures("dciodvfy")
def test_the_own_character_set(japanese_facts: RunFacts, tmp_path: Path) -> None:
    written = objects(japanese_facts, tmp_path, [Flavour(character_set="source")])
    for path in written:
        ds = pydicom.dcmread(path)
        assert list(ds.SpecificCharacterSet) == ["", "ISO 2022 IR 87"]  # what says mm² says mm2 there
        assert str(ds.PatientName) == "Yamada^Tarou=山田^太郎=やまだ^たろう"
        assert ds.StudyDescription == "胸部正面"
    assert_valid(written)


def test_a_letter_that_the_own_character_set_lacks(dx_facts: RunFacts, tmp_path: Path) -> None:
    dx_facts.sources[0].SpecificCharacterSet = "ISO_IR 100"
    facts = replace(dx_facts, title="Ασθενής")
    for path in objects(facts, tmp_path, [Flavour(character_set="source", series_description="{title}")]):
        ds = pydicom.dcmread(path)
        assert ds.SpecificCharacterSet == "ISO_IR 192"
        assert ds.SeriesDescription.startswith("Ασθενής")


@pytest.mark.bench
def test_a_real_japanese_name_arrives(bench: Path, build_facts: Callable[..., RunFacts], tmp_path: Path) -> None:
    for path in objects(build_facts([bench / "data/dicom/charset/chrJapMulti.dcm"], "opacity"), tmp_path):
        assert str(pydicom.dcmread(path).PatientName) == "やまだ^たろう"


@pytest.mark.usefixtures("dciodvfy")
def test_a_japanese_name_arrives_in_all_its_writings(japanese_facts: RunFacts, tmp_path: Path) -> None:
    written = objects(japanese_facts, tmp_path)
    assert {path.name[:2] for path in written} >= {"SR", "SC"}
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
