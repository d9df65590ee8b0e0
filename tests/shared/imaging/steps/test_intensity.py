"""Each step that changes values, against another implementation."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from scipy import stats
from skimage import exposure, util

from shared.imaging.decode import Modality
from shared.imaging.frames import load_frames
from shared.imaging.grid import NoVolume
from shared.imaging.volume import Volume
from tests.images import write
from tests.volumes import PICTURE, apply, stack


def test_nothing_asked_nothing_changed() -> None:
    one = Volume.image(PICTURE)
    assert apply(one) is one


def test_modality_slope_agrees_with_pydicom_and_is_applied_once() -> None:
    ds = Dataset()
    ds.RescaleSlope, ds.RescaleIntercept = 2.5, -1024
    stored = np.arange(60).reshape(6, 10)
    one = Volume.image(stored.astype(np.float32), modality=Modality(2.5, -1024))
    assert np.allclose(apply(one, ("modality_lut", {})).array[0, 0], apply_modality_lut(stored, ds))
    assert np.allclose(
        apply(one, ("modality_lut", {}), ("modality_lut", {})).array[0, 0], apply_modality_lut(stored, ds)
    )


def test_a_modality_table_agrees_with_pydicom() -> None:
    item, ds = Dataset(), Dataset()
    item.add_new("LUTDescriptor", "US", [4, 2, 16])
    item.add_new("LUTData", "US", [10, 20, 40, 80])
    ds.ModalityLUTSequence = [item]
    stored = np.array([[0, 2, 3], [4, 5, 9]])
    table = Modality(table=np.array([10, 20, 40, 80], np.float32), first=2)
    result = apply(Volume.image(stored.astype(np.float32), modality=table), ("modality_lut", {}))
    assert np.array_equal(result.array[0, 0], apply_modality_lut(stored, ds))


def test_monochrome1_is_mirrored_once_and_others_are_left() -> None:
    eight_bits = np.random.default_rng(1).integers(0, 256, (9, 9)).astype(np.uint8)
    eight_bits[0, :2] = 0, 255
    dark = Volume.image(eight_bits.astype(np.float32), photometric_interpretation="MONOCHROME1")
    result = apply(dark, ("invert_monochrome1", {}), ("invert_monochrome1", {}))
    assert np.array_equal(result.array[0, 0], util.invert(eight_bits))
    assert np.array_equal(apply(Volume.image(PICTURE), ("invert_monochrome1", {})).array[0, 0], PICTURE)


@pytest.mark.parametrize("low", [None, 2.0])
def test_percentiles_agree_with_scikit_image(low: float | None) -> None:
    bottom = 0.0 if low is None else stats.scoreatpercentile(PICTURE, low)
    top = stats.scoreatpercentile(PICTURE, 99)
    expected = exposure.rescale_intensity(PICTURE.astype(float), (bottom, top), (0.0, 1.0))
    result = apply(Volume.image(PICTURE), ("scale_percentile", {"percentile": 99, "low": low}))
    assert np.allclose(result.array[0, 0], expected, atol=1e-5)


@pytest.mark.parametrize("value", [0.0, 5.0, -3.0])
def test_a_flat_image_scales_to_numbers(value: float) -> None:
    flat = Volume.image(np.full((4, 4), value, np.float32))
    for parameters in ({"percentile": 99.5}, {"low": 1, "percentile": 99}):
        assert np.isfinite(apply(flat, ("scale_percentile", parameters)).array[0, 0]).all()
    assert np.array_equal(apply(flat, ("normalise", {})).array[0, 0], np.zeros((4, 4)))


def test_normalise_agrees_with_scipy() -> None:
    assert np.allclose(
        apply(Volume.image(PICTURE), ("normalise", {})).array[0, 0], stats.zscore(PICTURE, axis=None), atol=1e-4
    )
    result = apply(Volume.image(PICTURE), ("normalise", {"subtract": 100, "divide": 50}))
    assert np.allclose(result.array[0, 0], (PICTURE - 100) / 50, atol=1e-5)


def test_window_is_from_zero_to_one() -> None:
    result = apply(Volume.image(PICTURE), ("window", {"center": 200, "width": 100})).array[0, 0]
    expected = exposure.rescale_intensity(PICTURE.astype(float), (150, 249), (0.0, 1.0))
    assert np.allclose(result, expected, atol=1e-5)


def test_each_slice_has_its_own_modality_and_its_own_photometric_interpretation() -> None:
    array = np.random.default_rng(2).integers(0, 100, (3, 5, 4)).astype(np.float32)
    volume = stack(
        array, modality=(Modality(1, 5), Modality(2, 0), Modality(table=np.arange(100, 0, -1, np.float32))),
        photometric_interpretation=("MONOCHROME2", "MONOCHROME1", "MONOCHROME2"),
    )  # fmt: skip
    result = apply(volume, ("modality_lut", {}), ("invert_monochrome1", {})).array[0]
    assert np.array_equal(result[0], array[0] + 5)
    assert np.array_equal(result[1], 2 * (array[1].max() + array[1].min() - array[1]))
    assert np.array_equal(result[2], 100 - array[2])


@pytest.mark.parametrize("step", [("normalise", {}), ("scale_percentile", {"low": 1})])
def test_statistics_are_of_each_slice_unless_the_volume_s_are_asked_for(step: tuple[str, dict[str, float]]) -> None:
    array = np.random.default_rng(2).normal(0, 1, (4, 30, 20)) + np.arange(4)[:, np.newaxis, np.newaxis]
    name, parameters = step
    alone = np.stack([apply(Volume.image(plane), step).array[0, 0] for plane in array])
    assert np.array_equal(apply(stack(array), step).array[0], alone)
    together = apply(stack(array), (name, {**parameters, "over": "volume"})).array[0]
    flat = apply(Volume.image(array.reshape(120, 20)), step).array[0, 0]
    assert np.allclose(together, flat.reshape(array.shape), atol=1e-6)
    assert not np.allclose(together, alone, atol=0.1)


def test_each_image_s_own_window_agrees_with_pydicom(tmp_path: Path) -> None:
    pixels = np.random.default_rng(6).integers(0, 4000, (8, 10)).astype(np.uint16)
    more = {"RescaleSlope": 2, "RescaleIntercept": -1000}
    one = write(tmp_path, "a", pixels, InstanceNumber=1, WindowCenter=[40, 9], WindowWidth=[400, 9], **more)
    other = write(tmp_path, "b", pixels, InstanceNumber=2, WindowCenter=3000, WindowWidth=2000, **more)
    result = apply(Volume.of(load_frames([one, other])), ("voi_window", {}))
    for path, shown in zip((one, other), result.array[0], strict=True):
        ds = pydicom.dcmread(path)
        expected = apply_voi_lut(apply_modality_lut(pixels, ds), ds)  # 0 to 2^bits - 1 in the modality's range
        expected = (expected - expected.min()) / (expected.max() - expected.min())
        assert np.allclose(shown, expected, atol=1e-4)
    assert np.array_equal(apply(result, ("modality_lut", {})).array, result.array)


def test_without_a_file_there_is_no_window() -> None:
    with pytest.raises(NoVolume, match="no file"):
        apply(Volume.image(PICTURE), ("voi_window", {}))
