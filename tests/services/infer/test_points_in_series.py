"""Points in a series lead to the nearest image, to their pixel there and to the patient, whatever was turned."""

from dataclasses import replace
from typing import Any

import highdicom as hd
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.infer.handlers import findings_of
from services.infer.kinds.points_in_series import spot_of
from shared.findings import Landmark, Measurement
from shared.geometry import angle_between_lines
from shared.imaging.grid import Grid, SourceStack
from shared.inference import Reading, Unreadable
from shared.packages.folder import Package
from tests.services.infer.readings import OUTPUT
from tests.services.infer.test_segments import by_series
from tests.shared.imaging.stacks import SHAPE as STACK
from tests.shared.imaging.stacks import SPACING, STACKS, STEP, frames_of
from tests.shared.imaging.steps.test_way_back_in_3d import EXACT, SHAPE, coordinates, through
from tests.shared.test_inference import package

LENGTH = {"name": "size", "kind": "measurement", "geometry": "length", "unit": "mm"}
ANGLE = {"name": "angle", "kind": "measurement", "geometry": "angle", "unit": "deg"}


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(sorted(STACKS)), st.lists(EXACT, max_size=4), st.data())
def test_a_point_leads_to_the_nearest_image_its_pixel_and_the_patient(
    name: str, steps: list[tuple[str, dict[str, Any]]], data: st.DataObject
) -> None:
    volume, _ = through(coordinates(name), steps)
    point = np.array([data.draw(st.floats(0, size)) for size in reversed(volume.shape)])
    spot, frames = spot_of(volume.grid, point), frames_of(STACKS[name], SHAPE)
    patient = (volume.grid.to_patient @ (*point, 1.0))[:3]
    own = [hd.spatial.ReferenceToImageTransformer(f.position, f.orientation, SPACING) for f in frames]
    feet = np.array([transform(patient[np.newaxis])[0] for transform in own])  # column, row, mm from the plane
    nearest = int(np.abs(feet[:, 2]).argmin())
    within = 0 <= volume.grid.source_point(*point)[2] <= SHAPE[0]
    column, row = feet[nearest, :2]
    seen = within and 0 <= column <= SHAPE[2] and 0 <= row <= SHAPE[1]
    if spot is None:
        assert not seen or min(abs(column), abs(row), abs(column - SHAPE[2]), abs(row - SHAPE[1])) < 1e-6
        return
    assert spot.in_patient == pytest.approx(patient.tolist(), abs=1e-6)
    assert abs(feet[spot.index, 2]) == pytest.approx(abs(feet[nearest, 2]), abs=1e-6), "no other plane is nearer"
    assert spot.image == frames[spot.index].source
    assert (spot.column, spot.row) == pytest.approx(feet[spot.index, :2].tolist(), abs=1e-6)


def test_under_a_tilted_gantry_the_pixel_is_at_the_foot_of_the_perpendicular() -> None:
    """A quarter of a step above the middle of the third slice; along the stack it would be another row."""
    grid = Grid(STACK, coordinates_of("gantry tilt").source)
    spot = spot_of(grid, np.array([4.0, 6.0, 2.75]))
    assert spot is not None
    shift = 0.25 * STEP * np.tan(np.radians(15)) / SPACING[0]
    assert (spot.index, spot.column, spot.row) == (2, pytest.approx(4.0), pytest.approx(6.0 - shift))


def coordinates_of(name: str) -> Grid:
    return Grid(STACK, SourceStack.of(frames_of(STACKS[name])))


def said(package: Package, points: Any, grid: Grid | None = None) -> Any:
    reading = Reading(grid or coordinates_of("oblique"), False, {OUTPUT["tensor"]: np.asarray(points, np.float32)})
    (finding,) = findings_of(package, reading)
    return finding


def test_landmarks_keep_their_number_and_confidence_and_are_dropped_beyond_the_images() -> None:
    points = [[1.5, 2.5, 0.5, 0.25], [20.0, 2.5, 0.5, 1.0], [1.0, 2.0, 7.5, 1.0], [8.0, 11.0, 6.75, 0.75]]
    found = said(by_series({"kind": "landmark"}), points)
    assert isinstance(found, Landmark)
    assert [(r.label, r.confidence, r.image.sop_instance_uid) for r in found.regions] == [
        ("point 1", 0.25, "1.2.0"), ("point 4", 0.75, "1.2.6"),
    ]  # fmt: skip
    assert found.regions[0].points[0] == pytest.approx((1.5, 2.5))
    assert found.regions[0].graphic_type == "POINT"
    without = said(by_series({"kind": "landmark"}), np.array(points)[:, :3])
    assert [region.confidence for region in without.regions] == [None, None]


