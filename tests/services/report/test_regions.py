"""Areas of polylines."""

import math

import pytest

from services.report.regions import area_mm2, area_pixels, closed
from shared.findings import Region, SourceImage

IMAGE = SourceImage(series_instance_uid="1.2", sop_instance_uid="1.2.3", sop_class_uid="1.2.4")


@pytest.mark.parametrize("repeated", [True, False])
def test_a_rectangle(repeated: bool) -> None:
    corners = ((1.0, 1.0), (4.0, 1.0), (4.0, 3.0), (1.0, 3.0))
    assert area_pixels(closed(corners) if repeated else corners) == 6.0


def test_a_circle_is_about_pi_r_squared() -> None:
    points = tuple((10 * math.cos(t / 180 * math.pi), 10 * math.sin(t / 180 * math.pi)) for t in range(360))
    assert area_pixels(points) == pytest.approx(math.pi * 100, rel=1e-3)


def test_rows_and_columns_have_their_own_spacing() -> None:
    square = Region(image=IMAGE, graphic_type="POLYLINE", points=((0, 0), (10, 0), (10, 10), (0, 10)))
    assert area_mm2(square, (0.5, 0.2)) == pytest.approx(10.0)


def test_a_point_has_no_area() -> None:
    assert area_mm2(Region(image=IMAGE, graphic_type="POINT", points=((3, 4),)), (1, 1)) is None
