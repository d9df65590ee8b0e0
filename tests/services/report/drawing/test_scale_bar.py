"""The scale is as long as it says, below the picture and nowhere in it."""

import numpy as np
import pytest

from services.report.drawing.canvas import Canvas
from services.report.drawing.palette import BACKGROUND, INK
from services.report.drawing.placed_picture import fit
from services.report.drawing.scale_bar import draw_scale, round_length
from services.report.facts import Picture

BOX = (100.0, 50.0, 856.0, 700.0)


def drawn(rows: int, columns: int, spacing: tuple[float, float] | None, name: str) -> tuple[np.ndarray, Picture]:
    canvas, picture = Canvas(1000, 800), Picture(np.zeros((rows, columns), np.uint8), spacing, spacing_name=name)
    draw_scale(canvas, picture, fit(picture, BOX), BOX)
    return np.asarray(canvas.image), picture


@pytest.mark.parametrize(
    ("rows", "columns", "spacing", "mm"),
    [
        (512, 512, (0.7, 0.7), 50), (64, 64, (3.0, 3.0), 50), (500, 2000, (0.2, 0.2), 50), (2000, 400, (0.2, 0.2), 50),
        (256, 256, (2.0, 0.7), 100), (100, 100, (0.001, 0.001), 0.02),
    ],
)  # fmt: skip
def test_it_is_as_long_as_it_says(rows: int, columns: int, spacing: tuple[float, float], mm: float) -> None:
    page, picture = drawn(rows, columns, spacing, "Pixel Spacing")
    placed = fit(picture, BOX)
    per_mm = placed.width / (columns * spacing[1])
    assert round_length(min(150, placed.width) / per_mm) == pytest.approx(mm)
    line = page[placed.top + placed.height + 19]
    ink = np.nonzero((line == INK).all(axis=1))[0]
    length = int(np.argmax(np.diff(ink) > 1)) + 1  # up to the first gap: the letters come after it
    assert length == pytest.approx(mm * per_mm, abs=5)
    assert ink.max() < placed.left + placed.width / 2 - 15, "left of the letter"
    seen = (page != BACKGROUND).any(axis=2)
    assert not seen[: placed.top + placed.height].any(), "nothing in the picture"
    columns_seen = np.nonzero(seen.any(axis=0))[0]
    assert (columns_seen.min(), columns_seen.max()) >= (BOX[0], placed.left), "and the name at right"
    assert columns_seen.max() < BOX[2]


@pytest.mark.parametrize(("spacing", "name"), [(None, ""), ((1.0, 2.0), "")])
def test_without_a_size_there_is_none(spacing: tuple[float, float] | None, name: str) -> None:
    page, _ = drawn(100, 100, spacing, name)
    assert (page == BACKGROUND).all()


@pytest.mark.parametrize(("most", "length"), [(1.0, 1), (4.99, 2), (5.0, 5), (199, 100), (0.3, 0.2), (1000, 1000)])
def test_round_lengths(most: float, length: float) -> None:
    assert round_length(most) == pytest.approx(length)
