"""The size that a codestream says of itself is what it decodes to."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import get_frame

from shared.imaging.codestream import claim_of


@pytest.mark.parametrize("form", ["JPEG", "JPEG2000"])
def test_size_is_read_before_decoding(form: str) -> None:
    buffer = BytesIO()
    Image.fromarray(np.zeros((37, 53), np.uint8)).save(buffer, form)
    assert claim_of(buffer.getvalue()) == (37, 53, 1, 8)


@pytest.mark.parametrize("broken", [b"", b"\xff\xd8", b"\xff\xd8\xff", b"\xff\x4f\xff\x51\x00", b"RLE and others"])
def test_a_broken_start_says_nothing(broken: bytes) -> None:
    assert claim_of(broken) is None


@pytest.mark.bench
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name", ["JPEG-LL.dcm", "MR_small_jpeg_ls_lossless.dcm", "HTJ2K_08_RGB.dcm", "US1_J2KI.dcm", "SC_rgb_jpeg_gdcm.dcm"]
)
def test_real_codestreams(bench: Path, name: str) -> None:
    ds = pydicom.dcmread(bench / "data/dicom/transfer_syntax" / name)
    claim = claim_of(get_frame(ds.PixelData, 0, number_of_frames=1))
    assert claim
    assert claim[:3] == (ds.Rows, ds.Columns, ds.SamplesPerPixel)
