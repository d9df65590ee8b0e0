"""What is read of the sources for pictures, whatever odd ones say."""

from pathlib import Path

import pytest
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from services.report.source_files import _aspect, read_pictures
from shared.imaging.frames import load_frames

SPACINGS = {
    "both": ({"PixelSpacing": [0.5, 0.5], "ImagerPixelSpacing": [0.6, 0.6]}, "Pixel Spacing"),
    "detector": ({"ImagerPixelSpacing": [0.6, 0.6]}, "Imager Pixel Spacing"),
    "broken": ({"PixelSpacing": [0, 0], "ImagerPixelSpacing": [0.6, 0.6]}, "Imager Pixel Spacing"),
    "paper": ({"NominalScannedPixelSpacing": [0.2, 0.2]}, ""),
    "none": ({}, ""),
}


@pytest.mark.parametrize("case", SPACINGS)
def test_a_picture_knows_what_its_scale_rests_on(case: str, dx_paths: list[Path], tmp_path: Path) -> None:
    said, name = SPACINGS[case]
    ds = dcmread(dx_paths[0])
    del ds.PixelSpacing, ds.ImagerPixelSpacing
    for keyword, value in said.items():
        setattr(ds, keyword, value)
    path = tmp_path / "x.dcm"
    ds.save_as(path)
    (frame,) = load_frames([path])
    pictures, _ = read_pictures([frame.source], {frame.source.sop_instance_uid: path})
    assert pictures[frame.source].spacing_name == name


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
