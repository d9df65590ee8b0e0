"""Generated objects are valid DICOM, keep their pixels and place, and repeat their identifiers."""

import shutil
import subprocess
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import Dataset

from shared.phantoms.chest_dx import chest_radiograph
from shared.phantoms.dicom import BRAIN_PATIENT, CHEST_PATIENT, SPINE_PATIENT, Visit, dx_image, mr_series, spine_image

VOLUME = np.random.default_rng(0).gamma(2.0, 100.0, (4, 32, 48)).astype(np.float32)
BRAIN = Visit(BRAIN_PATIENT, "ISO0001", datetime(2026, 3, 4, 23, 59, 50), "run 1")


def _radiograph() -> Dataset:
    radiograph = chest_radiograph(1, size=(96, 80))
    return dx_image(radiograph.pixels, Visit(CHEST_PATIENT, "ISO0002"), spacing_mm=radiograph.spacing_mm)


def _spine(inverted: bool) -> Dataset:
    pixels = np.arange(96 * 80, dtype=np.uint16).reshape(96, 80) % 4096
    return spine_image(pixels, Visit(SPINE_PATIENT, "ISO0003"), spacing_mm=(0.8, 0.6), inverted=inverted)


def _objects() -> dict[str, Callable[[], Dataset]]:
    return {
        "radiograph": _radiograph,
        "spine": partial(_spine, inverted=False),
        "inverted spine": partial(_spine, inverted=True),
    }


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (dicom3tools) is not installed")
@pytest.mark.parametrize("plane", ["radiograph", "spine", "inverted spine", "axial", "sagittal", "coronal"])
def test_objects_hold_to_their_information_object_definition(plane: str, tmp_path: Path) -> None:
    ds = _objects()[plane]() if plane in _objects() else mr_series(VOLUME, BRAIN, plane=plane)[2]
    ds.save_as(tmp_path / "object.dcm", enforce_file_format=True)
    found = subprocess.run(
        ["dciodvfy", "-new", tmp_path / "object.dcm"], capture_output=True, text=True, timeout=60, check=False
    )
    said = found.stdout + found.stderr
    assert "Error" not in said, said
    assert ("DXImageForPresentation" if plane in _objects() else "MRImage") in said


def test_a_written_radiograph_reads_back_unchanged(tmp_path: Path) -> None:
    pixels = chest_radiograph(1, size=(96, 80)).pixels
    _radiograph().save_as(tmp_path / "dx.dcm", enforce_file_format=True)
    np.testing.assert_array_equal(pydicom.dcmread(tmp_path / "dx.dcm").pixel_array, pixels)


def test_an_inverted_spine_shows_the_same_picture() -> None:
    upright, inverted = _spine(inverted=False), _spine(inverted=True)
    assert inverted.PhotometricInterpretation == "MONOCHROME1"
    np.testing.assert_array_equal(upright.pixel_array, 4095 - inverted.pixel_array)
    assert list(upright.PixelSpacing) == [0.8, 0.6]


def test_slices_lie_in_order_along_the_normal_of_their_plane() -> None:
    for plane in ("axial", "sagittal", "coronal"):
        series = mr_series(VOLUME, BRAIN, plane=plane, spacing_mm=(3.0, 0.5))
        orientation = np.array(series[0].ImageOrientationPatient)
        normal = np.cross(orientation[:3], orientation[3:])
        places = np.array([ds.ImagePositionPatient for ds in series], float)
        steps = np.diff(places @ normal)
        np.testing.assert_allclose(np.abs(steps), 3.0)
        assert [ds.InstanceNumber for ds in series] == [1, 2, 3, 4]


def test_the_volume_is_centred_on_the_origin() -> None:
    first, *_, last = mr_series(VOLUME, BRAIN, spacing_mm=(3.0, 0.5))
    corner = np.array(last.ImagePositionPatient, float) + [0.5 * 47, 0.5 * 31, 0]
    np.testing.assert_allclose(np.array(first.ImagePositionPatient, float), -corner)


def test_grey_values_keep_the_volume_s_proportions() -> None:
    stored = np.stack([ds.pixel_array for ds in mr_series(VOLUME, BRAIN)]).astype(float)
    assert stored.max() <= 4095
    unclipped = stored < 4000
    assert np.corrcoef(stored[unclipped], VOLUME[unclipped])[0, 1] > 0.9999


def test_series_of_one_visit_share_study_and_frame_and_nothing_else() -> None:
    first, second = mr_series(VOLUME, BRAIN)[0], mr_series(VOLUME, BRAIN, series_number=2)[0]
    assert first.StudyInstanceUID == second.StudyInstanceUID
    assert first.FrameOfReferenceUID == second.FrameOfReferenceUID
    assert first.SeriesInstanceUID != second.SeriesInstanceUID
    assert first.SOPInstanceUID != second.SOPInstanceUID


def test_the_same_visit_repeats_its_uids_and_another_salt_makes_new_ones() -> None:
    again = Visit(BRAIN_PATIENT, "ISO0001", salt="run 1")
    assert mr_series(VOLUME, BRAIN)[1].SOPInstanceUID == mr_series(VOLUME, again)[1].SOPInstanceUID
    fresh = Visit(BRAIN_PATIENT, "ISO0001", salt="run 2")
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
        assert mr_series(VOLUME, BRAIN)[1][keyword].value != mr_series(VOLUME, fresh)[1][keyword].value


def test_every_instance_has_a_uid_of_its_own_under_2_25() -> None:
    uids = {ds.SOPInstanceUID for ds in mr_series(VOLUME, BRAIN)}
    assert len(uids) == len(VOLUME)
    assert all(uid.startswith("2.25.") and uid.is_valid for uid in uids)


def test_acquisition_runs_on_past_midnight() -> None:
    last = mr_series(VOLUME, BRAIN)[-1]
    assert (last.StudyDate, last.AcquisitionDate, last.AcquisitionTime) == ("20260304", "20260305", "000014")


def test_a_flat_image_is_not_a_volume() -> None:
    with pytest.raises(ValueError, match="three dimensions"):
        mr_series(VOLUME[0], BRAIN)
