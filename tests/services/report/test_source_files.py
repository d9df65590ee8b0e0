"""What is read of the sources for pictures, whatever odd ones say."""

from pathlib import Path

import pytest
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from services.report.source_files import _aspect


@pytest.mark.parametrize(
    ("said", "aspect"),
    [([2, 1], (2.0, 1.0)), (1, None), (None, None), ([1, 0], None)],
    ids=["ratio", "one", "empty", "0"],
)
def test_a_pixel_aspect_ratio_that_is_none_costs_no_picture(tmp_path: Path, said: object, aspect: object) -> None:
    ds, path = Dataset(), tmp_path / "x.dcm"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = MRImageStorage, "1.2"
    ds.PixelAspectRatio = said
    dcmwrite(path, ds, enforce_file_format=True)
    assert _aspect(path) == aspect