@pytest.mark.parametrize("name", STACKS)
def test_a_length_between_images_is_that_in_the_patient(name: str) -> None:
    ends = [[1.0, 2.0, 1.25], [7.0, 9.5, 5.5]]
    found = said(by_series(LENGTH), ends, grid := coordinates_of(name))
    assert isinstance(found, Measurement)
    one, other = ((grid.to_patient @ (*end, 1.0))[:3] for end in ends)  # type: ignore[operator]
    assert found.value == pytest.approx(float(np.linalg.norm(one - other)))
    assert [(r.graphic_type, r.label, r.image.sop_instance_uid) for r in found.regions] == [
        ("POINT", "end 1", "1.2.1"), ("POINT", "end 2", "1.2.5"),
    ]  # fmt: skip
    assert [r.in_patient for r in found.regions] == [pytest.approx(one.tolist()), pytest.approx(other.tolist())]


@pytest.mark.parametrize("name", STACKS)
def test_a_line_nearest_to_one_image_is_drawn_on_it_and_measured_there(name: str) -> None:
    found = said(by_series(LENGTH | {"unit": "cm"}), [[1.0, 2.0, 3.5], [7.0, 9.5, 3.5]], coordinates_of(name))
    (region,) = found.regions
    assert (region.graphic_type, region.image.sop_instance_uid, region.in_patient) == ("POLYLINE", "1.2.3", None)
    assert found.value == pytest.approx(np.hypot(6.0 * SPACING[1], 7.5 * SPACING[0]) / 10)
    across = said(by_series(LENGTH), [[1.0, 2.0, 3.1], [7.0, 9.5, 3.9]], coordinates_of("oblique"))
    assert len(across.regions) == 1
    assert across.value == pytest.approx(np.hypot(6.0 * SPACING[1], 7.5 * SPACING[0]))


def test_an_angle_between_lines_on_and_between_images() -> None:
    ends = [[1.0, 2.0, 1.5], [7.0, 2.0, 1.5], [1.0, 9.0, 3.5], [7.0, 5.0, 5.5]]
    found = said(by_series(ANGLE), ends, grid := coordinates_of("sagittal"))
    assert [(r.graphic_type, r.label) for r in found.regions] == [
        ("POLYLINE", "upper"), ("POINT", "lower end 1"), ("POINT", "lower end 2"),
    ]  # fmt: skip
    mm = [(grid.to_patient @ (*end, 1.0))[:3] for end in ends]  # type: ignore[operator]
    assert found.value == pytest.approx(angle_between_lines(mm[:2], mm[2:]))


@pytest.mark.parametrize(
    ("output", "points", "words"),
    [
        (LENGTH, [[1.0, 2.0, 1.5], [7.0, 2.0, 5.5]], "nearest to several images, and these have no even places"),
        (LENGTH, [[1.0, 2.0, 1.5], [7.0, 2.0, 8.5]], "lies beyond the images"),
        (LENGTH, [[1.0, 2.0, 1.5], [90.0, 2.0, 1.5]], "lies beyond the images"),
        (LENGTH, [[1.0, 2.0], [2.0, 2.0]], r"has shape \[2, 2\] a row; 2 × 3 or 2 × 4 was due"),
        (ANGLE, [[1.0, 2.0, 1.5]] * 4, "a line has no length"),
        (LENGTH | {"range": [0, 1]}, [[1.0, 2.0, 1.5], [7.0, 2.0, 1.5]], "outside 0 to 1"),
    ],
)
def test_what_cannot_be_measured_is_told(output: dict[str, Any], points: Any, words: str) -> None:
    grid = coordinates_of("straight")
    loose = replace(grid, source=replace(grid.source, to_patient=None, spacing=(None, *SPACING)))
    with pytest.raises(Unreadable, match=words):
        said(by_series(output), points, loose)


def test_without_even_places_a_line_on_one_image_is_measured_by_its_pixels() -> None:
    grid = coordinates_of("straight")
    loose = replace(grid, source=replace(grid.source, to_patient=None, spacing=(None, *SPACING)))
    found = said(by_series(LENGTH), [[1.0, 2.0, 1.5], [7.0, 2.0, 1.75]], loose)
    assert found.value == pytest.approx(6.0 * SPACING[1])
    bare = replace(grid, source=replace(grid.source, to_patient=None, spacing=None))
    with pytest.raises(Unreadable, match="no pixel spacing"):
        said(by_series(LENGTH), [[1.0, 2.0, 1.5], [7.0, 2.0, 1.75]], bare)
    square = said(by_series(ANGLE), [[1, 2, 1.5], [4, 2, 1.5], [1, 2, 1.5], [4, 5, 1.5]], bare)
    assert square.value == pytest.approx(45.0)
    place = said(by_series({"kind": "landmark"}), [[1.0, 2.0, 6.25]], loose).regions[0]
    assert (place.image.sop_instance_uid, place.points, place.in_patient) == ("1.2.6", ((1.0, 2.0),), None)


def test_an_area_is_of_one_image() -> None:
    with pytest.raises(ValueError, match="is an outline on one image"):
        package(grouping={"by": "series"}, outputs=[{
            "name": "a", "tensor": "a", "kind": "measurement", "geometry": "area", "unit": "mm2",
            "code": OUTPUT["code"],
        }])  # fmt: skip
