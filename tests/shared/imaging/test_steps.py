"""Each step against another implementation, and the way back to the source through any chain of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut
from scipy import ndimage, stats
from skimage import exposure, transform, util

from shared.imaging.decode import Modality
from shared.imaging.image import ModelImage
from shared.imaging.steps import StepError, compile_steps, step_names
from shared.packages.manifest import Step

PICTURE = np.random.default_rng(3).normal(200, 80, (37, 52)).astype(np.float32)


def image(pixels: np.ndarray = PICTURE, **facts: object) -> ModelImage:
    return ModelImage(pixels=pixels, source_shape=pixels.shape, **facts)  # type: ignore[arg-type]


def apply(one: ModelImage, *steps: tuple[str, dict[str, object]]) -> ModelImage:
    return compile_steps([Step(step=name, **parameters) for name, parameters in steps])(one)


def test_nothing_asked_nothing_changed() -> None:
    one = image()
    assert apply(one) is one


def test_modality_slope_agrees_with_pydicom_and_is_applied_once() -> None:
    ds = Dataset()
    ds.RescaleSlope, ds.RescaleIntercept = 2.5, -1024
    stored = np.arange(60).reshape(6, 10)
    one = image(stored.astype(np.float32), modality=Modality(2.5, -1024))
    assert np.allclose(apply(one, ("modality_lut", {})).pixels, apply_modality_lut(stored, ds))
    assert np.allclose(apply(one, ("modality_lut", {}), ("modality_lut", {})).pixels, apply_modality_lut(stored, ds))


def test_a_modality_table_agrees_with_pydicom() -> None:
    item, ds = Dataset(), Dataset()
    item.add_new("LUTDescriptor", "US", [4, 2, 16])
    item.add_new("LUTData", "US", [10, 20, 40, 80])
    ds.ModalityLUTSequence = [item]
    stored = np.array([[0, 2, 3], [4, 5, 9]])
    table = Modality(table=np.array([10, 20, 40, 80], np.float32), first=2)
    result = apply(image(stored.astype(np.float32), modality=table), ("modality_lut", {}))
    assert np.array_equal(result.pixels, apply_modality_lut(stored, ds))


def test_monochrome1_is_mirrored_once_and_others_are_left() -> None:
    eight_bits = np.random.default_rng(1).integers(0, 256, (9, 9)).astype(np.uint8)
    eight_bits[0, :2] = 0, 255
    dark = image(eight_bits.astype(np.float32), photometric_interpretation="MONOCHROME1")
    result = apply(dark, ("invert_monochrome1", {}), ("invert_monochrome1", {}))
    assert np.array_equal(result.pixels, util.invert(eight_bits))
    assert np.array_equal(apply(image(), ("invert_monochrome1", {})).pixels, PICTURE)


@pytest.mark.parametrize("low", [None, 2.0])
def test_percentiles_agree_with_scikit_image(low: float | None) -> None:
    bottom = 0.0 if low is None else stats.scoreatpercentile(PICTURE, low)
    top = stats.scoreatpercentile(PICTURE, 99)
    expected = exposure.rescale_intensity(PICTURE.astype(float), (bottom, top), (0.0, 1.0))
    result = apply(image(), ("scale_percentile", {"percentile": 99, "low": low}))
    assert np.allclose(result.pixels, expected, atol=1e-5)


@pytest.mark.parametrize("value", [0.0, 5.0, -3.0])
def test_a_flat_image_scales_to_numbers(value: float) -> None:
    flat = image(np.full((4, 4), value, np.float32))
    for parameters in ({"percentile": 99.5}, {"low": 1, "percentile": 99}):
        assert np.isfinite(apply(flat, ("scale_percentile", parameters)).pixels).all()
    assert np.array_equal(apply(flat, ("normalise", {})).pixels, np.zeros((4, 4)))


def test_normalise_agrees_with_scipy() -> None:
    assert np.allclose(apply(image(), ("normalise", {})).pixels, stats.zscore(PICTURE, axis=None), atol=1e-4)
    result = apply(image(), ("normalise", {"subtract": 100, "divide": 50}))
    assert np.allclose(result.pixels, (PICTURE - 100) / 50, atol=1e-5)


def test_resize_up_agrees_with_scikit_image_and_scipy() -> None:
    result = apply(image(), ("resize", {"shape": [74, 156]})).pixels
    other = transform.resize(PICTURE, (74, 156), order=1, mode="edge", anti_aliasing=False, preserve_range=True)
    assert np.allclose(result, other, atol=1e-2)
    third = ndimage.zoom(PICTURE, (2, 3), order=1, mode="nearest", grid_mode=True)
    assert np.allclose(result, third, atol=1e-2)


def test_resize_down_keeps_the_mean_and_a_ramp() -> None:
    rows, columns = np.mgrid[0:64, 0:96].astype(np.float32)
    ramp = rows * 2 + columns * 3
    result = apply(image(ramp), ("resize", {"shape": [16, 24]})).pixels
    expected = ramp.reshape(16, 4, 24, 4).mean((1, 3))
    assert np.allclose(result[2:-2, 2:-2], expected[2:-2, 2:-2], atol=1e-2)
    assert result.mean() == pytest.approx(ramp.mean(), rel=1e-4)


def test_padding_and_cropping_agree_with_numpy() -> None:
    square = apply(image(), ("pad_square", {"value": 7}))
    assert np.array_equal(square.pixels, np.pad(PICTURE, ((7, 8), (0, 0)), constant_values=7))
    assert apply(image(), ("pad_to_multiple", {"of": 16})).shape == (48, 64)
    assert apply(image(), ("pad", {"shape": [40, 10]})).shape == (40, 52)
    assert np.array_equal(apply(image(), ("crop", {"shape": [21, 30]})).pixels, PICTURE[8:29, 11:41])
    assert apply(image(), ("crop", {"shape": [100, 30]})).shape == (37, 30)


def test_fit_keeps_millimetres_square_and_agrees_with_scikit_image() -> None:
    smooth = ndimage.gaussian_filter(PICTURE, 3)
    one = image(smooth, source_spacing=(1.0, 0.5))  # 37 x 26 mm
    result = apply(one, ("fit", {"shape": [74, 64]}))
    assert result.shape == (74, 64)
    assert np.allclose(result.pixels[:, 6:-6], transform.resize(smooth, (74, 52), order=1), atol=2)
    assert not result.pixels[:, :6].any()
    assert not result.pixels[:, -6:].any()
    assert result.spacing == pytest.approx((0.5, 0.5))
    assert result.source_point(32.0, 37.0) == pytest.approx((26.0, 18.5))


@pytest.mark.parametrize("spacing", [None, (1.0, 0.31)])
def test_fit_of_a_mirrored_image_is_the_mirrored_fit(spacing: tuple[float, float] | None) -> None:
    one, mirrored = (image(pixels, source_spacing=spacing) for pixels in (PICTURE, PICTURE[:, ::-1].copy()))
    straight, turned = (apply(which, ("fit", {"shape": [64, 33]})).pixels for which in (one, mirrored))
    assert np.allclose(straight, turned[:, ::-1], atol=1e-3)


def test_window_is_from_zero_to_one() -> None:
    result = apply(image(), ("window", {"center": 200, "width": 100})).pixels
    expected = exposure.rescale_intensity(PICTURE.astype(float), (150, 249), (0.0, 1.0))
    assert np.allclose(result, expected, atol=1e-5)


MOVES = st.lists(
    st.one_of(
        st.just(("pad_square", {})),
        st.integers(1, 33).map(lambda of: ("pad_to_multiple", {"of": of})),
        st.tuples(st.integers(5, 80), st.integers(5, 80)).map(lambda s: ("resize", {"shape": s})),
        st.tuples(st.integers(5, 80), st.integers(5, 80)).map(lambda s: ("fit", {"shape": s})),
        st.tuples(st.integers(5, 80), st.integers(5, 80)).map(lambda s: ("crop", {"shape": s})),
        st.tuples(st.integers(5, 80), st.integers(5, 80)).map(lambda s: ("pad", {"shape": s})),
    ),
    max_size=5,
)


@given(MOVES, st.integers(6, 60), st.integers(6, 60))
def test_any_chain_leads_back_to_the_source(
    steps: list[tuple[str, dict[str, object]]], rows: int, columns: int
) -> None:
    """Two images that hold their own coordinates: what arrives at a place is where the way back says it came from.

    To a tenth of a pixel: a filter that shrinks by a broken factor weighs its sources unevenly.
    """
    down, across = np.mgrid[0.5 : rows + 0.5, 0.5 : columns + 0.5].astype(np.float32)
    inside = apply(image(np.ones((rows, columns), np.float32)), *steps).pixels
    row_of, column_of = (apply(image(coordinates), *steps) for coordinates in (down, across))
    scale = np.abs(np.diag(row_of.to_source)[:2])
    flat = int(np.ceil(0.5 / scale.min())) + 1  # linear interpolation flattens at the border of what is resized
    deep = ndimage.binary_erosion(inside > 1 - 1e-6, iterations=flat)
    for row, column in np.argwhere(deep)[:: max(1, inside.size // 50)].tolist():
        x, y = row_of.source_point(column + 0.5, row + 0.5)
        margin = 2 * max(1.0, *scale)
        if margin < x < columns - margin and margin < y < rows - margin and len(_resizes(steps)) <= 1:
            assert column_of.pixels[row, column] == pytest.approx(x, abs=0.1 * max(1.0, scale[0]))
            assert row_of.pixels[row, column] == pytest.approx(y, abs=0.1 * max(1.0, scale[1]))
    there = np.linalg.inv(row_of.to_source)
    assert np.allclose(there @ row_of.to_source, np.eye(3))


def _resizes(steps: list[tuple[str, dict[str, object]]]) -> list[str]:
    return [name for name, _ in steps if name in ("resize", "fit")]


@given(MOVES)
def test_the_box_and_the_spacing_follow(steps: list[tuple[str, dict[str, object]]]) -> None:
    result = apply(image(source_spacing=(0.5, 0.25)), *steps)
    left, top, right, bottom = result.source_box()
    assert result.spacing is not None
    assert (right - left) * 0.25 == pytest.approx(result.shape[1] * result.spacing[1])
    assert (bottom - top) * 0.5 == pytest.approx(result.shape[0] * result.spacing[0])


@pytest.mark.parametrize(
    ("step", "parameters", "words"),
    [
        ("sharpen", {}, r"preprocess\[0\]: there is no step 'sharpen'; there are crop, "),
        ("resize", {}, "'shape' is required"),
        ("resize", {"shape": [0, 5]}, "shape.0"),
        ("pad_square", {"colour": 3}, "no parameter 'colour'; it has value"),
        ("scale_percentile", {"percentile": 101}, "found 101"),
        ("modality_lut", {"x": 1}, "it has none"),
    ],
)
def test_a_wrong_manifest_is_told_what_to_write(step: str, parameters: dict[str, object], words: str) -> None:
    with pytest.raises(StepError, match=words):
        compile_steps([Step(step=step, **parameters)])


def test_the_names_that_the_packages_use_are_there() -> None:
    wanted = {"modality_lut", "invert_monochrome1", "scale_percentile", "normalise", "pad_square", "resize"}
    assert wanted <= set(step_names())
