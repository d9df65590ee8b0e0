"""Choosing slices, stacking planes, leaving out the surroundings: held against numpy and scikit-image."""

from dataclasses import replace

import numpy as np
import pytest
from skimage.measure import regionprops

from shared.imaging.decode import Modality
from shared.imaging.grid import NoVolume
from shared.imaging.steps import StepError
from shared.imaging.volume import Volume
from tests.shared.imaging.stacks import STACKS, STEP, frames_of
from tests.volumes import apply, images_of, stack

MANY = np.arange(20, dtype=np.float32)[:, np.newaxis, np.newaxis] * np.ones((1, 3, 4), np.float32)


def picked(**parameters: object) -> list[int]:
    volume = stack(MANY)
    result = apply(volume, ("pick_slices", parameters))
    assert result.grid.slice_images == tuple(images_of(20)[int(n)] for n in result.array[0, :, 0, 0])
    assert result.grid.images == result.grid.slice_images
    return [int(n) for n in result.array[0, :, 0, 0]]


def test_slices_are_picked_as_asked() -> None:
    assert picked(every=6) == [0, 6, 12, 18]
    assert picked(count=4, which="middle") == [8, 9, 10, 11]
    assert picked(count=5) == [0, 5, 10, 14, 19]
    assert picked(every=3, count=3) == [0, 9, 18]
    assert picked(count=1) == [10]
    assert picked(count=100) == list(range(20))


def test_what_is_picked_evenly_keeps_its_place_and_what_is_not_has_none() -> None:
    frames = frames_of(STACKS["gantry tilt"], (20, 3, 4))
    volume = stack(MANY, frames)
    even = apply(volume, ("pick_slices", {"every": 6}))
    for index, source in enumerate((0, 6, 12, 18)):
        place = even.grid.to_patient @ (0.5, 0.5, index + 0.5, 1.0)
        assert place[:3] == pytest.approx(frames[source].position)
    assert even.grid.spacing == pytest.approx((6 * STEP, 0.8, 0.6))
    uneven = apply(volume, ("pick_slices", {"count": 5}))
    assert uneven.grid.to_patient is None
    assert uneven.grid.spacing == (None, 0.8, 0.6)


def test_facts_of_slices_go_with_the_slices() -> None:
    volume = stack(MANY, modality=tuple(Modality(slope) for slope in range(20)))
    result = apply(volume, ("pick_slices", {"every": 7}), ("modality_lut", {}))
    assert result.array[0, :, 0, 0].tolist() == [0, 49, 196]


def test_turned_round_slices_are_picked_in_their_new_order() -> None:
    volume = stack(MANY, frames_of(STACKS["straight"], (20, 3, 4)))
    result = apply(volume, ("reorient", {"axes": "IPL"}), ("pick_slices", {"every": 10}))
    assert result.array[0, :, 0, 0].tolist() == [19, 9]
    assert result.grid.slice_images == (images_of(20)[19], images_of(20)[9])
    assert (result.grid.to_patient @ (0.5, 0.5, 0.5, 1))[:3] == pytest.approx((10, -20, 30 + 19 * STEP))


def test_mixed_slices_are_not_picked() -> None:
    for step in (("resize", {"shape": [10, 3, 4]}), ("pad", {"shape": [30, 3, 4]})):
        with pytest.raises(NoVolume, match="pick them before"):
            apply(stack(MANY), step, ("pick_slices", {"every": 2}))


def test_planes_stand_beside_their_neighbours() -> None:
    result = apply(stack(MANY), ("stack_planes", {"count": 5}))
    assert result.array.shape == (5, 20, 3, 4)
    expected = np.pad(MANY[:, 0, 0], 2, mode="edge")
    assert np.array_equal(result.array[:, :, 0, 0].T, np.lib.stride_tricks.sliding_window_view(expected, 5))
    assert result.grid.slice_images == images_of(20)
    with pytest.raises(StepError, match="odd"):
        apply(stack(MANY), ("stack_planes", {"count": 4}))
    with pytest.raises(NoVolume, match="several channels"):
        apply(result, ("stack_planes", {"count": 3}))


def test_every_step_takes_several_channels() -> None:
    volume = stack(np.random.default_rng(1).normal(5, 1, (6, 8, 7)), frames_of(STACKS["oblique"], (6, 8, 7)))
    second = replace(volume, array=np.concatenate([volume.array, 2 * volume.array]))
    steps = [
        ("modality_lut", {}), ("crop", {"shape": [5, 7, 7]}), ("resample", {"spacing": [2, 1, 1]}),
        ("reorient", {"axes": "RAS"}), ("resize", {"shape": [6, 5, 4]}), ("pad_square", {}), ("normalise", {}),
        ("scale_percentile", {"low": 5}), ("window", {"center": 0.5, "width": 2}), ("crop_foreground", {}),
    ]  # fmt: skip
    one, two = apply(volume, *steps), apply(second, *steps)
    assert two.array.shape == (2, *one.shape)
    assert np.allclose(two.array[0], one.array[0], atol=1e-6)
    assert np.allclose(two.array[1], one.array[0], atol=1e-5)  # normalise takes the factor out again


@pytest.mark.parametrize("margin", [0, 2])
def test_the_foreground_s_box_agrees_with_scikit_image(margin: int) -> None:
    array = np.random.default_rng(1).uniform(0, 0.5, (9, 20, 16)).astype(np.float32)
    array[3:5, 6:12, 1] = array[4, 10, 4:9] = 2.0
    (found,) = regionprops((array > 1).astype(int))
    front, top, left = (max(0, low - margin) for low in found.bbox[:3])
    back, bottom, right = (high + margin for high in found.bbox[3:])
    result = apply(stack(array), ("crop_foreground", {"above": 1.0, "margin": margin}))
    assert np.array_equal(result.array[0], array[front:back, top:bottom, left:right])
    assert result.grid.source_point(0, 0, 0) == (left, top, front)


def test_a_volume_without_foreground_stays_whole() -> None:
    assert apply(Volume.image(MANY[0]), ("crop_foreground", {})).shape == (1, 3, 4)
