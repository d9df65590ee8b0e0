"""Missing, copied, blank and broken slices; and what only looks so."""

from pathlib import Path

import numpy as np
import pytest

from services.gate.completeness import judge_completeness
from services.gate.content import look_into
from services.gate.judgement import Judgement
from shared.imaging.frames import load_frames
from shared.settings import GateThresholds
from tests.images import AXIAL, noise, write, write_enhanced, write_slices


def judge(paths: list[Path], own: GateThresholds | None = None) -> Judgement:
    frames = load_frames(paths)
    return judge_completeness(frames, look_into(frames), own)


def at(folder: Path, name: str, place: float, **facts: object) -> Path:
    where = {"ImageOrientationPatient": AXIAL, "ImagePositionPatient": [0, 0, place]}
    return write(folder, name, noise(seed=len(name)), **where, **facts)


def test_a_whole_series_passes(tmp_path: Path) -> None:
    said = judge(write_slices(tmp_path, [0, 2, 4, 6, 8]))
    assert (said.verdict, said.score) == ("pass", 1.0)
    assert said.reason == "5 slices: none missing, copied or blank"


def test_a_slice_missing_in_the_middle_warns_and_says_where(tmp_path: Path) -> None:
    paths = write_slices(tmp_path, [2.0 * n for n in range(20)])
    said = judge([*paths[:7], *paths[8:]])
    assert said.verdict == "warn"
    assert said.score == pytest.approx(19 / 20)
    assert said.reason == "19 slices: 1 missing (1 between instance 7 and instance 9)"


def test_many_missing_hold_and_the_hospital_may_say_how_many(tmp_path: Path) -> None:
    paths = write_slices(tmp_path, [2.0 * n for n in range(20)])
    left = [*paths[:7], *paths[12:]]
    assert judge(left).verdict == "hold"
    assert judge(left, GateThresholds(hold_below=0.5)).verdict == "warn"
    assert judge(left, GateThresholds(warn_below=0.5, hold_below=0.5)).verdict == "pass"


def test_wide_steps_with_numbers_that_go_on_are_spacing_and_not_gaps(tmp_path: Path) -> None:
    assert judge(write_slices(tmp_path, [0, 5, 10, 15, 25, 35])).verdict == "pass"


def test_the_scanner_knows_how_many_there_were(tmp_path: Path) -> None:
    said = judge(write_slices(tmp_path, [0, 1, 2], ImagesInAcquisition=30, AcquisitionNumber=1))
    assert said.verdict == "hold"
    assert "the scanner wrote that there are 30" in said.reason


def test_a_copy_warns_and_is_named(tmp_path: Path) -> None:
    paths = [*write_slices(tmp_path, [0, 1, 2, 3]), at(tmp_path, "copy", 2, InstanceNumber=3)]
    said = judge(paths)
    assert (said.verdict, said.score) == ("warn", 1.0)
    assert "1 copied (instance 3)" in said.reason
    assert len(said.instances) == 1


def test_an_extra_image_at_one_place_is_a_copy_even_with_a_number_of_its_own(tmp_path: Path) -> None:
    said = judge([*write_slices(tmp_path, [0, 1, 2, 3]), at(tmp_path, "again", 2, InstanceNumber=99)])
    assert said.verdict == "warn"


@pytest.mark.parametrize(
    "phases",
    [
        {"TemporalPositionIdentifier": 2}, {"EchoNumbers": 2, "EchoTime": 80}, {"DiffusionBValue": 1000.0},
        {"ImageType": ["ORIGINAL", "PRIMARY", "P"]}, {"InversionTime": 900}, {"TriggerTime": 30},
    ],
    ids=lambda phases: next(iter(phases)),
)  # fmt: skip
def test_phases_are_no_copies_and_a_lost_one_is_missing(tmp_path: Path, phases: dict[str, object]) -> None:
    first = write_slices(tmp_path, [0, 1, 2, 3])
    second = [at(tmp_path, f"phase{n}", n, InstanceNumber=n + 1, **phases) for n in range(4)]
    assert judge([*first, *second]).verdict == "pass"
    said = judge([*first, *second[:3]])
    assert (said.verdict, said.score) == ("hold", 0.875)
    assert "1 of 2 phases" in said.reason


