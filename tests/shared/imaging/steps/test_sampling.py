"""New voxels between the old ones, in three dimensions, held against SimpleITK and scipy."""

from typing import Any

import numpy as np
import pytest
import SimpleITK
from scipy import ndimage

from shared.imaging.decode import Modality
from shared.imaging.grid import NoVolume
from shared.imaging.volume import Volume
from tests.shared.imaging.stacks import SHAPE, STACKS, frames_of
from tests.shared.imaging.steps.test_orientation import ARRAY, STRAIGHT, in_itk
from tests.volumes import PICTURE, apply, stack

METHODS = {"linear": SimpleITK.sitkLinear, "nearest": SimpleITK.sitkNearestNeighbor}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", STRAIGHT)
def test_resampling_agrees_with_simpleitk(name: str, method: str) -> None:
    parameters = {"spacing": [1.1, 0.93, 1.3], "method": method}
    result = apply(stack(ARRAY, frames_of(STACKS[name])), ("resample", parameters))
    assert result.shape == (16, 10, 4)
    assert result.grid.spacing == pytest.approx((1.1, 0.93, 1.3))
    said = SimpleITK.ResampleImageFilter()
    said.SetSize([4, 10, 16])
    said.SetOutputSpacing([1.3, 0.93, 1.1])
    said.SetOutputOrigin(result.grid.origin)
    said.SetOutputDirection(result.grid.orientation.ravel().tolist())
    said.SetInterpolator(METHODS[method])
    said.UseNearestNeighborExtrapolatorOn()
    assert np.allclose(result.array[0], SimpleITK.GetArrayFromImage(said.Execute(in_itk(name))), atol=1e-4)


def test_resampling_in_the_plane_leaves_the_slices() -> None:
    volume = stack(ARRAY, frames_of(STACKS["gantry tilt"]))
    result = apply(volume, ("resample", {"spacing": [0.4, 0.6]}))
    assert result.shape == (7, 24, 9)
    assert result.grid.slice_images == volume.grid.slice_images
    alone = apply(Volume.image(ARRAY[2], (0.8, 0.6)), ("resample", {"spacing": [0.4, 0.6]}))
    assert np.allclose(result.array[0, 2], alone.array[0, 0], atol=1e-6)


def test_the_spacing_that_there_is_changes_nothing() -> None:
    volume = stack(ARRAY, frames_of(STACKS["oblique"]))
    spacing = volume.grid.spacing
    assert apply(volume, ("resample", {"spacing": spacing}), ("resize", {"shape": SHAPE})) is volume


@pytest.mark.parametrize(("shape", "factors"), [([14, 12, 9], (2, 1, 1)), ([21, 24, 18], (3, 2, 2))])
def test_a_larger_volume_agrees_with_scipy(shape: list[int], factors: tuple[int, ...]) -> None:
    result = apply(stack(ARRAY), ("resize", {"shape": shape})).array[0]
    assert np.allclose(result, ndimage.zoom(ARRAY, factors, order=1, mode="nearest", grid_mode=True), atol=1e-5)


def test_a_smaller_volume_is_the_mean_of_what_it_covers() -> None:
    slices, rows, columns = np.mgrid[0:32, 0:16, 0:24].astype(np.float32)
    ramp = 5 * slices + 2 * rows + 3 * columns
    result = apply(stack(ramp), ("resize", {"shape": [8, 8, 6]})).array[0]
    expected = ramp.reshape(8, 4, 8, 2, 6, 4).mean((1, 3, 5))
    assert np.allclose(result[2:-2, 2:-2, 2:-2], expected[2:-2, 2:-2, 2:-2], atol=1e-3)


def test_fit_in_three_dimensions_has_one_scale_in_mm() -> None:
    volume = stack(ARRAY, frames_of(STACKS["straight"]))  # 17.5 x 9.6 x 5.4 mm
    result = apply(volume, ("fit", {"shape": [35, 35, 35], "value": 9.0}))
    assert result.shape == (35, 35, 35)
    assert result.grid.spacing == pytest.approx((0.5, 0.5, 0.5), rel=0.05)
    assert (result.array[0] != 9).any(axis=(1, 2)).all()
    inside = np.argwhere(result.array[0] != 9)
    assert (inside.max(axis=0) - inside.min(axis=0) + 1).tolist() == [35, 19, 11]
    assert result.grid.source_point(17.5, 17.5, 17.5) == pytest.approx((4.5, 6.0, 3.5))


@pytest.mark.parametrize("step", [("resample", {"spacing": [1, 1, 1]}), ("fit", {"shape": [4, 4, 4]})])
def test_without_a_size_in_mm_it_is_refused(step: tuple[str, dict[str, Any]]) -> None:
    for volume in (Volume.image(PICTURE), Volume.image(PICTURE, (1.0, 1.0))):
        with pytest.raises(NoVolume, match="is not known"):
            apply(volume, step)


def test_slices_of_different_scales_are_not_mixed() -> None:
    volume = stack(ARRAY, modality=tuple(Modality(slope) for slope in range(1, 8)))
    with pytest.raises(NoVolume, match="modality_lut"):
        apply(volume, ("resize", {"shape": [3, 4, 4]}))
    mixed = apply(volume, ("modality_lut", {}), ("resize", {"shape": [3, 4, 4]}))
    scaled = ARRAY * np.arange(1, 8, dtype=np.float32)[:, np.newaxis, np.newaxis]
    assert np.array_equal(mixed.array, apply(stack(scaled), ("resize", {"shape": [3, 4, 4]})).array)


def test_more_than_can_be_held_is_refused_before_it_is_made() -> None:
    for step in (("resize", {"shape": [9000, 9000, 9000]}), ("pad", {"shape": [9000, 9000, 9000]})):
        with pytest.raises(NoVolume, match="9000 × 9000 × 9000 voxels"):
            apply(stack(ARRAY), step)
