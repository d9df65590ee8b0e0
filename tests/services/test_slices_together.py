"""A network that segments single slices, on a series whose slices lie evenly: one segmentation, with its volume."""

import shutil
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest

from services.infer import slices_together
from shared.arrays import read_array
from shared.findings import Finding, HeatMap, Measurement, NotSure, Segmentation, load_findings
from shared.study import RunState
from tests.at_work import CODE, AtWork, agrees, tiny_package, words_of
from tests.networks import of_pixels
from tests.services.report.test_objects_are_valid import assert_valid
from tests.services.test_every_array import LABELS, PARTS, SCALED, SCORES, VOLUME, arrays, segmenter, slices

__all__ = ["slices"]
AREA: dict[str, Any] = VOLUME | {"name": "area", "unit": "mm2", "code": CODE | {"value": "area", "meaning": "Its area"}}
PIXEL, STEP = 2.0 * 2.0, 5.0
BRIGHT = [1, 81, 81, 81]
"""Bright pixels of each slice: one in the corner, and a box of ten rows and eight columns but in the first."""


def read(work: AtWork) -> list[Finding]:
    run = work.read()
    assert run.state == RunState.READ, run.reason
    return load_findings(run.findings)


def only(found: list[Finding], name: str) -> list[Any]:
    return [finding for finding in found if finding.name == name]


@pytest.mark.triton
def test_segments_of_single_slices_are_one_segmentation_of_the_series(
    tmp_path: Path, slices: list[Path], opened: list[AtWork], triton_environment: Path
) -> None:
    package = segmenter(tmp_path, ("h", "w"), PARTS, VOLUME, AREA, preprocess=SCALED)
    opened.append(work := AtWork(tmp_path, package, slices, triton_environment))
    found = read(work)
    (parts,), (size,) = only(found, "parts"), only(found, "size")
    assert [f.value for f in only(found, "area")] == pytest.approx([count * PIXEL for count in BRIGHT])
    assert parts.segments[1].volume_mm3 == pytest.approx(sum(BRIGHT) * PIXEL * STEP)
    assert parts.segments[1].areas_mm2 == pytest.approx([count * PIXEL for count in BRIGHT])
    assert parts.segments[1].area_mm2 is None
    assert (size.value, len(size.sources)) == (pytest.approx(sum(BRIGHT) * PIXEL * STEP / 1000), 4)
    uids = [pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID for path in slices]
    assert [image.sop_instance_uid for image in parts.placed.images] == uids
    assert arrays(work) == ["parts_1.npz"]
    array = read_array(work.core.data_dir, parts.placed.array)
    assert np.bincount(np.argwhere(array == 2)[:, 0]).tolist() == BRIGHT
    folder = work.report()
    (path,) = folder.glob("SEG*.dcm")
    volume = hd.seg.segread(path).get_volume(combine_segments=True)
    assert int((volume.array == 2).sum()) == sum(BRIGHT)
    assert np.prod(volume.spacing) == pytest.approx(PIXEL * STEP)
    assert "Size of what is bright" in words_of(folder)
    agrees(folder)


def test_it_is_what_a_package_that_reads_the_series_at_once_says(
    tmp_path: Path, slices: list[Path], opened: list[AtWork]
) -> None:
    by_image = AtWork(tmp_path / "a", segmenter(tmp_path / "a", ("h", "w"), PARTS, preprocess=SCALED), slices)
    whole = {"grouping": {"by": "series"}, "image": (1, -1, -1, -1), "preprocess": SCALED}
    by_series = AtWork(tmp_path / "b", segmenter(tmp_path / "b", ("s", "h", "w"), PARTS, **whole), slices)
    opened.extend([by_image, by_series])
    (one,), (other,) = read(by_image), read(by_series)
    assert isinstance(one, Segmentation)
    assert isinstance(other, Segmentation)
    assert one.placed.images == other.placed.images
    assert [s.volume_mm3 for s in one.segments] == pytest.approx([s.volume_mm3 for s in other.segments])
    kept = [read_array(w.core.data_dir, f.placed.array) for w, f in ((by_image, one), (by_series, other))]
    assert np.array_equal(*kept)


def move_last(paths: list[Path]) -> None:
    ds = pydicom.dcmread(paths[-1])
    ds.ImagePositionPatient = [*ds.ImagePositionPatient[:2], float(ds.ImagePositionPatient[2]) + 7.0]
    ds.save_as(paths[-1])


