"""A package that reads in tiles, from a network's tensors to the objects in the results folder."""

import shutil
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest

from shared.arrays import read_array
from shared.findings import Classification, HeatMap, Measurement, Segmentation, load_findings
from shared.study import RunState
from tests.at_work import AtWork, agrees, tiny_package, words_of
from tests.networks import of_mean, of_pixels
from tests.services.report.test_objects_are_valid import assert_valid
from tests.services.test_every_array import BY_SERIES, PARTS, SCALED, SCORES, VOLUME, explained, segmenter, slices

__all__ = ["slices"]
TILES = {"shape": [3, 10, 12], "overlap": 0.5, "blend": "gaussian", "at_once": 5}


@pytest.mark.triton
def test_segments_of_tiles_are_those_of_the_whole_on_a_real_triton(
    tmp_path: Path, slices: list[Path], opened: list[AtWork], triton_environment: Path
) -> None:
    """The network looks at each voxel alone, so tiles make no difference to it; it takes no other size than theirs."""
    fixed = BY_SERIES | {"image": (1, *TILES["shape"])}  # type: ignore[misc]
    network = of_pixels({"scores": SCORES}, ("s", "h", "w"))
    package = tiny_package(
        tmp_path / "packages",
        network,
        {"scores": [3, *TILES["shape"]]},
        [PARTS, VOLUME],
        tiles=TILES,
        **fixed,  # type: ignore[misc]
    )
    opened.append(work := AtWork(tmp_path, package, slices, triton_environment))
    run = work.read()
    assert run.state == RunState.READ, run.reason
    parts, size = load_findings(run.findings)
    assert isinstance(parts, Segmentation)
    assert isinstance(size, Measurement)
    bright = (3 * 10 * 8 + 4) * 5.0 * 2.0 * 2.0
    assert (parts.segments[1].volume_mm3, size.value) == (pytest.approx(bright), pytest.approx(bright / 1000))
    whole = AtWork(tmp_path / "whole", segmenter(tmp_path / "whole", ("s", "h", "w"), PARTS, **BY_SERIES), slices)
    opened.append(whole)
    (expected,) = load_findings(whole.read().findings)
    assert isinstance(expected, Segmentation)
    arrays = [read_array(w.core.data_dir, f.placed.array) for w, f in ((work, parts), (whole, expected))]
    assert np.array_equal(*arrays)
    folder = work.report()
    (path,) = folder.glob("SEG*.dcm")
    assert hd.seg.segread(path).get_volume(combine_segments=True).array.any()
    agrees(folder)


def scorer(folder: Path, tiles: dict[str, Any], kind: str = "binary", **more: Any) -> Any:
    """The mean of a tile, present from three quarters on."""
    output = {"name": "found", "tensor": "score", "kind": kind} | ({"threshold": 0.75} if kind == "binary" else {})
    network = of_mean(["score"], [1.0], [0.0])
    return tiny_package(
        folder / "packages", network, {"score": [1]}, [output], preprocess=SCALED, tiles=tiles, **more
    )  # fmt: skip


def test_the_tile_that_decided_is_where_it_looked(tmp_path: Path, slices: list[Path], opened: list[AtWork]) -> None:
    """Tiles of 5 by 8 that share nothing: those over the bright box, rows 4 to 14 and columns 16 to 24, are rows 5 to
    10 and columns 16 to 24 in whole."""
    package = scorer(tmp_path, {"shape": [5, 8], "overlap": 0.0, "combine": "max"})
    opened.append(work := AtWork(tmp_path, package, slices))
    assert work.read().state == RunState.READ, work.run().reason
    found = [f for f in load_findings(work.run().findings) if isinstance(f, Classification)]
    assert [f.present for f in found] == [False, True, True, True]
    assert [f.regions for f in found if not f.present] == [()]
    for finding in found[1:]:
        (region,) = finding.regions
        assert (region.image, region.window) == (finding.sources[0], True)
        assert region.points == ((16, 5), (24, 5), (24, 10), (16, 10), (16, 5))
    folder = work.report()
    assert not list(folder.glob("SEG*.dcm")), "a tile is no outline of what was found"
    report = hd.sr.srread(next(folder.glob("SR*.dcm")))
    placed = report.content.get_planar_roi_measurement_groups()
    assert len(placed) == 3
    for group in placed:
        names = {m.name.meaning for m in group.get_measurements()}
        assert "Area" not in names, "nor is its area that of what was found"
    agrees(folder)


def test_of_a_series_the_tile_is_drawn_on_its_middle_image(
    tmp_path: Path, slices: list[Path], opened: list[AtWork]
) -> None:
    network = of_pixels({"map": ([1.0], [0.0])}, ("s", "h", "w"), mean_of={"map": "mean"})
    output = {"name": "found", "tensor": "mean", "kind": "regression"}
    tiles = {"shape": [3, 5, 8], "overlap": 0.0, "combine": "max"}
    tensors = {"map": [1, -1, -1, -1], "mean": [1, 1, 1, 1]}
    package = tiny_package(tmp_path / "packages", network, tensors, [output], tiles=tiles, **BY_SERIES)
    opened.append(work := AtWork(tmp_path, package, slices))
    assert work.read().state == RunState.READ, work.run().reason
    (found,) = load_findings(work.run().findings)
    assert isinstance(found, Measurement)
    (region,) = found.regions
    uids = [pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID for path in slices]
    assert (found.value, uids.index(region.image.sop_instance_uid)) == (1.0, 2), "slices 1 to 3 are bright"
    assert region.label == "tile of 3 images"
    folder = work.report()
    assert "found tile of 3 images" in words_of(folder)
    agrees(folder)


def test_a_map_of_tiles_lies_over_the_whole_series(tmp_path: Path, slices: list[Path], opened: list[AtWork]) -> None:
    tiles = {"shape": [2, 12, 16], "overlap": 0.25, "combine": "mean"}
    opened.append(work := AtWork(tmp_path, explained(tmp_path, tiles=tiles, **BY_SERIES), slices))
    assert work.read().state == RunState.READ, work.run().reason
    found, heat = load_findings(work.run().findings)
    assert isinstance(found, Classification)
    assert isinstance(heat, HeatMap)
    assert heat.placed.array.shape == (4, 24, 32)
    assert found.regions == (), "of a mean no tile is the one"
    values = read_array(work.core.data_dir, heat.placed.array)
    assert values[1, 4:14, 16:24] == pytest.approx(1.0, abs=1e-5)
    assert values[0, 4:14, 16:24].max() < 1e-5
    agrees(work.report())


def test_a_validator_finds_no_error(tmp_path: Path, slices: list[Path], opened: list[AtWork]) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed")
    opened.append(work := AtWork(tmp_path, scorer(tmp_path, {"shape": [5, 8], "combine": "top:2"}), slices))
    assert work.read().state == RunState.READ
    assert_valid(sorted(work.report().glob("*.dcm")))
