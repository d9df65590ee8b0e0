"""SUV of PET: from a made-up series back to what was put in; what the header does not tell is never guessed."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from shared.imaging.frames import Frame, load_frames
from shared.imaging.grid import NoVolume
from shared.imaging.volume import Volume
from shared.phantoms.body_pet import body_pet
from shared.phantoms.dicom import Patient, Visit
from shared.phantoms.pet_dicom import pet_series
from tests.volumes import apply

SCAN = body_pet(7, 2, slices=8, size=32)
WANTED = ("patient_weight", "radionuclide_total_dose", "radionuclide_half_life")


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> list[Frame]:
    folder = tmp_path_factory.mktemp("pet")
    visit = Visit(Patient("PHANTOM^PET", "ISO-PHANTOM-PET"), "ISO0009")
    for n, ds in enumerate(pet_series(SCAN.volume, visit, spacing_mm=SCAN.spacing_mm)):
        ds.save_as(folder / f"{n}.dcm", enforce_file_format=True)
    return load_frames(sorted(folder.iterdir()))


def suv_of(frames: list[Frame], **changed: Any) -> np.ndarray:
    given = [replace(frame, header={**frame.header, **changed}) for frame in frames]
    return apply(Volume.of(given), ("modality_lut", {}), ("suv", {})).array[0]


def test_what_was_put_in_comes_back(frames: list[Frame]) -> None:
    np.testing.assert_allclose(suv_of(frames), SCAN.volume, atol=2e-3, rtol=1e-3)


def test_the_day_of_the_injection_may_be_unsaid(frames: list[Frame]) -> None:
    np.testing.assert_array_equal(suv_of(frames, radiopharmaceutical_start_date_time=""), suv_of(frames))
    over_midnight = {"series_date": "20260115", "series_time": "001500", "acquisition_date": "20260115"}
    over_midnight |= {"acquisition_time": "001600", "radiopharmaceutical_start_time": "231500"}
    over_midnight |= {"radiopharmaceutical_start_date_time": ""}
    np.testing.assert_allclose(suv_of(frames, **over_midnight), suv_of(frames), rtol=1e-6)


def test_what_is_suv_already_stays(frames: list[Frame]) -> None:
    plain = apply(Volume.of(frames), ("modality_lut", {})).array[0]
    np.testing.assert_array_equal(suv_of(frames, units="GML"), plain)


@pytest.mark.parametrize(
    ("changed", "said"),
    [({name: None}, f"SUV needs {name.replace('_', ' ')}") for name in WANTED]
    + [({name: 0.0}, f"SUV needs {name.replace('_', ' ')}") for name in WANTED]
    + [
        ({"units": "CNTS"}, "can't be made of Units CNTS"),
        ({"units": "GML", "suv_type": "LBM"}, "can't be made of Units GML"),
        ({"decay_correction": "ADMIN"}, "Decay Correction ADMIN"),
        ({"series_time": ""}, "the time at which the series began"),
        ({"series_time": "235900"}, "time lies behind its images'"),
        ({"radiopharmaceutical_start_date_time": "20270101000000"}, "an injection before the series"),
        ({"radiopharmaceutical_start_date_time": "", "radiopharmaceutical_start_time": "-"}, "time of the injection"),
    ],
)  # fmt: skip
def test_what_the_header_does_not_tell_is_not_guessed(frames: list[Frame], changed: dict[str, Any], said: str) -> None:
    with pytest.raises(NoVolume, match=said):
        suv_of(frames, **changed)


def test_pixels_without_a_header_have_no_suv() -> None:
    with pytest.raises(NoVolume, match="there is no header"):
        apply(Volume.image(np.ones((4, 4))), ("suv", {}))