def test_slices_without_even_places_stay_image_by_image(
    tmp_path: Path, slices: list[Path], opened: list[AtWork]
) -> None:
    move_last(slices)
    package = segmenter(tmp_path, ("h", "w"), PARTS, preprocess=SCALED)
    opened.append(work := AtWork(tmp_path, package, slices))
    found = read(work)
    assert [f.segments[1].area_mm2 for f in found if isinstance(f, Segmentation)] == [n * PIXEL for n in BRIGHT]
    assert len(arrays(work)) == 4
    folder = work.report()
    assert len(list(folder.glob("SEG*.dcm"))) == 4
    agrees(folder)


def test_a_volume_of_slices_without_even_places_is_refused(
    tmp_path: Path, slices: list[Path], opened: list[AtWork]
) -> None:
    move_last(slices)
    opened.append(work := AtWork(tmp_path, segmenter(tmp_path, ("h", "w"), PARTS, VOLUME, preprocess=SCALED), slices))
    run = work.read()
    assert (run.state, "a volume is of an even stack" in run.reason) == (RunState.FAILING, True), run.reason


def test_what_is_larger_than_can_be_held_stays_image_by_image(
    tmp_path: Path, slices: list[Path], opened: list[AtWork], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices_together, "MOST_BYTES", 2 * 4 * 24 * 32 - 1)
    opened.append(work := AtWork(tmp_path, segmenter(tmp_path, ("h", "w"), PARTS, preprocess=SCALED), slices))
    assert len(read(work)) == 4


def test_where_it_is_not_sure_of_a_slice_there_is_no_volume(
    tmp_path: Path, slices: list[Path], opened: list[AtWork]
) -> None:
    """It is as sure as the slice is bright: of the first it is not."""
    unsure = PARTS | {"confidence_tensor": "sure", "minimum_confidence": 0.2}
    network = of_pixels({"scores": SCORES, "same": ([1.0], [0.0])}, mean_of={"same": "sure"})
    tensors = {"scores": [3, -1, -1], "same": [1, -1, -1], "sure": [1, 1, 1]}
    package = tiny_package(tmp_path / "packages", network, tensors, [unsure, VOLUME], preprocess=SCALED)
    opened.append(work := AtWork(tmp_path, package, slices))
    found = read(work)
    assert [type(f) for f in only(found, "parts")] == [NotSure, Segmentation, Segmentation, Segmentation]
    (size,) = only(found, "size")
    assert isinstance(size, NotSure)
    assert len(arrays(work)) == 3
    agrees(work.report())


def test_labels_that_may_overlap_are_put_together_each_and_maps_stay(
    tmp_path: Path, slices: list[Path], opened: list[AtWork]
) -> None:
    judged = PARTS | {"activation": "sigmoid", "tensor": "scores", "labels": LABELS}
    mean = {"name": "found", "tensor": "mean", "kind": "regression"}
    network = of_pixels(
        {"scores": ([8.0, 8.0], [-2.0, -6.0]), "map": ([1.0], [0.0])}, mean_of={"map": "mean"}
    )  # fmt: skip
    tensors = {"scores": [2, -1, -1], "map": [1, -1, -1], "mean": [1, 1, 1]}
    why = {"kind": "attribution_map", "tensor": "map"}
    package = tiny_package(
        tmp_path / "packages", network, tensors, [mean, judged], preprocess=SCALED, explanation=why
    )  # fmt: skip
    opened.append(work := AtWork(tmp_path, package, slices))
    found = read(work)
    assert [f.name for f in found if isinstance(f, Segmentation)] == ["parts.grey", "parts.bright"]
    assert [len(f.placed.images) for f in found if isinstance(f, Segmentation)] == [4, 4]
    assert sum(isinstance(f, HeatMap) for f in found) == sum(isinstance(f, Measurement) for f in found) == 4
    agrees(work.report())


def test_a_validator_finds_no_error(tmp_path: Path, slices: list[Path], opened: list[AtWork]) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed")
    opened.append(work := AtWork(tmp_path, segmenter(tmp_path, ("h", "w"), PARTS, VOLUME, preprocess=SCALED), slices))
    read(work)
    assert_valid(sorted(work.report().glob("*.dcm")))


def test_a_single_film_stays_as_it_is(tmp_path: Path, films: list[Path], opened: list[AtWork]) -> None:
    opened.append(work := AtWork(tmp_path, segmenter(tmp_path, ("h", "w"), PARTS, preprocess=SCALED), films))
    (parts,) = read(work)
    assert isinstance(parts, Segmentation)
    assert parts.segments[0].area_mm2
    assert parts.segments[0].areas_mm2 == ()
