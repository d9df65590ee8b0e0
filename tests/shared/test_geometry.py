"""Numbers from points, against shapes whose numbers are known."""

import numpy as np
import pytest

from shared.geometry import angle_between_lines, area, in_mm, length, slice_step


def test_lengths_and_areas_on_pixels_that_are_not_square() -> None:
    square = in_mm([(1, 1), (4, 1), (4, 3), (1, 3)], (2.0, 0.5))
    assert area(square) == pytest.approx(3 * 0.5 * 2 * 2.0)
    assert area([*square, square[0]]) == pytest.approx(6.0)
    assert length(square[:2]) == pytest.approx(1.5)


def test_a_tilted_polygon_in_space() -> None:
    assert area([(0, 0, 5), (3, 0, 9), (3, 2, 9), (0, 2, 5)]) == pytest.approx(10.0)


@pytest.mark.parametrize("degrees", [0, 1e-5, 10, 45, 90, 117.5, 180])
def test_an_angle_is_that_of_the_lines_directions(degrees: float) -> None:
    turned = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    other = [(7, 7), (7 + 30 * turned[0], 7 + 30 * turned[1])]
    assert angle_between_lines([(1, 5), (9, 5)], other) == pytest.approx(degrees, abs=1e-9)
    assert angle_between_lines(other, [(1, 5), (9, 5)]) == pytest.approx(degrees, abs=1e-9)


def test_a_point_has_no_direction() -> None:
    with pytest.raises(ValueError, match="no direction"):
        angle_between_lines([(1, 1), (1, 1)], [(0, 0), (1, 0)])


def test_slices_of_a_tilted_gantry_are_as_far_apart_as_their_planes() -> None:
    tilt = np.radians(20)
    orientation = (1, 0, 0, 0, float(np.cos(tilt)), -float(np.sin(tilt)))
    positions = [(0, 0, 5.0 * n) for n in range(4)]
    assert slice_step(positions, orientation) == pytest.approx(5 * np.cos(tilt))
    assert slice_step(positions[:1], orientation) == 0.0
