"""What a radiologist sees: windows, tables, inversion, and percentiles where nothing is said."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.pixels import apply_modality_lut, apply_voi_lut

from shared.imaging.display import display_pixels, window
from shared.imaging.frames import load_frames
from tests.images import noise, write

RAMP = np.arange(1000, dtype=np.uint16).reshape(20, 50)


def shown(path: Path) -> np.ndarray:
    return display_pixels(load_frames([path])[0])


def test_the_window_of_the_image_is_applied(tmp_path: Path) -> None:
    picture = shown(write(tmp_path, "window", RAMP, WindowCenter=500, WindowWidth=200))
    assert picture.dtype == np.uint8
    assert picture.ravel()[400] == 0
    assert picture.ravel()[600] == 255
    assert abs(int(picture.ravel()[500]) - 128) <= 1


def test_monochrome1_is_inverted(tmp_path: Path) -> None:
    facts = {"WindowCenter": 500, "WindowWidth": 1000}
    plain = shown(write(tmp_path, "plain", RAMP, **facts))
    inverted = shown(write(tmp_path, "inverted", RAMP, PhotometricInterpretation="MONOCHROME1", **facts))
    assert np.array_equal(inverted, 255 - plain)


@pytest.mark.parametrize(
    "facts", [{}, {"WindowCenter": 90000, "WindowWidth": 2}, {"WindowCenter": 5, "WindowWidth": 0}]
)
def test_without_a_usable_window_percentiles_show_something(tmp_path: Path, facts: dict[str, int]) -> None:
    picture = shown(write(tmp_path, "none", RAMP, **facts))
    assert (picture.min(), picture.max()) == (0, 255)
    assert np.all(np.diff(picture.ravel().astype(int)) >= 0)


def test_a_blank_image_is_shown_blank(tmp_path: Path) -> None:
    assert np.ptp(shown(write(tmp_path, "blank", noise() * 0 + 7))) == 0


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_windows_agree_with_pydicom(function: str) -> None:
    ds = pydicom.Dataset()
    ds.WindowCenter, ds.WindowWidth, ds.VOILUTFunction = 300.0, 150.0, function
    ds.PhotometricInterpretation, ds.BitsStored, ds.PixelRepresentation = "MONOCHROME2", 8, 0
    values = np.arange(256, dtype=np.uint8)
    ds.WindowCenter, ds.WindowWidth = 120.0, 90.0
    expected = apply_voi_lut(values, ds)
    assert np.allclose(window(values.astype(np.float32), 120.0, 90.0, function), expected, atol=1e-3)


@pytest.mark.bench
@pytest.mark.filterwarnings("ignore")
def test_a_real_voi_table_agrees_with_pydicom(bench: Path) -> None:
    path = bench / "data/dicom/transfer_syntax/vlut_04.dcm"
    ds = pydicom.dcmread(path)
    table = ds.VOILUTSequence[0].LUTDescriptor
    expected = apply_voi_lut(apply_modality_lut(ds.pixel_array, ds).astype(int), ds) / (2 ** table[2] - 1) * 255
    assert np.allclose(shown(path), expected, atol=0.51)


@pytest.mark.bench
@pytest.mark.filterwarnings("ignore")
def test_colour_keeps_its_brightness(bench: Path) -> None:
    ds = pydicom.dcmread(bench / "data/dicom/transfer_syntax/SC_rgb.dcm")
    expected = ds.pixel_array.astype(float) @ [0.299, 0.587, 0.114]
    assert np.allclose(shown(Path(ds.filename)), expected, atol=0.51)
