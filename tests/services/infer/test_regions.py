"""Outlines lie where the patches lie, whatever was padded, and enclose just those."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage
from skimage.draw import polygon2mask

from services.infer.regions import outlines
from shared.findings import PatchMap, SourceImage

IMAGE = SourceImage(series_instance_uid="1.1", sop_instance_uid="1.2", sop_class_uid="1.3")


def patch_map(logits: np.ndarray, box: tuple[float, float, float, float]) -> PatchMap:
    return PatchMap(image=IMAGE, logits=tuple(map(tuple, logits.tolist())), box=box)


def test_one_patch_is_one_closed_square() -> None:
    logits = np.full((4, 4), -2.0)
    logits[1, 2] = 3.0
    (region,) = outlines(patch_map(logits, (0, 0, 400, 200)), 0.0, (200, 400))
    assert region.graphic_type == "POLYLINE"
    assert region.points == ((200, 50), (300, 50), (300, 100), (200, 100), (200, 50))


def test_patches_that_touch_by_a_corner_are_two_regions_the_largest_first() -> None:
    logits = np.full((4, 4), -2.0)
    logits[0, 0] = logits[1, 1] = logits[1, 2] = 1.0
    first, second = outlines(patch_map(logits, (0, 0, 4, 4)), 0.0, (4, 4))
    assert first.points == ((1, 1), (3, 1), (3, 2), (1, 2), (1, 1))
    assert second.points == ((0, 0), (1, 0), (1, 1), (0, 1), (0, 0))


def test_padding_is_cut_off_and_patches_in_it_are_none() -> None:
    """A portrait of 100 × 60 padded to a square: 20 pixels of padding on either side, one and a half patches of 4."""
    logits = np.full((4, 4), 5.0)
    (region,) = outlines(patch_map(logits, (-20, 0, 80, 100)), 0.0, (100, 60))
    assert region.points == ((0, 0), (60, 0), (60, 100), (0, 100), (0, 0))
    logits = np.full((8, 8), -5.0)
    logits[3, 0] = 5.0
    assert outlines(patch_map(logits, (-20, 0, 80, 100)), 0.0, (100, 60)) == []


def test_nothing_above_the_threshold_is_nothing() -> None:
    assert outlines(patch_map(np.zeros((3, 3)), (0, 0, 9, 9)), 0.1, (9, 9)) == []


@given(arrays.arrays(np.float64, (6, 7), elements=st.sampled_from([-1.0, 1.0])))
def test_filled_outlines_are_the_marked_patches_without_their_holes(logits: np.ndarray) -> None:
    """Drawn by scikit-image, ten pixels a patch."""
    found = outlines(patch_map(logits, (0, 0, 70, 60)), 0.0, (60, 70))
    labels, count = ndimage.label(logits > 0)
    assert len(found) == count
    drawn = np.zeros((60, 70), bool)
    for region in found:
        assert region.points[0] == region.points[-1]
        assert len(set(region.points[:-1])) == len(region.points) - 1, "meets itself nowhere"
        drawn |= polygon2mask((60, 70), np.array([(row - 0.5, column - 0.5) for column, row in region.points]))
    expected = np.zeros((6, 7), bool)
    for label in range(1, count + 1):
        expected |= ndimage.binary_fill_holes(labels == label)
    assert np.array_equal(drawn[5::10, 5::10], expected)


@pytest.mark.parametrize("shape", [(1955, 1841), (1841, 1955), (512, 512)])
def test_no_point_lies_outside_the_image(shape: tuple[int, int]) -> None:
    side = max(shape)
    left, top = -((side - shape[1]) // 2), -((side - shape[0]) // 2)
    logits = np.random.default_rng(2).normal(0, 1, (8, 8))
    for region in outlines(patch_map(logits, (left, top, left + side, top + side)), 0.0, shape):
        points = np.array(region.points)
        assert points.min() >= 0
        assert (points <= [shape[1], shape[0]]).all()
