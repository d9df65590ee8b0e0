"""The picture of a Secondary Capture."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from services.status.preview import NoPreview, png_of
from tests.books import write_secondary_capture


def test_colours_stay(tmp_path: Path) -> None:
    write_secondary_capture(tmp_path / "sc.dcm", "1.2.3")
    with Image.open(io.BytesIO(png_of(tmp_path / "sc.dcm"))) as image:
        assert image.size == (128, 96)
        assert image.getpixel((60, 45)) == (230, 159, 0)


@pytest.mark.parametrize(("photometric", "brightest"), [("MONOCHROME2", 255), ("MONOCHROME1", 0)])
def test_sixteen_bits_of_grey_are_scaled(tmp_path: Path, photometric: str, brightest: int) -> None:
    write_secondary_capture(tmp_path / "sc.dcm", "1.2.3")
    ds = dcmread(tmp_path / "sc.dcm")
    pixels = np.array([[0, 1000], [2000, 4000]], np.uint16)
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, photometric
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.Rows, ds.Columns = 16, 12, 11, 2, 2
    del ds.PlanarConfiguration
    ds.PixelData = pixels.tobytes()
    ds["PixelData"].VR = "OW"
    ds.save_as(tmp_path / "grey.dcm")
    with Image.open(io.BytesIO(png_of(tmp_path / "grey.dcm"))) as image:
        assert image.getpixel((1, 1)) == brightest


def test_a_broken_file_has_no_picture(tmp_path: Path) -> None:
    (tmp_path / "broken.dcm").write_bytes(b"not DICOM")
    with pytest.raises(NoPreview):
        png_of(tmp_path / "broken.dcm")
