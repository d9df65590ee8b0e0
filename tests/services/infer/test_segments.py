"""Segments: which pixels are what, on the source, with true sizes; and measurements of them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from services.infer.handlers import findings_of
from shared.findings import ArrayFile, Finding, Measurement, NotSure, Segmentation
from shared.imaging.grid import SourceStack
from shared.inference import Reading, Unreadable
from shared.packages.folder import Package
from shared.packages.manifest import GroupingTable, Manifest
from tests.readings import grid_on
from tests.services.infer.readings import CODE, IMAGE, package, reading

NAMES = ("lung", "heart")
LABELS = [{"name": name, "code": CODE | {"scheme": "99ISO", "meaning": name}, "colour": "#56b4e9"} for name in NAMES]
PARTS: dict[str, Any] = {"name": "parts", "kind": "segment", "labels": LABELS}
ONE = PARTS | {"labels": LABELS[:1]}


class Kept(dict[str, NDArray[Any]]):
    """What was kept, by name."""

    def __call__(self, name: str, array: NDArray[Any]) -> ArrayFile:
        self[name] = array
        return ArrayFile(path=name, digest="sha256:0", shape=array.shape, dtype=str(array.dtype))


def on_image(values: Any, spacing: tuple[float, float] | None = (2.0, 0.5), **more: Any) -> Reading:
    """An image of 4 rows and 6 columns, of which the model saw rows 1 to 3 and columns 2 to 6."""
    grid = grid_on(IMAGE, shape=(4, 6), box=(2.0, 1.0, 6.0, 3.0), spacing=spacing)
    arrays = {"logit": values, **more}
    return Reading(grid, False, {name: np.asarray(value, np.float32) for name, value in arrays.items()})


def segmentations(found: list[Finding]) -> list[Segmentation]:
    return [finding for finding in found if isinstance(finding, Segmentation)]


def test_the_likeliest_channel_counts_and_the_first_is_the_background() -> None:
    scores = np.zeros((3, 2, 4))
    scores[1, 0, :3] = scores[2, 1, 3] = 5.0
    kept = Kept()
    (found,) = segmentations(findings_of(package(PARTS | {"activation": "softmax"}), on_image(scores - 1.0), kept))
    expected = np.zeros((1, 4, 6), np.uint8)
    expected[0, 1, 2:5], expected[0, 2, 5] = 1, 2
    assert np.array_equal(kept["parts"], expected)
    assert (kept["parts"].dtype, found.fractional, found.placed.images) == (np.uint8, False, (IMAGE,))
    assert [(s.number, s.name, s.colour, s.area_mm2, s.volume_mm3) for s in found.segments] == [
        (1, "lung", "#56b4e9", 3.0, None), (2, "heart", "#56b4e9", 1.0, None),
    ]  # fmt: skip


def test_without_a_background_each_pixel_is_something() -> None:
    kept, scores = Kept(), np.zeros((2, 2, 4))
    scores[1, :, 2:] = 1.0
    findings_of(package(PARTS | {"activation": "softmax"}), on_image(scores), kept)
    assert kept["parts"][0, 1:3, 2:].tolist() == [[1, 1, 2, 2]] * 2


def test_labels_that_are_judged_by_themselves_may_overlap() -> None:
    logits = np.full((2, 2, 4), -1.0)
    logits[0], logits[1, 0] = 1.0, 1.0
    high = PARTS | {"activation": "sigmoid", "labels": [LABELS[0], LABELS[1] | {"threshold": 0.9}]}
    kept = Kept()
    found = segmentations(findings_of(package(high), on_image(logits), kept))
    assert [(f.name, f.code.meaning, [s.name for s in f.segments]) for f in found] == [
        ("parts.lung", "Opacity", ["lung"]), ("parts.heart", "Opacity", ["heart"]),
    ]  # fmt: skip
    assert [int(kept[f.name].sum()) for f in found] == [8, 0]
    findings_of(package(PARTS | {"activation": "sigmoid"}), on_image(logits), kept)
    assert kept["parts.heart"][0, 1].tolist() == [0, 0, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("output", "values"),
    [
        ({"activation": "sigmoid"}, np.log([[0.25, 0.75, 0.5, 0.4]] * 2) - np.log([[0.75, 0.25, 0.5, 0.6]] * 2)),
        ({}, [[0.25, 0.75, 0.5, 0.4]] * 2),
        ({"activation": "softmax"}, np.log([[[0.75, 0.25, 0.5, 0.6]] * 2, [[0.25, 0.75, 0.5, 0.4]] * 2])),
    ],
)
def test_one_label_may_be_kept_as_probabilities(output: dict[str, Any], values: Any) -> None:
    kept = Kept()
    (found,) = segmentations(findings_of(package(ONE | {"fractional": True} | output), on_image(values), kept))
    assert kept["parts"].dtype == np.float32
    assert kept["parts"][0, 1] == pytest.approx([0, 0, 0.25, 0.75, 0.5, 0.4])
    assert found.fractional
    assert found.segments[0].area_mm2 == 4.0


def by_series(*outputs: dict[str, Any]) -> Package:
    made = package(*outputs)
    return Package(made.folder, made.manifest.model_copy(update={"grouping": GroupingTable(by="series")}))


def stack(values: Any, spacing: tuple[float | None, float, float] | None = (2.5, 2.0, 0.5)) -> Reading:
    """Three slices of 4 rows and 6 columns."""
    images = tuple(IMAGE.model_copy(update={"sop_instance_uid": f"1.2.{n}"}) for n in range(3))
    grid = grid_on(*images, shape=(4, 6))
    source = SourceStack(grid.source.shape, images, spacing)
    return Reading(replace(grid, source=source), False, {"logit": np.asarray(values, np.float32)})


def test_a_series_has_volumes_where_its_slices_have_even_places() -> None:
    scores = np.zeros((3, 3, 4, 6))
    scores[1, 1], scores[2, 2, 0] = 1.0, 1.0
    made = by_series(PARTS | {"activation": "softmax"})
    (found,) = segmentations(findings_of(made, stack(scores), Kept()))
    assert [(s.volume_mm3, s.area_mm2) for s in found.segments] == [(24 * 2.5, None), (6 * 2.5, None)]
    assert len(found.placed.images) == 3
    (found,) = segmentations(findings_of(made, stack(scores, (None, 2.0, 0.5)), Kept()))
    assert [(s.volume_mm3, s.area_mm2) for s in found.segments] == [(None, None)] * 2


def size(of: str, unit: str, **more: Any) -> dict[str, Any]:
    return {"name": "size", "kind": "measurement", "of": of, "unit": unit, **more}


def test_a_measurement_is_the_segment_s_size_in_its_unit() -> None:
    scores = np.zeros((3, 3, 4, 6))
    scores[1, 1], scores[2, 2, 0] = 1.0, 1.0
    made = by_series(size("parts.heart", "mL"), PARTS | {"activation": "softmax"})
    found, segmentation = findings_of(made, stack(scores), Kept())
    assert isinstance(found, Measurement)
    assert (found.value, found.unit, found.of, found.geometry) == (pytest.approx(0.015), "mL", "parts", "volume")
    assert isinstance(segmentation, Segmentation)
    flat = np.zeros((2, 2, 4))
    flat[1, 0] = 1.0
    area, _ = findings_of(package(size("parts", "cm2"), ONE | {"activation": "softmax"}), on_image(flat), Kept())
    assert isinstance(area, Measurement)
    assert (area.value, area.geometry) == (pytest.approx(0.04), "area")


def test_a_size_that_is_not_known_is_not_told() -> None:
    made = package(size("parts", "mm2"), ONE)
    with pytest.raises(Unreadable, match="can't be measured in mm2: an area is of a single image with a pixel spacing"):
        findings_of(made, on_image(np.zeros((2, 4)), spacing=None), Kept())
    with pytest.raises(Unreadable, match="a volume is of an even stack"):
        findings_of(package(size("parts", "mm3"), ONE), on_image(np.zeros((2, 4))), Kept())
    with pytest.raises(Unreadable, match="size is 8, outside 10 to 20"):
        findings_of(package(size("parts", "mm2", range=[10, 20]), ONE), on_image(np.ones((2, 4))), Kept())


def test_a_size_of_what_is_silent_is_silent() -> None:
    unsure = ONE | {"confidence_tensor": "sure", "minimum_confidence": 0.5}
    found = findings_of(package(size("parts", "mm2"), unsure), on_image(np.ones((2, 4)), sure=0.25), Kept())
    assert [(f.name, f.confidence) for f in found if isinstance(f, NotSure)] == [("size", 0.25), ("parts", 0.25)]


@pytest.mark.parametrize(
    ("output", "values", "said"),
    [
        (PARTS | {"activation": "sigmoid"}, np.zeros((3, 2, 4)), r"\[3, 2, 4\] a row; 2 × n × n was due"),
        (PARTS, np.zeros((2, 4)), "2 × n × n or 3 × n × n was due"),
        (PARTS, np.full((2, 2, 4), 1.5), "a probability of parts is 1.5"),
        (ONE | {"fractional": True}, np.full((2, 4), -1.0), "a probability of parts is -1"),
    ],
)
def test_what_are_no_segments_is_refused(output: dict[str, Any], values: Any, said: str) -> None:
    with pytest.raises(Unreadable, match=said):
        findings_of(package(output), on_image(values), Kept())


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (size("parts", "mm"), "a measurement of a segment has a unit of mm2, cm2"),
        (size("parts", "mm2"), "names no label: write 'parts.lung'"),
        (size("parts.kidney", "mm2"), "names no label"),
        (PARTS | {"name": "other", "fractional": True}, "with one label"),
    ],
)
def test_a_manifest_that_makes_no_sense_is_told(output: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        package(PARTS, output)
    assert isinstance(package(PARTS).manifest, Manifest)


def test_arrays_are_not_lost_where_nobody_keeps_them() -> None:
    with pytest.raises(Unreadable, match="can't be kept here"):
        findings_of(package(ONE), reading(logit=np.zeros((8, 8))))
