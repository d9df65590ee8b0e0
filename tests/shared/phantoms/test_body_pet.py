"""The made-up PET repeats by seed, shows its lesions where it says, and SUV comes back from its DICOM series."""

import shutil
import subprocess
from datetime import datetime
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from shared.phantoms.body_pet import BodyPet, body_pet
from shared.phantoms.dicom import Patient, Visit
from shared.phantoms.pet_dicom import pet_series

VISIT = Visit(Patient("PHANTOM^PET", "ISO-PHANTOM-PET"), "ISO0009")


@cache
def _scan(lesions: int) -> BodyPet:
    return body_pet(5, lesions, slices=60, size=64)


def test_the_same_seed_gives_the_same_scan() -> None:
    again = body_pet(5, 4, slices=60, size=64)
    np.testing.assert_array_equal(again.volume, _scan(4).volume)
    assert again.lesions == _scan(4).lesions
    assert not np.array_equal(body_pet(6, 4, slices=60, size=64).volume, again.volume)


def test_lesions_are_where_it_says_and_nowhere_else() -> None:
    with_them, without = _scan(4), _scan(0)
    change = with_them.volume - without.volume
    assert len(with_them.lesions) == 4
    for lesion in with_them.lesions:
        place = tuple(round(index) for index in lesion.place)
        assert with_them.volume[place] > 0.3 * lesion.suv
    between, pixel = with_them.spacing_mm
    z, y, x = np.indices(change.shape)
    near = np.zeros(change.shape, bool)
    for lesion in with_them.lesions:
        s, r, c = lesion.place
        far = (((z - s) * between) ** 2 + ((y - r) * pixel) ** 2 + ((x - c) * pixel) ** 2) ** 0.5
        near |= far < 1.2 * lesion.radius_mm + 3 * between
    assert np.abs(change[~near]).max() < 0.3
    assert not without.shows.any()
    assert change.max((1, 2))[with_them.shows].min() > 0.5


@pytest.mark.parametrize(("lesions", "slices", "size"), [(-1, 60, 64), (1, 3, 64), (1, 60, 8)])
def test_what_makes_no_scan_is_refused(lesions: int, slices: int, size: int) -> None:
    with pytest.raises(ValueError, match="lesions must be 0 or more"):
        body_pet(1, lesions, slices=slices, size=size)


def test_the_series_gives_its_suv_back() -> None:
    scan = _scan(4)
    series = pet_series(scan.volume, VISIT, spacing_mm=scan.spacing_mm)
    assert len({ds.SOPInstanceUID for ds in series}) == 60
    for index in (0, 30, 59):
        ds = series[index]
        stored = np.frombuffer(ds.PixelData, "<u2").reshape(64, 64)
        [injection] = ds.RadiopharmaceuticalInformationSequence
        injected = datetime.strptime(injection.RadiopharmaceuticalStartTime, "%H%M%S")
        waited = (datetime.strptime(ds.SeriesTime, "%H%M%S") - injected).total_seconds()
        left = injection.RadionuclideTotalDose * 2 ** (-waited / injection.RadionuclideHalfLife)
        suv = stored * float(ds.RescaleSlope) * float(ds.PatientWeight) * 1000 / left
        np.testing.assert_allclose(suv, scan.volume[index], atol=1e-3, rtol=1e-3)


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="dciodvfy is not installed")
def test_the_object_is_valid(tmp_path: Path) -> None:
    ds = pet_series(_scan(1).volume, VISIT, spacing_mm=_scan(1).spacing_mm)[20]
    ds.save_as(tmp_path / "pt.dcm", enforce_file_format=True)
    told = subprocess.run(["dciodvfy", str(tmp_path / "pt.dcm")], capture_output=True, text=True, check=False)
    assert [line for line in told.stderr.splitlines() if line.startswith("Error")] == []
