"""The way back to the source through any chain of steps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from shared.imaging.volume import Volume
from tests.volumes import PICTURE, apply

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


@settings(deadline=None)  # a busy machine pauses anywhere
@given(MOVES, st.integers(6, 60), st.integers(6, 60))
def test_any_chain_leads_back_to_the_source(
    steps: list[tuple[str, dict[str, object]]], rows: int, columns: int
) -> None:
    """Two images that hold their own coordinates: what arrives at a place is where the way back says it came from.

    To a tenth of a pixel: a filter that shrinks by a broken factor weighs its sources unevenly.
    """
    down, across = np.mgrid[0.5 : rows + 0.5, 0.5 : columns + 0.5].astype(np.float32)
    inside = apply(Volume.image(np.ones((rows, columns), np.float32)), *steps).array[0, 0]
    row_of, column_of = (apply(Volume.image(coordinates), *steps) for coordinates in (down, across))
    scale = np.abs(np.diag(row_of.grid.to_source)[:2])
    flat = int(np.ceil(0.5 / scale.min())) + 1  # linear interpolation flattens at the border of what is resized
    deep = ndimage.binary_erosion(inside > 1 - 1e-6, iterations=flat)
    for row, column in np.argwhere(deep)[:: max(1, inside.size // 50)].tolist():
        x, y, _ = row_of.grid.source_point(column + 0.5, row + 0.5)
        margin = 2 * max(1.0, *scale)
        if margin < x < columns - margin and margin < y < rows - margin and len(_resizes(steps)) <= 1:
            assert column_of.array[0, 0][row, column] == pytest.approx(x, abs=0.1 * max(1.0, scale[0]))
            assert row_of.array[0, 0][row, column] == pytest.approx(y, abs=0.1 * max(1.0, scale[1]))
    there = np.linalg.inv(row_of.grid.to_source)
    assert np.allclose(there @ row_of.grid.to_source, np.eye(4))


def _resizes(steps: list[tuple[str, dict[str, object]]]) -> list[str]:
    return [name for name, _ in steps if name in ("resize", "fit")]


@settings(deadline=None)  # a busy machine pauses anywhere
@given(MOVES)
def test_the_box_and_the_spacing_follow(steps: list[tuple[str, dict[str, object]]]) -> None:
    result = apply(Volume.image(PICTURE, spacing=(0.5, 0.25)), *steps)
    left, top, right, bottom = result.grid.box
    spacing = result.grid.spacing
    assert spacing is not None
    assert (right - left) * 0.25 == pytest.approx(result.shape[2] * spacing[2])
    assert (bottom - top) * 0.5 == pytest.approx(result.shape[1] * spacing[1])
