"""The made-up chest CT repeats by seed, shows its nodules where it says, and becomes a DICOM series in HU."""

import shutil
import subprocess
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from shared.phantoms.chest_ct import ChestCt, chest_ct
from shared.phantoms.dicom import CHEST_PATIENT, Visit, ct_series

VISIT = Visit(CHEST_PATIENT, "ISO0003")


@cache
def _scan(nodules: int) -> ChestCt:
    return chest_ct(3, nodules, slices=20, size=96)


def test_the_same_seed_gives_the_same_scan() -> None:
    again = chest_ct(3, 2, slices=20, size=96)
    np.testing.assert_array_equal(again.volume, _scan(2).volume)
    assert again.nodules == _scan(2).nodules
    assert not np.array_equal(chest_ct(4, 2, slices=20, size=96).volume, again.volume)


def test_only_the_nodules_differ_from_the_same_person_without() -> None:
    difference = _scan(2).volume.astype(int) - _scan(0).volume
    rows, columns = np.indices((96, 96))
    near = np.zeros(difference.shape, bool)
    between, pixel = _scan(2).spacing_mm
    for nodule in _scan(2).nodules:
        reach = 1.3 * nodule.radius_mm + 16  # edges fade
        flat = (rows - nodule.row) ** 2 + (columns - nodule.column) ** 2 < (reach / pixel) ** 2
        near |= flat & (np.abs(np.arange(20) - nodule.slice) * between < reach + between)[:, None, None]
        assert difference[round(nodule.slice), round(nodule.row), round(nodule.column)] > 0.5 * nodule.contrast
    assert len(_scan(2).nodules) == 2
    assert np.abs(difference[~near]).max() <= 1


def test_shows_marks_the_slices_that_differ_most() -> None:
    change = np.abs(_scan(2).volume.astype(int) - _scan(0).volume).sum((1, 2))
    assert _scan(2).shows.any()
    assert not _scan(0).shows.any()
    assert change[_scan(2).shows].min() > 0
    assert _scan(2).shows[change.argmax()]


@pytest.mark.parametrize("seed", range(200, 206))
def test_scans_of_any_length_are_in_range(seed: int) -> None:
    scan = chest_ct(seed, size=64)
    assert 8 <= len(scan.volume) <= 60
    assert len(scan.shows) == len(scan.volume)
    assert 2.5 <= scan.spacing_mm[0] <= 8
    assert scan.volume.min() >= -1024
    assert scan.volume.max() > 100
    assert chest_ct(seed, slices=1, size=64).volume.shape == (1, 64, 64)


def test_nonsense_is_refused() -> None:
    for asked in ({"nodules": -1}, {"slices": 0}, {"size": 32}):
        with pytest.raises(ValueError, match="must be"):
            chest_ct(1, **asked)


def test_a_series_carries_the_hounsfield_units_and_lies_feet_first() -> None:
    scan = _scan(2)
    series = ct_series(scan.volume, VISIT, spacing_mm=scan.spacing_mm)
    assert len(series) == 20
    values = [ds.pixel_array * ds.RescaleSlope + ds.RescaleIntercept for ds in series]
    np.testing.assert_array_equal(np.stack(values), scan.volume)
    heights = [float(ds.ImagePositionPatient[2]) for ds in series]
    np.testing.assert_allclose(np.diff(heights), scan.spacing_mm[0], atol=2e-4)
    assert {(ds.Modality, ds.BodyPartExamined) for ds in series} == {("CT", "CHEST")}
    assert len({ds.SOPInstanceUID for ds in series}) == 20


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (dicom3tools) is not installed")
def test_a_slice_holds_to_its_information_object_definition(tmp_path: Path) -> None:
    ct_series(_scan(0).volume, VISIT, spacing_mm=_scan(0).spacing_mm)[3].save_as(
        tmp_path / "ct.dcm", enforce_file_format=True
    )
    found = subprocess.run(
        ["dciodvfy", "-new", tmp_path / "ct.dcm"], capture_output=True, text=True, timeout=60, check=False
    )
    assert "Error" not in found.stdout + found.stderr, found.stderr
    assert "CTImage" in found.stdout + found.stderr
