"""A volume of real files: its values, its places, its images; and what makes none."""

from pathlib import Path

import numpy as np
import pydicom
import pytest

from shared.imaging.frames import load_frames
from shared.imaging.grid import Grid, NoVolume, SourceStack, step_matrix
from shared.imaging.volume import Volume
from shared.phantoms.dicom import CHEST_PATIENT, Visit, ct_series
from tests.images import noise, write
from tests.shared.imaging.stacks import STACKS, STEP, frames_of
from tests.volumes import apply, images_of, stack


def test_a_series_becomes_its_slices_in_their_order_and_places(tmp_path: Path) -> None:
    array = np.random.default_rng(1).integers(-1000, 500, (5, 8, 6)).astype(np.int16)
    for n, ds in enumerate(ct_series(array, Visit(CHEST_PATIENT, "CT1"), spacing_mm=(2.0, 0.7))):
        ds.save_as(tmp_path / f"{9 - n}.dcm", enforce_file_format=True)
    frames = load_frames(sorted(tmp_path.iterdir()))
    volume = Volume.of(frames)
    assert volume.array.shape == (1, 5, 8, 6)
    read = apply(volume, ("modality_lut", {})).array[0]
    assert np.array_equal(read, np.stack([frame.pixels() for frame in frames]))
    assert volume.grid.spacing == pytest.approx((2.0, 0.7, 0.7))
    assert volume.grid.slice_images == tuple(frame.source for frame in frames)
    first, third = (pydicom.dcmread(frames[n].path) for n in (0, 2))
    assert volume.grid.origin == pytest.approx(tuple(map(float, first.ImagePositionPatient)))
    place = volume.grid.to_patient @ (0.5, 0.5, 2.5, 1.0)
    assert place[:3] == pytest.approx(list(map(float, third.ImagePositionPatient)))
    assert volume.grid.image_at(1.5, 2.5, 2.5) == (frames[2].source, 1.5, 2.5)
    assert volume.grid.image_at(1.5, 2.5, 5.0) is None


def test_slices_prepared_one_by_one_make_the_volume_that_is_prepared_whole(tmp_path: Path) -> None:
    paths = [write(tmp_path, str(n), noise(12, 10), InstanceNumber=n) for n in range(3)]
    steps = [("scale_percentile", {}), ("pad_square", {}), ("resize", {"shape": [7, 7]}), ("normalise", {})]
    frames = load_frames(paths)
    whole = apply(Volume.of(frames), *steps)
    joined = Volume.stacked([apply(Volume.of([frame]), *steps) for frame in frames])
    assert np.array_equal(whole.array, joined.array)
    assert np.array_equal(whole.grid.to_source, joined.grid.to_source)
    assert whole.grid.images == joined.grid.images


def test_slices_that_differ_are_no_volume(tmp_path: Path) -> None:
    paths = [write(tmp_path, "a", noise(8, 8), InstanceNumber=1), write(tmp_path, "b", noise(8, 9), InstanceNumber=2)]
    one, other = load_frames(paths)
    with pytest.raises(NoVolume, match="different shapes"):
        Volume.of([one, other])
    resize = ("resize", {"shape": [4, 4]})
    with pytest.raises(NoVolume, match="different matrices"):
        Volume.stacked([apply(Volume.of([frame]), resize) for frame in (one, other)])
    shifted = Volume.of([one])
    with pytest.raises(NoVolume, match="different parts"):
        Volume.stacked([shifted, shifted.moved(shifted.array, shift=(0, 0, 1))])


@pytest.mark.parametrize("name", STACKS)
def test_spacing_and_orientation_are_those_of_the_stack(name: str) -> None:
    grid = Grid((7, 12, 9), SourceStack.of(frames_of(STACKS[name])))
    assert grid.spacing == pytest.approx((STEP, 0.8, 0.6))  # along the normal, tilted or not
    assert grid.orientation == pytest.approx(STACKS[name] / np.linalg.norm(STACKS[name], axis=0))
    coarser = grid.moved((3, 4, 3), step_matrix((2.0, 3.0, 3.0)))
    assert coarser.spacing == pytest.approx((2 * STEP, 2.4, 1.8))


def test_a_grid_across_the_slices_says_so() -> None:
    across = np.eye(4)[[2, 1, 0, 3]]  # columns run along the slices
    grid = stack(np.zeros((3, 4, 5))).grid.moved((5, 4, 3), across)
    assert grid.images == images_of(3)
    assert grid.image_at(2.5, 1.0, 3.5) == (images_of(3)[2], 3.5, 1.0)
    for ask in ("slice_images", "box"):
        with pytest.raises(NoVolume):
            getattr(grid, ask)
    mirrored = stack(np.zeros((3, 4, 5))).grid.moved((3, 4, 5), step_matrix((1.0, 1.0, -1.0), (0.0, 0.0, 5.0)))
    assert mirrored.slice_images == images_of(3)
    with pytest.raises(NoVolume, match="rows and columns"):
        mirrored.box  # noqa: B018 - it raises


def test_images_are_those_whose_slices_are_there() -> None:
    volume = stack(np.zeros((4, 2, 2)))
    some = volume.moved(volume.array[:, 1:3], shift=(1.0, 0.0, 0.0))
    assert some.grid.images == some.grid.slice_images == images_of(4)[1:3]
    beyond = volume.moved(np.zeros((1, 6, 2, 2)), shift=(-1.0, 0.0, 0.0))
    assert beyond.grid.slice_images == (None, *images_of(4), None)
    assert beyond.by_slice("abcd") == list("aabcdd")
