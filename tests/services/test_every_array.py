"""Outputs that are kept as arrays, from a network's tensor to the objects in the results folder; and what becomes of
the arrays when the run is read again or its results are removed."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pytest
from sqlmodel import select

from shared.arrays import read_array
from shared.findings import Embedding, Measurement, Segmentation, load_findings
from shared.keeping.removal import remove_of_study
from shared.keeping.rules import Rule
from shared.phantoms.dicom import BRAIN_PATIENT, Visit, mr_series
from shared.store import Delivery, Run, Study, utc_now
from shared.study import RunState
from tests.at_work import CODE, AtWork, agrees, tiny_package, words_of
from tests.networks import of_pixels

LABELS = [
    {"name": name, "code": CODE | {"value": name, "meaning": name.title()}, "colour": colour}
    for name, colour in (("grey", "#56b4e9"), ("bright", "#ee6e32"))
]
PARTS = {"name": "parts", "tensor": "scores", "kind": "segment", "labels": LABELS, "activation": "softmax"}
# of a pixel from 0 to 1: the background below a quarter, bright from three quarters on
SCORES = ([0.0, 4.0, 8.0], [0.0, -1.0, -4.0])
SCALED = [{"step": "scale_percentile", "percentile": 100.0}]
VOLUME: dict[str, Any] = {
    "name": "size", "tensor": "scores", "kind": "measurement", "of": "parts.bright", "unit": "mL",
    "code": CODE | {"value": "size", "meaning": "Size of what is bright"},
}  # fmt: skip
BY_SERIES: dict[str, Any] = {"grouping": {"by": "series"}, "image": (1, -1, -1, -1), "preprocess": SCALED}


@pytest.fixture
def slices(tmp_path: Path) -> list[Path]:
    """Four slices of 24 rows and 32 columns, grey on the left and bright in a box of 3 slices, 10 rows, 8 columns."""
    volume = np.zeros((4, 24, 32), np.float32)
    volume[:, :, :12], volume[1:, 4:14, 16:24], volume[:, 0, 0] = 0.5, 1.0, 1.0
    made = mr_series(volume, Visit(BRAIN_PATIENT, "ACC-MR"), spacing_mm=(5.0, 2.0))
    for number, ds in enumerate(made):
        ds.save_as(tmp_path / f"slice{number}.dcm", enforce_file_format=True)
    return sorted(tmp_path.glob("slice*.dcm"))


def segmenter(folder: Path, axes: tuple[str, ...], *outputs: dict[str, Any], **more: Any) -> Any:
    network = of_pixels({"scores": SCORES}, axes)
    return tiny_package(folder / "packages", network, {"scores": [3, *[-1] * len(axes)]}, outputs, **more)


def test_segments_of_a_series_reach_seg_and_report_with_their_volumes(
    tmp_path: Path, slices: list[Path], opened: list[AtWork]
) -> None:
    package = segmenter(tmp_path, ("s", "h", "w"), PARTS, VOLUME, **BY_SERIES)
    opened.append(work := AtWork(tmp_path, package, slices))
    run = work.read()
    assert run.state == RunState.READ, run.reason
    parts, size = load_findings(run.findings)
    assert isinstance(parts, Segmentation)
    assert isinstance(size, Measurement)
    bright = (3 * 10 * 8 + 4) * 5.0 * 2.0 * 2.0
    assert parts.segments[1].volume_mm3 == pytest.approx(bright)
    assert size.value == pytest.approx(bright / 1000)
    folder = work.report()
    assert "no SEG" not in work.run().reason
    (path,) = folder.glob("SEG*.dcm")
    pixels = hd.seg.segread(path).get_volume(combine_segments=True).array
    array = read_array(work.core.data_dir, parts.placed.array)
    assert sorted(np.bincount(pixels.reshape(-1)).tolist()) == sorted(np.bincount(array.reshape(-1)).tolist())
    assert "Size of what is bright" in words_of(folder)
    agrees(folder)


def test_segments_of_a_film_have_areas(tmp_path: Path, films: list[Path], opened: list[AtWork]) -> None:
    resized = [*SCALED, {"step": "pad_square"}, {"step": "resize", "shape": [48, 48]}]
    package = segmenter(tmp_path, ("h", "w"), PARTS, preprocess=resized)
    opened.append(work := AtWork(tmp_path, package, films))
    run = work.read()
    assert run.state == RunState.READ, run.reason
    (parts,) = load_findings(run.findings)
    assert isinstance(parts, Segmentation)
    assert parts.placed.array.shape == (1, 96, 80)
    assert all(part.area_mm2 and part.volume_mm3 is None for part in parts.segments)
    folder = work.report()
    assert len(list(folder.glob("SEG*.dcm"))) == len(list(folder.glob("SC*.dcm"))) == 1
    agrees(folder)


def test_a_fading_segment_is_kept_as_probabilities(tmp_path: Path, slices: list[Path], opened: list[AtWork]) -> None:
    output = PARTS | {"labels": LABELS[:1], "activation": "none", "fractional": True}
    network = of_pixels({"scores": ([1.0], [0.0])}, ("s", "h", "w"))
    package = tiny_package(tmp_path / "packages", network, {"scores": [1, -1, -1, -1]}, [output], **BY_SERIES)
    opened.append(work := AtWork(tmp_path, package, slices))
    assert work.read().state == RunState.READ, work.run().reason
    folder = work.report()
    (path,) = folder.glob("SEG*.dcm")
    assert hd.seg.segread(path).segmentation_type == hd.seg.SegmentationTypeValues.FRACTIONAL
    agrees(folder)


def explained(folder: Path, **more: Any) -> Any:
    """A classification by the mean of a map that is the image itself."""
    network = of_pixels({"map": ([1.0], [0.0])}, ("s", "h", "w"), mean_of={"map": "mean"})
    said = {"name": "found", "tensor": "mean", "kind": "binary", "threshold": 0.01}
    tensors = {"map": [1, -1, -1, -1], "mean": [1, 1, 1, 1]}
    return tiny_package(
        folder / "packages", network, tensors, [said], explanation={"kind": "attribution_map", "tensor": "map"}, **more
    )


def test_a_map_shows_why_in_report_picture_and_parametric_map(
    tmp_path: Path, slices: list[Path], opened: list[AtWork]
) -> None:
    opened.append(work := AtWork(tmp_path, explained(tmp_path, **BY_SERIES), slices))
    run = work.read()
    assert run.state == RunState.READ, run.reason
    assert [finding.kind for finding in load_findings(run.findings)] == ["classification", "heat_map"]
    folder = work.report()
    assert len(list(folder.glob("PM*.dcm"))) == 1
    assert len(list(folder.glob("SC*.dcm"))) == 2
    assert "found_map" in words_of(folder)
    agrees(folder)


def test_an_image_is_told_and_an_embedding_reaches_no_object(
    tmp_path: Path, films: list[Path], opened: list[AtWork]
) -> None:
    network = of_pixels({"clean": ([2.0], [1.0])}, mean_of={"clean": "vector"})
    image = {"name": "clean", "tensor": "clean", "kind": "image", "range": [0, 4], "code": CODE | {"meaning": "Clean"}}
    vector = {"name": "vector", "tensor": "vector", "kind": "embedding", "code": CODE | {"meaning": "Never in DICOM"}}
    tensors = {"clean": [1, -1, -1], "vector": [1, 1, 1]}
    package = tiny_package(tmp_path / "packages", network, tensors, [image, vector], preprocess=SCALED)
    opened.append(work := AtWork(tmp_path, package, films))
    run = work.read()
    assert run.state == RunState.READ, run.reason
    clean, embedding = load_findings(run.findings)
    assert isinstance(embedding, Embedding)
    assert clean.kind == "derived_image"
    assert read_array(work.core.data_dir, embedding.array).shape == (1,)
    folder = work.report()
    assert "Clean" in words_of(folder)
    assert not any(b"Never in DICOM" in path.read_bytes() for path in folder.iterdir() if path.suffix != ".npz")


@pytest.mark.parametrize(
    ("bias", "reason"), [(float("nan"), "not finite"), (9.0, "outside 0 to 4")], ids=["not finite", "out of range"]
)
def test_an_image_that_makes_no_sense_ends_the_run(
    tmp_path: Path, films: list[Path], opened: list[AtWork], bias: float, reason: str
) -> None:
    image = {"name": "clean", "tensor": "clean", "kind": "image", "range": [0, 4]}
    network = of_pixels({"clean": ([2.0], [bias])})
    package = tiny_package(tmp_path / "packages", network, {"clean": [1, -1, -1]}, [image], preprocess=SCALED)
    opened.append(work := AtWork(tmp_path, package, films))
    run = work.read()
    assert (run.state, reason in run.reason) == (RunState.FAILING, True), run.reason
    assert arrays(work) == []


def arrays(work: AtWork) -> list[str]:
    return sorted(path.name for path in work.core.results_dir.rglob("*.npz"))


def again(work: AtWork) -> Run:
    """The run, made ready to be read once more."""
    with work.book.write() as session:
        run = session.exec(select(Run)).one()
        run.state, run.next_at, run.lease_until = RunState.READY, None, None
        session.add(run)
    return work.read()


def spoil(work: AtWork) -> None:
    (path,) = work.core.store_dir.rglob("*.dcm")
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(("before", "left"), [(lambda _: None, ["parts_1.npz"]), (spoil, [])], ids=["read", "dead"])
def test_a_replay_leaves_no_array_that_nothing_names(
    tmp_path: Path, films: list[Path], opened: list[AtWork], before: Callable[[AtWork], None], left: list[str]
) -> None:
    package = segmenter(tmp_path, ("h", "w"), PARTS, preprocess=SCALED)
    opened.append(work := AtWork(tmp_path, package, films))
    run = work.read()
    folder = work.core.results_dir / run.study_instance_uid / run.id
    (folder / "earlier_1.npz").write_bytes(b"of a reading that said more")
    before(work)
    again(work)
    assert arrays(work) == left


def test_retention_removes_arrays_with_the_other_results(
    tmp_path: Path, films: list[Path], opened: list[AtWork]
) -> None:
    package = segmenter(tmp_path, ("h", "w"), PARTS, preprocess=SCALED)
    opened.append(work := AtWork(tmp_path, package, films))
    work.read()
    work.report()
    assert arrays(work) == ["parts_1.npz"]
    with work.book.write() as session:
        for table in (Study, Run, Delivery):
            for row in session.exec(select(table)):
                row.state = "delivered"
                session.add(row)
        study = session.exec(select(Study)).one()
        study.settled_at = utc_now() - timedelta(days=40)
    rule = Rule(name="old", remove="results", states=["delivered"], after_days=30)
    assert remove_of_study(work.book, work.core, study.study_instance_uid, rule)
    assert not [path for path in work.core.results_dir.rglob("*") if path.is_file()]
