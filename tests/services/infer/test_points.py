"""Points come back to the source image, and the number is that of the lines as they are kept."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.infer.handlers import findings_of
from shared.findings import Landmark, Measurement, NotSure, SourceImage
from shared.geometry import angle_between_lines, in_mm
from shared.inference import Reading, Unreadable
from shared.packages.folder import Package
from shared.packages.manifest import Manifest
from tests.readings import grid_on

IMAGE = SourceImage(series_instance_uid="1.1", sop_instance_uid="1.2", sop_class_uid="1.3")
ANGLE: dict[str, Any] = {
    "name": "angle", "tensor": "points", "kind": "measurement", "geometry": "angle", "unit": "deg", "range": [0, 180],
    "code": {"value": "285285000", "scheme": "SCT", "meaning": "Cobb angle"},
}  # fmt: skip
LINES = [[100.0, 100.0], [200.0, 100.0], [100.0, 300.0], [200.0, 200.0]]


def package(**output: Any) -> Package:
    manifest = {
        "schema": 2, "selector": {}, "tensors": {"inputs": [{"name": "image", "shape": [1, 512, 512]}]},
        "package": {"name": "spine", "version": "1.0.0", "kind": "reader", "title": "t", "intended_use": "i"},
        "outputs": [{**ANGLE, **output}],
    }  # fmt: skip
    return Package(Path("spine"), Manifest.model_validate(manifest))


def reading(
    points: Any = LINES, spacing: tuple[float, float] | None = (1.0, 1.0), confidence: float | None = None
) -> Reading:
    """An image of 200 rows and 100 columns that lies in the middle of an input of 512 x 512, 2.56 times as large."""
    outputs = {"points": np.asarray(points, np.float32)}
    if confidence is not None:
        outputs["sure"] = np.array([confidence], np.float32)
    grid = grid_on(IMAGE, shape=(200, 100), box=(-50.0, 0.0, 150.0, 200.0), size=(512, 512), spacing=spacing)
    return Reading(grid, False, outputs)


def measurement(of: Package, said: Reading) -> Measurement:
    (finding,) = findings_of(of, said)
    assert isinstance(finding, Measurement)
    return finding


def test_an_angle_is_that_of_its_lines_on_the_source_image() -> None:
    points = [[192.0, 128.0], [320.0, 128.0], [192.0, 384.0], [320.0, 256.0]]
    finding = measurement(package(), reading(points))
    upper, lower = finding.regions
    assert (upper.label, lower.label) == ("upper", "lower")
    assert upper.points == ((25.0, 50.0), (75.0, 50.0))
    assert lower.points == ((25.0, 150.0), (75.0, 100.0))
    assert finding.value == pytest.approx(45.0)
    assert (finding.geometry, finding.unit, finding.confidence) == ("angle", "deg", None)


@pytest.mark.parametrize("spacing", [(1.0, 0.5), (0.4, 0.8), None])
def test_unequal_pixels_count_in_mm_and_unknown_ones_as_square(spacing: tuple[float, float] | None) -> None:
    points = [[192.0, 128.0], [320.0, 128.0], [192.0, 384.0], [320.0, 256.0]]
    finding = measurement(package(), reading(points, spacing))
    lines = [in_mm(region.points, spacing or (1.0, 1.0)) for region in finding.regions]
    assert finding.value == pytest.approx(angle_between_lines(*lines))
    steps = spacing or (1.0, 1.0)
    assert finding.value == pytest.approx(np.degrees(np.arctan2(50 * steps[0], 50 * steps[1])))


def test_a_line_that_leaves_the_image_is_cut_where_it_does_and_keeps_its_direction() -> None:
    finding = measurement(package(), reading([[0.0, 0.0], [512.0, 512.0], [192.0, 256.0], [320.0, 256.0]]))
    assert finding.regions[0].points == ((0.0, 50.0), (100.0, 150.0))
    assert finding.value == pytest.approx(45.0)


@pytest.mark.parametrize(
    ("output", "points", "value"),
    [
        ({"geometry": "length", "unit": "mm"}, [[192, 128], [320, 128]], 50 * 0.5),
        ({"geometry": "length", "unit": "cm"}, [[192, 128], [192, 384]], 100 * 2.0 / 10),
        ({"geometry": "area", "unit": "mm2"}, [[192, 128], [320, 128], [320, 384]], 0.5 * 25 * 200),
    ],
)
def test_lengths_and_areas_need_the_size_of_the_pixels(output: dict[str, Any], points: Any, value: float) -> None:
    of = package(**output, range=None)
    assert measurement(of, reading(points, (2.0, 0.5))).value == pytest.approx(value)
    with pytest.raises(Unreadable, match="no pixel spacing"):
        findings_of(of, reading(points, None))
    with pytest.raises(Unreadable, match="beyond the image"):
        findings_of(of, reading(np.array(points) - 150, (2.0, 0.5)))


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ([[0.0, 0.0]] * 3, r"has shape \[3, 2\] a row; 4 × 2 or 4 × 3 was due"),
        ([0.0] * 8, r"has shape \[8\] a row; 4 × 2"),
        ([[150.0, 9.0], [150.0, 9.0], [150.0, 9.0], [200.0, 9.0]], "has no length"),
        ([[0.0, 9.0], [20.0, 9.0], [192.0, 256.0], [320.0, 256.0]], "beyond the image"),
    ],
)
def test_points_that_make_no_lines_are_refused(points: Any, words: str) -> None:
    with pytest.raises(Unreadable, match=words):
        findings_of(package(), reading(points))


def test_a_number_out_of_the_manifest_s_range_or_unit_is_refused() -> None:
    points = [[192.0, 128.0], [320.0, 128.0], [192.0, 384.0], [320.0, 256.0]]
    with pytest.raises(Unreadable, match="outside 0 to 10"):
        findings_of(package(range=[0, 10]), reading(points))
    with pytest.raises(Unreadable, match="not told in 'mm'"):
        findings_of(package(unit="mm"), reading(points))


def test_what_is_not_sure_enough_says_nothing() -> None:
    points = [[192.0, 128.0], [320.0, 128.0], [192.0, 384.0], [320.0, 256.0]]
    of = package(confidence_tensor="sure", minimum_confidence=0.5)
    assert measurement(of, reading(points, confidence=0.75)).confidence == 0.75
    (silent,) = findings_of(of, reading(points, confidence=0.25))
    assert isinstance(silent, NotSure)
    assert (silent.name, silent.confidence, silent.minimum_confidence) == ("angle", 0.25, 0.5)
    with pytest.raises(Unreadable, match="the confidence of angle is 1.5"):
        findings_of(of, reading(points, confidence=1.5))


def test_landmarks_on_the_image_are_told_with_their_confidence() -> None:
    points = [[192.0, 128.0, 0.5], [320.0, 384.0, 1.0], [0.0, 0.0, 0.9]]
    (finding,) = findings_of(package(kind="landmark", geometry=None), reading(points))
    assert isinstance(finding, Landmark)
    assert [region.points[0] for region in finding.regions] == [(25.0, 50.0), (75.0, 150.0)]
    assert [(region.label, region.confidence) for region in finding.regions] == [("point 1", 0.5), ("point 2", 1.0)]
