"""Tiles begin where MONAI's sliding window has them, and count as much."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.imaging.tiles import margins, starts, tile_of, weights

AXIS = st.tuples(st.integers(1, 40), st.integers(1, 40), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.625, 0.9]))


@pytest.fixture(scope="module")
def monai() -> Any:
    return pytest.importorskip("monai", reason="MONAI is installed where the recipes' tests run, and only there")


@settings(max_examples=150, deadline=None)
@given(axes=st.lists(AXIS, min_size=2, max_size=3))
def test_tiles_begin_where_monai_s_do(monai: Any, axes: list[tuple[int, int, float]]) -> None:
    from monai.data.utils import dense_patch_slices
    from monai.inferers.utils import _get_scan_interval

    shape, tile, overlaps = (tuple(part) for part in zip(*axes, strict=True))
    padded = tuple(map(max, shape, tile))
    steps = _get_scan_interval(padded, tile, len(tile), overlaps)
    theirs = [tuple(part.start for part in parts) for parts in dense_patch_slices(padded, tile, steps)]
    assert starts(padded, tile, overlaps) == theirs  # type: ignore[arg-type]


@pytest.mark.parametrize("tile", [(8, 8), (7, 12), (5, 6, 9), (1, 16, 3)])
@pytest.mark.parametrize("sigma", [0.05, 0.125, 1.0])
@pytest.mark.parametrize("blend", ["constant", "gaussian"])
def test_a_voxel_counts_as_much_as_monai_s(monai: Any, tile: tuple[int, ...], sigma: float, blend: str) -> None:
    theirs = monai.data.utils.compute_importance_map(tile, mode=blend, sigma_scale=sigma)
    if blend == "gaussian":  # as its inference clamps it
        theirs = theirs.clamp(min=max(float(theirs.min()), 1e-3))
    np.testing.assert_allclose(weights(tile, blend, sigma), np.asarray(theirs), rtol=1e-5)


@settings(max_examples=100, deadline=None)
@given(axes=st.lists(AXIS, min_size=1, max_size=3))
def test_every_voxel_is_in_a_tile_and_every_tile_within(axes: list[tuple[int, int, float]]) -> None:
    shape, tile, overlaps = (tuple(part) for part in zip(*axes, strict=True))
    around = margins(shape, tile)  # type: ignore[arg-type]
    padded = tuple(have + before + behind for have, (before, behind) in zip(shape, around, strict=True))
    held = np.zeros(padded, int)
    for place in starts(padded, tile, overlaps):  # type: ignore[arg-type]
        assert all(0 <= at <= have - size for at, have, size in zip(place, padded, tile, strict=True))
        held[tuple(slice(at, at + size) for at, size in zip(place, tile, strict=True))] += 1
    assert held.min() >= 1
    assert all(behind - before in (0, 1) for before, behind in around)


def test_a_whole_axis_is_as_long_as_it_is() -> None:
    assert tile_of((7, 100, 90), (-1, 64, 128)) == (7, 64, 128)
