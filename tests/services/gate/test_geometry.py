"""Planes, spacing, tilt and matrices, and what need not be a volume."""

from pathlib import Path

import pytest

from services.gate.geometry import judge_geometry, tilt_degrees
from services.gate.judgement import Judgement
from services.gate.settings import Settings
from services.gate.stacks import stacks_of
from shared.imaging.frames import load_frames
from tests.images import AXIAL, CORONAL, noise, write, write_enhanced, write_slices


def judge(paths: list[Path]) -> Judgement:
    return judge_geometry(load_frames(paths), Settings())


def test_an_even_stack_passes(tmp_path: Path) -> None:
    said = judge(write_slices(tmp_path, [0, 3, 6.01, 9]))
    assert (said.verdict, said.unit) == ("pass", "mm")
    assert said.reason == "4 slices in one plane, evenly 3.00 mm apart, straight"


@pytest.mark.parametrize(
    ("places", "verdict", "score"), [([0, 3, 6.5, 9.5, 12.5], "warn", 0.5), ([0, 3, 6, 9, 14], "hold", 2.0)]
)
def test_uneven_spacing_warns_and_much_of_it_holds(
    tmp_path: Path, places: list[float], verdict: str, score: float
) -> None:
    said = judge(write_slices(tmp_path, places))
    assert (said.verdict, said.score) == (verdict, pytest.approx(score))
    assert "uneven spacing" in said.reason


def test_missing_slices_are_another_gates_business(tmp_path: Path) -> None:
    paths = write_slices(tmp_path, [float(n) for n in range(10)])
    assert judge([*paths[:4], *paths[6:]]).verdict == "pass"


def test_a_sheared_stack_warns_with_its_angle(tmp_path: Path) -> None:
    paths = [
        write(tmp_path, f"s{n}", InstanceNumber=n, ImageOrientationPatient=AXIAL, ImagePositionPatient=[0, n, 4 * n],
              GantryDetectorTilt=14.0)
        for n in range(4)
    ]  # fmt: skip
    said = judge(paths)
    assert said.verdict == "warn"
    assert "sheared by 14.0°" in said.reason
    assert "the header says 14°" in said.reason


def test_two_planes_hold(tmp_path: Path) -> None:
    paths = write_slices(tmp_path, [0, 1, 2])
    paths.append(
        write(tmp_path, "cor", InstanceNumber=4, ImageOrientationPatient=CORONAL, ImagePositionPatient=[0, 0, 0])
    )
    said = judge(paths)
    assert said.verdict == "hold"
    assert "2 planes (3, 1 images)" in said.reason


def test_other_matrix_or_pixel_spacing_holds(tmp_path: Path) -> None:
    paths = write_slices(tmp_path, [0, 1, 2])
    where = {"ImageOrientationPatient": AXIAL, "ImagePositionPatient": [0, 0, 3], "InstanceNumber": 4}
    matrix = write(tmp_path, "matrix", noise(16, 16), PixelSpacing=[1, 1], **where)
    assert "differ in matrix: 8 × 10, 16 × 16" in judge([*paths, matrix]).reason
    spacing = write(tmp_path, "spacing", PixelSpacing=[0.9, 0.9], **where)
    said = judge([*paths, spacing])
    assert (said.verdict, said.reason) == ("hold", "the images differ in pixel spacing")


@pytest.mark.parametrize(("modality", "verdict"), [("DX", "pass"), ("US", "pass"), ("MR", "warn"), ("CT", "warn")])
def test_images_without_a_place(tmp_path: Path, modality: str, verdict: str) -> None:
    assert judge([write(tmp_path, f"x{n}", InstanceNumber=n, Modality=modality) for n in (1, 2)]).verdict == verdict


def test_localizers_single_images_and_nothing(tmp_path: Path) -> None:
    planes = [
        write(tmp_path, f"l{n}", InstanceNumber=n, ImageOrientationPatient=plane, ImagePositionPatient=[0, 0, n],
              ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
        for n, plane in enumerate((AXIAL, CORONAL))
    ]  # fmt: skip
    assert judge(planes).verdict == "pass"
    assert judge([write(tmp_path, "one")]).verdict == "pass"
    assert judge([]).verdict == "hold"


def test_multi_frame(tmp_path: Path) -> None:
    assert judge([write_enhanced(tmp_path, [(z, 1) for z in (0, 3, 6, 9)])]).verdict == "pass"
    assert judge([write_enhanced(tmp_path, [(z, 1) for z in (0, 3, 6, 7.5, 10.5)])]).verdict == "warn"


@pytest.mark.bench
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("folder", "verdict", "words"),
    [
        ("series/mr_brain_t1_philips_elition", "pass", "170 slices in one plane, evenly 1.00 mm apart"),
        ("series/mr_phantom_dwi_ge_pioneer", "pass", "2 slices"),
        ("series/ct_head_ge_hispeed", "hold", "sheared by 18.5°, as by a tilted gantry; the header says 18.5°"),
        ("series_irregular/ct_gantry_tilt_siemens", "warn", "sheared by 14.0°"),
        ("series_irregular/ct_slice_increment_ge", "hold", "5.00 to 10.00 mm apart, most of them 5.00 mm"),
        ("series/mr_phantom_t1_philips_classic_and_enhanced/401_T1W_FFE_Sno_CS2", "pass", "evenly 5.50 mm"),
        ("dicomdir_multi_patient/98892001/CT2N", "pass", "localizer"),
    ],
)
def test_real_series(bench: Path, folder: str, verdict: str, words: str) -> None:
    said = judge(sorted((bench / "data/dicom" / folder).iterdir()))
    assert said.verdict == verdict
    assert words in said.reason


@pytest.mark.bench
def test_the_tilt_measured_is_the_tilt_that_the_scanner_wrote(bench: Path) -> None:
    frames = load_frames(sorted((bench / "data/dicom/series/ct_head_ge_hispeed").iterdir()))
    written = abs(frames[0].header["gantry_detector_tilt"])
    assert tilt_degrees(stacks_of(frames)[0]) == pytest.approx(written, abs=0.1)
