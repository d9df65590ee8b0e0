"""Flat and clipped pictures; and what only looks so: air, collimation, padding."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from services.gate.body_part import judge_body_part
from services.gate.content import look_into
from services.gate.judgement import Judgement
from services.gate.pixels import judge_pixels
from services.gate.settings import Settings
from shared.imaging.frames import load_frames
from tests.images import write


def disc(radius: int = 28) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[:64, :64] - 31.5
    return np.asarray(rows**2 + columns**2 < radius**2)


def picture() -> NDArray[np.uint16]:
    """A textured disc in black air."""
    texture = np.random.default_rng(0).integers(200, 900, (64, 64))
    return np.where(disc(), texture, 0).astype(np.uint16)


def judge(folder: Path, pixels: NDArray[np.uint16], **facts: object) -> Judgement:
    frames = load_frames([write(folder, "one", pixels, **facts)])
    return judge_pixels(frames, look_into(frames), Settings())


def test_air_around_the_body_is_not_clipping(tmp_path: Path) -> None:
    said = judge(tmp_path, picture())
    assert (said.verdict, said.score) == ("pass", 1.0)


@pytest.mark.parametrize("end", [0, 4095])
def test_a_collimated_field_passes_whatever_the_shutter_is_filled_with(tmp_path: Path, end: int) -> None:
    pixels = picture()
    pixels[:16], pixels[-12:] = end, end
    assert judge(tmp_path, pixels).verdict == "pass"


@pytest.mark.parametrize(("largest", "verdict"), [(880, "pass"), (500, "hold")])
def test_a_body_cut_off_at_one_value_is_clipped(tmp_path: Path, largest: int, verdict: str) -> None:
    said = judge(tmp_path, np.minimum(picture(), largest))
    assert said.verdict == verdict
    assert ("1 clipped" in said.reason) is (verdict == "hold")


def test_padding_is_no_picture(tmp_path: Path) -> None:
    pixels = np.where(disc(), 700, 63).astype(np.uint16)
    assert judge(tmp_path, pixels, PixelPaddingValue=63).reason.endswith("1 with hardly a grey value")
    holed = np.where(disc(14), 2000, picture()).astype(np.uint16)
    assert judge(tmp_path, holed).verdict == "hold"
    assert judge(tmp_path, holed, PixelPaddingValue=2000).verdict == "pass"


def test_one_blank_image_and_one_that_cannot_be_decoded_are_told(tmp_path: Path) -> None:
    paths = [write(tmp_path, f"{n}", picture() if n != 2 else picture() * 0, InstanceNumber=n) for n in range(1, 6)]
    paths[3].write_bytes(paths[3].read_bytes()[:-80])
    frames = load_frames(paths)
    said = judge_pixels(frames, look_into(frames), Settings())
    assert (said.verdict, said.score) == ("hold", 0.6)
    assert "1 blank; 1 not to be decoded" in said.reason
    assert len(said.instances) == 2


@pytest.mark.parametrize(
    "series",
    ["ct_head_ge_hispeed", "mr_brain_t1_philips_elition", "mr_phantom_dwi_ge_pioneer", "ct_liver_3slice_with_seg"],
)
def test_real_series_pass(bench: Path, series: str) -> None:
    paths = sorted((bench / "data" / "dicom" / "series" / series).iterdir())
    frames = [f for f in load_frames(paths[:: max(1, len(paths) // 8)]) if f.header.get("modality") != "SEG"]
    assert judge_pixels(frames, look_into(frames), Settings()).verdict == "pass"
    assert judge_body_part(frames).verdict == "pass"


def test_a_real_phantom_whose_values_are_cut_off_at_4095_is_held(bench: Path) -> None:
    folder = bench / "data" / "dicom" / "series" / "mr_phantom_t1_philips_classic_and_enhanced"
    frames = load_frames(sorted(folder.glob("401*/*")))
    assert judge_pixels(frames, look_into(frames), Settings()).verdict == "hold"
