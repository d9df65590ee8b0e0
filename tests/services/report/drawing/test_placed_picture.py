"""A picture lies where and as it should."""

import numpy as np
import pytest

from services.report.drawing.canvas import Canvas
from services.report.drawing.placed_picture import MARGIN, fit, place
from services.report.facts import Picture

BOX = (100, 50, 700, 450)


def picture(rows: int, columns: int, spacing: tuple[float, float] | None = None) -> Picture:
    return Picture(np.full((rows, columns), 90, np.uint8), spacing, ("R", "H", "L", "F"))


@pytest.mark.parametrize(
    ("rows", "columns", "spacing"),
    [(256, 256, None), (100, 300, (1.0, 1.0)), (300, 100, (0.5, 2.0)), (64, 64, (4.0, 1.0)), (1, 1, None)],
)
def test_the_aspect_in_millimetres_is_kept_and_the_box_too(
    rows: int, columns: int, spacing: tuple[float, float] | None
) -> None:
    placed = fit(picture(rows, columns, spacing), BOX)
    row_mm, column_mm = spacing or (1.0, 1.0)
    assert placed.width / placed.height == pytest.approx(columns * column_mm / (rows * row_mm), rel=0.01)
    left, top, right, bottom = placed.box
    assert left >= BOX[0] + MARGIN - 1
    assert top >= BOX[1] + MARGIN - 1
    assert right <= BOX[2] - MARGIN + 1
    assert bottom <= BOX[3] - MARGIN + 1


def test_a_source_point_goes_to_its_place() -> None:
    placed = fit(picture(200, 400), BOX)
    assert placed.point(0, 0) == (placed.left, placed.top)
    assert placed.point(400, 200) == (placed.left + placed.width, placed.top + placed.height)
    assert placed.point(200, 100) == (placed.left + placed.width / 2, placed.top + placed.height / 2)


def test_nothing_but_the_image_is_drawn_within_it_and_letters_stand_around_it() -> None:
    canvas = Canvas(800, 500)
    placed = place(canvas, picture(200, 400), BOX)
    page = np.asarray(canvas.image)
    inside = page[placed.top : placed.top + placed.height - 1, placed.left : placed.left + placed.width - 1]
    assert (inside == 90).all()
    page = page.copy()
    page[placed.top - 1 : placed.top + placed.height + 1, placed.left - 1 : placed.left + placed.width + 1] = page[0, 0]
    drawn = np.argwhere((page != page[0, 0]).any(axis=2))
    assert len(drawn) > 50  # four letters
    assert drawn[:, 0].min() >= BOX[1]
    assert drawn[:, 0].max() <= BOX[3]
