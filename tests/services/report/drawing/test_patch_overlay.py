"""The overlay lies over the patches that it speaks of."""

import numpy as np

from services.report.drawing.patch_overlay import overlay, strength
from services.report.drawing.placed_picture import fit
from services.report.facts import Picture
from shared.findings import PatchMap, SourceImage

IMAGE = SourceImage(series_instance_uid="1.2", sop_instance_uid="1.2.3", sop_class_uid="1.2.4")


def test_the_strongest_patch_is_drawn_where_it_lies() -> None:
    patches = PatchMap(image=IMAGE, logits=((0.0, 0.0), (0.0, 5.0)), box=(0, 0, 100, 100))
    placed = fit(Picture(np.zeros((100, 100), np.uint8)), (0, 0, 476, 476))
    drawn = np.asarray(overlay(patches, placed))
    assert drawn.shape == (placed.height, placed.width, 4)
    half = placed.width // 2
    assert (drawn[half + 1 :, half + 1 :, 3] > 100).all()
    assert (drawn[: half - 1, :, 3] == 0).all()


def test_a_grid_that_reaches_beyond_the_image_is_cut_at_its_edge() -> None:
    patches = PatchMap(image=IMAGE, logits=((4.0, 0.0), (0.0, 0.0)), box=(-100, -100, 100, 100))
    placed = fit(Picture(np.zeros((100, 100), np.uint8)), (0, 0, 476, 476))
    assert (np.asarray(overlay(patches, placed))[..., 3] == 0).all()


def test_for_and_against_have_different_colours_and_weak_maps_stay_weak() -> None:
    patches = PatchMap(image=IMAGE, logits=((0.1, -0.1),), box=(0, 0, 100, 100))
    placed = fit(Picture(np.zeros((100, 100), np.uint8)), (0, 0, 476, 476))
    drawn = np.asarray(overlay(patches, placed))
    left, right = drawn[5, 5], drawn[5, -5]
    assert left[0] > left[2]
    assert right[2] > right[0]
    assert strength(patches.logits) == 1.0
    assert drawn[..., 3].max() < 30