def test_places_imaged_several_times_on_purpose_are_no_copies(tmp_path: Path) -> None:
    first = write_slices(tmp_path, [0, 1, 2])
    second = [at(tmp_path, f"average{n}", n, InstanceNumber=n + 10) for n in range(3)]
    assert judge([*first, *second]).verdict == "pass"
    resent = [at(tmp_path, f"resent{n}", n, InstanceNumber=n + 1) for n in range(3)]
    assert judge([*first, *resent]).verdict == "warn"


def test_multi_frame_gaps_copies_and_phases(tmp_path: Path) -> None:
    whole = [(float(n), 1) for n in range(20)]
    assert judge([write_enhanced(tmp_path, whole)]).verdict == "pass"
    assert judge([write_enhanced(tmp_path, [(z, t) for t in (1, 2) for z, _ in whole])]).verdict == "pass"
    said = judge([write_enhanced(tmp_path, [*whole[:9], *whole[10:]])])
    assert said.verdict == "warn"
    assert "1 between frame 9 and frame 10" in said.reason
    assert "copied" in judge([write_enhanced(tmp_path, [*whole, (4.0, 1)])]).reason


def test_blank_frames_inside_are_lost_and_at_the_ends_padding(tmp_path: Path) -> None:
    paths = write_slices(tmp_path, [float(n) for n in range(20)])
    blank = np.zeros((8, 10), np.uint16)
    paths[0] = at_blank(tmp_path, "slice1", 0, 1, blank)
    assert judge(paths).verdict == "pass"
    paths[9] = at_blank(tmp_path, "slice10", 9, 10, blank)
    said = judge(paths)
    assert said.verdict == "warn"
    assert "1 blank (instance 10); 1 blank at the ends" in said.reason


def at_blank(folder: Path, name: str, place: float, number: int, pixels: np.ndarray) -> Path:
    where = {"ImageOrientationPatient": AXIAL, "ImagePositionPatient": [0, 0, place]}
    return write(folder, name, pixels, InstanceNumber=number, **where)


def test_a_blank_radiograph_and_an_empty_series_hold(tmp_path: Path) -> None:
    assert judge([write(tmp_path, "dx", np.full((8, 8), 5, np.uint16), Modality="DX")]).verdict == "hold"
    assert judge([]).verdict == "hold"


def test_broken_pixels_hold_with_the_reason(tmp_path: Path) -> None:
    paths = write_slices(tmp_path, [0, 1, 2, 3])
    frames = load_frames(paths)
    paths[2].write_bytes(paths[2].read_bytes()[:-60])
    said = judge_completeness(frames, look_into(frames))
    assert said.verdict == "hold"
    assert "1 of 4 can't be decoded (instance 3: " in said.reason


def test_images_without_a_place_go_by_number_where_they_are_slices(tmp_path: Path) -> None:
    mr = [write(tmp_path, f"mr{n}", InstanceNumber=n) for n in (1, 2, 3, 5)]
    assert "1 between instance 3 and instance 5" in judge(mr).reason
    dx = [write(tmp_path, f"dx{n}", InstanceNumber=n, Modality="DX") for n in (1, 7)]
    assert judge(dx).verdict == "pass"


def test_localizers_are_not_counted(tmp_path: Path) -> None:
    facts = {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}
    assert judge(write_slices(tmp_path, [0, 10, 90], **facts)).verdict == "pass"
    assert judge(write_slices(tmp_path, [0, 1, 2, 9], SeriesDescription="3-plane Loc")).verdict == "pass"


@pytest.mark.bench
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("folder", "verdict", "words"),
    [
        ("series/mr_brain_t1_philips_elition", "pass", "170 slices"),
        ("series/mr_phantom_dwi_ge_pioneer", "pass", "14 images of 2 places"),
        ("series/ct_head_ge_hispeed", "pass", "28 slices"),
        ("series_irregular/ct_slice_increment_ge", "pass", "4 slices"),
        ("series/mr_phantom_t1_philips_classic_and_enhanced/401_T1W_FFE_Sno_CS2", "pass", "24 slices"),
        ("dicomdir_multi_patient/77654033/CT2", "hold", "161 missing (161 between instance 18 and instance 180)"),
    ],
)
def test_real_series(bench: Path, folder: str, verdict: str, words: str) -> None:
    said = judge(sorted((bench / "data/dicom" / folder).iterdir()))
    assert said.verdict == verdict
    assert words in said.reason
