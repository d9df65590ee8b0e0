"""Any chain of steps leads a voxel of the model's input back to its source image, pixel and place in the patient.

A volume whose three channels hold the coordinates of their own source: whatever steps do to it, what arrives at a place
must be where the way back says that it came from. Linear interpolation keeps such a volume exactly; a filter that
shrinks by a broken factor weighs its sources unevenly, so `resize` may be off by a tenth of a voxel.
"""

from dataclasses import replace
from typing import Any

import highdicom as hd
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.imaging.volume import Volume
from tests.shared.imaging.stacks import SPACING, STACKS, frames_of
from tests.volumes import apply, stack

SHAPE = (14, 18, 16)
_SIZES = st.tuples(st.integers(6, 24), st.integers(6, 24), st.integers(6, 24))
_PLANES = st.tuples(st.integers(6, 24), st.integers(6, 24))
_MM = st.floats(0.4, 2.0)
EXACT = st.one_of(
    _SIZES.map(lambda shape: ("crop", {"shape": shape})),
    _SIZES.map(lambda shape: ("pad", {"shape": shape, "value": -99.0})),
    _PLANES.map(lambda shape: ("crop", {"shape": shape})),
    st.just(("pad_square", {"value": -99.0})),
    st.sampled_from(["RAS", "SPL", "LIP", "ASR", "IRA"]).map(lambda axes: ("reorient", {"axes": axes})),
    st.tuples(_MM, _MM, _MM).map(lambda spacing: ("resample", {"spacing": spacing})),
    st.tuples(_MM, _MM).map(lambda spacing: ("resample", {"spacing": spacing})),
)
PICKS = st.one_of(
    st.just(("pick_slices", {"every": 1})),
    st.integers(6, 12).map(lambda count: ("pick_slices", {"count": count, "which": "middle"})),
    st.just(("pick_slices", {"every": 2})),
)
RESIZES = st.one_of(
    _SIZES.map(lambda shape: ("resize", {"shape": shape})),
    _SIZES.map(lambda shape: ("fit", {"shape": shape, "value": -99.0})),
)


def coordinates(name: str) -> Volume:
    """Channels column, row, slice of each voxel's middle, and one that is 1 everywhere."""
    slices, rows, columns = np.indices(SHAPE) + 0.5
    volume = stack(slices, frames_of(STACKS[name], SHAPE))
    return replace(volume, array=np.stack([columns, rows, slices, np.ones(SHAPE)]).astype(np.float32))


def through(volume: Volume, steps: list[tuple[str, dict[str, Any]]]) -> tuple[Volume, np.ndarray]:
    """The volume after `steps`, and which of its voxels were made of others alone that hold coordinates.

    Interpolation flattens beyond the middles of the outermost voxels, so these are marked before.
    """
    for step in steps:
        if step[0] in ("resample", "resize", "fit"):
            inner = np.zeros(volume.shape, np.float32)
            inner[1:-1, 1:-1, 1:-1] = 1
            marked = volume.array.copy()
            marked[3] *= inner
            volume = volume.with_array(marked)
        volume = apply(volume, step)
    return volume, np.abs(volume.array[3] - 1) < 1e-4


def check(volume: Volume, name: str, inside: np.ndarray, tolerance: float, every: int = 1) -> None:
    """`every`: how many slices of the first stack lie between two of the one that was picked from it."""
    places = np.argwhere(inside)
    frames = frames_of(STACKS[name], SHAPE)
    for slice_, row, column in places[:: max(1, len(places) // 8)].tolist():
        point = (column + 0.5, row + 0.5, slice_ + 0.5)
        image, x, y = volume.grid.image_at(*point)
        index = [frame.source for frame in frames].index(image)
        off = (volume.grid.source_point(*point)[2] % 1 - 0.5) * every  # from the middle of that slice
        held = volume.array[:3, slice_, row, column]
        assert np.abs(np.array([x, y, index + 0.5 + off]) - held).max() < tolerance
        own = hd.spatial.ImageToReferenceTransformer(frames[index].position, frames[index].orientation, SPACING)
        patient = (volume.grid.to_patient @ (*point, 1.0))[:3]
        assert np.abs(own(np.array([[x, y]]))[0] + off * STACKS[name][:, 2] - patient).max() < 1e-6


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(sorted(STACKS)), PICKS, st.lists(EXACT, max_size=4))
def test_any_chain_leads_back_to_image_pixel_and_patient(
    name: str, pick: tuple[str, dict[str, Any]], steps: list[tuple[str, dict[str, Any]]]
) -> None:
    volume, inside = through(coordinates(name), [pick, *steps])
    check(volume, name, inside, 1e-3, pick[1].get("every", 1))
    assert np.allclose(np.linalg.inv(volume.grid.to_source) @ volume.grid.to_source, np.eye(4))


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(sorted(STACKS)), RESIZES, st.lists(EXACT.filter(lambda step: step[0] != "resample"), max_size=3))
def test_what_is_resized_leads_back_too(
    name: str, resize: tuple[str, dict[str, Any]], steps: list[tuple[str, dict[str, Any]]]
) -> None:
    volume, inside = through(coordinates(name), [resize, *steps])
    scale = float(np.abs(volume.grid.to_source[:3, :3]).max())
    check(volume, name, inside, 0.1 * max(1.0, scale))


def test_the_check_finds_a_way_back_that_is_wrong_by_half_a_voxel() -> None:
    steps = [("reorient", {"axes": "RAS"}), ("resample", {"spacing": [1, 1, 1]})]
    volume, inside = through(coordinates("oblique"), steps)
    assert inside.sum() > 1000
    check(volume, "oblique", inside, 1e-3)
    wrong = volume.moved(volume.array, shift=(0.0, 0.5, 0.0))
    with pytest.raises(AssertionError):
        check(wrong, "oblique", inside, 1e-3)
