"""Turning to an orientation, held against SimpleITK's."""

import numpy as np
import pytest
import SimpleITK

from shared.imaging.grid import NoVolume
from shared.imaging.steps import StepError
from shared.imaging.volume import Volume
from tests.shared.imaging.stacks import SHAPE, SPACING, STACKS, STEP, frames_of
from tests.volumes import PICTURE, apply, stack

ARRAY = np.random.default_rng(4).normal(0, 1, SHAPE).astype(np.float32)
STRAIGHT = [name for name in STACKS if name != "gantry tilt"]


def in_itk(name: str) -> SimpleITK.Image:
    image = SimpleITK.GetImageFromArray(ARRAY)
    image.SetSpacing([SPACING[1], SPACING[0], STEP])
    image.SetOrigin([10.0, -20.0, 30.0])
    image.SetDirection((STACKS[name] / np.linalg.norm(STACKS[name], axis=0)).ravel().tolist())
    return image


@pytest.mark.parametrize("name", STRAIGHT)
@pytest.mark.parametrize("axes", ["RAS", "SPL", "LIP", "AIR"])
def test_axes_run_as_simpleitk_turns_them(name: str, axes: str) -> None:
    result = apply(stack(ARRAY, frames_of(STACKS[name])), ("reorient", {"axes": axes}))
    turned = SimpleITK.DICOMOrient(in_itk(name), axes[::-1])  # columns first there
    assert np.array_equal(result.array[0], SimpleITK.GetArrayFromImage(turned))
    assert result.grid.origin == pytest.approx(turned.GetOrigin())
    assert result.grid.orientation.ravel() == pytest.approx(turned.GetDirection())
    assert result.grid.spacing == pytest.approx(turned.GetSpacing()[::-1])


@pytest.mark.parametrize("name", STACKS)
def test_there_and_back_is_what_it_was(name: str) -> None:
    volume = stack(ARRAY, frames_of(STACKS[name]))
    result = apply(volume, ("reorient", {"axes": "RAS"}), ("reorient", {"axes": "SPL"}))
    first = apply(volume, ("reorient", {"axes": "SPL"}))
    assert np.array_equal(result.array, first.array)
    assert np.array_equal(result.grid.to_source, first.grid.to_source)


def test_what_already_runs_so_is_left_alone() -> None:
    volume = stack(ARRAY, frames_of(STACKS["straight"]))
    assert apply(volume, ("reorient", {"axes": "SPL"})) is volume


def test_without_a_place_nothing_is_turned() -> None:
    with pytest.raises(NoVolume, match="which way they run is not known"):
        apply(Volume.image(PICTURE), ("reorient", {"axes": "RAS"}))


@pytest.mark.parametrize("axes", ["RAX", "RLS", "RA", "ras"])
def test_what_is_no_orientation_is_told(axes: str) -> None:
    with pytest.raises(StepError, match='as "RAS"'):
        apply(Volume.image(PICTURE), ("reorient", {"axes": axes}))
