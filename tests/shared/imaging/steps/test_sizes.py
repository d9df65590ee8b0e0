"""Each step that brings an image to a size, against another implementation."""

import numpy as np
import pytest
from scipy import ndimage
from skimage import transform

from shared.imaging.volume import Volume
from tests.volumes import PICTURE, apply, images_of, stack


def test_resize_up_agrees_with_scikit_image_and_scipy() -> None:
    result = apply(Volume.image(PICTURE), ("resize", {"shape": [74, 156]})).array[0, 0]
    other = transform.resize(PICTURE, (74, 156), order=1, mode="edge", anti_aliasing=False, preserve_range=True)
    assert np.allclose(result, other, atol=1e-2)
    third = ndimage.zoom(PICTURE, (2, 3), order=1, mode="nearest", grid_mode=True)
    assert np.allclose(result, third, atol=1e-2)


def test_resize_down_keeps_the_mean_and_a_ramp() -> None:
    rows, columns = np.mgrid[0:64, 0:96].astype(np.float32)
    ramp = rows * 2 + columns * 3
    result = apply(Volume.image(ramp), ("resize", {"shape": [16, 24]})).array[0, 0]
    expected = ramp.reshape(16, 4, 24, 4).mean((1, 3))
    assert np.allclose(result[2:-2, 2:-2], expected[2:-2, 2:-2], atol=1e-2)
    assert result.mean() == pytest.approx(ramp.mean(), rel=1e-4)


def test_padding_and_cropping_agree_with_numpy() -> None:
    square = apply(Volume.image(PICTURE), ("pad_square", {"value": 7}))
    assert np.array_equal(square.array[0, 0], np.pad(PICTURE, ((7, 8), (0, 0)), constant_values=7))
    assert apply(Volume.image(PICTURE), ("pad_to_multiple", {"of": 16})).shape == (1, 48, 64)
    assert apply(Volume.image(PICTURE), ("pad", {"shape": [40, 10]})).shape == (1, 40, 52)
    assert np.array_equal(apply(Volume.image(PICTURE), ("crop", {"shape": [21, 30]})).array[0, 0], PICTURE[8:29, 11:41])
    assert apply(Volume.image(PICTURE), ("crop", {"shape": [100, 30]})).shape == (1, 37, 30)


def test_fit_keeps_millimetres_square_and_agrees_with_scikit_image() -> None:
    smooth = ndimage.gaussian_filter(PICTURE, 3)
    one = Volume.image(smooth, spacing=(1.0, 0.5))  # 37 x 26 mm
    result = apply(one, ("fit", {"shape": [74, 64]}))
    assert result.shape == (1, 74, 64)
    assert np.allclose(result.array[0, 0][:, 6:-6], transform.resize(smooth, (74, 52), order=1), atol=2)
    assert not result.array[0, 0][:, :6].any()
    assert not result.array[0, 0][:, -6:].any()
    assert result.grid.spacing == (None, pytest.approx(0.5), pytest.approx(0.5))
    assert result.grid.source_point(32.0, 37.0) == pytest.approx((26.0, 18.5, 0.5))


@pytest.mark.parametrize("spacing", [None, (1.0, 0.31)])
def test_fit_of_a_mirrored_image_is_the_mirrored_fit(spacing: tuple[float, float] | None) -> None:
    one, mirrored = (Volume.image(pixels, spacing=spacing) for pixels in (PICTURE, PICTURE[:, ::-1].copy()))
    straight, turned = (apply(which, ("fit", {"shape": [64, 33]})).array[0, 0] for which in (one, mirrored))
    assert np.allclose(straight, turned[:, ::-1], atol=1e-3)


def test_in_three_dimensions_padding_and_cropping_agree_with_numpy() -> None:
    array = np.random.default_rng(5).normal(0, 1, (5, 6, 7))
    padded = apply(stack(array), ("pad", {"shape": [8, 6, 8], "value": 3}))
    assert np.allclose(padded.array[0], np.pad(array, ((1, 2), (0, 0), (0, 1)), constant_values=3))
    assert padded.grid.slice_images == (None, *images_of(5), None, None)
    cropped = apply(stack(array), ("crop", {"shape": [2, 9, 3]}))
    assert np.allclose(cropped.array[0], array[1:3, :, 2:5])
    assert cropped.grid.slice_images == images_of(5)[1:3]
