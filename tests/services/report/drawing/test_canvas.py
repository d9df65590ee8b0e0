"""Text keeps to its room and is always drawable."""

import numpy as np
import pytest

from services.report.drawing.canvas import Canvas, wrap
from services.report.drawing.fonts import NO_FONT, font, printable
from services.report.drawing.palette import VERDICTS


@pytest.mark.parametrize(
    ("text", "said"),
    [("Größe 5 mm² – äöü", "Größe 5 mm2 - äöü"), ("≥ 3 ± 1", ">= 3 ± 1"), ("a \ue000\ue001", f"a {NO_FONT}")],
)
def test_only_letters_that_a_font_has(text: str, said: str) -> None:
    assert printable(text) == said


def test_a_long_line_is_set_smaller_then_cut() -> None:
    canvas = Canvas(600, 100)
    width = canvas.text((10, 10), "an unusually long series description that never ends " * 3, 40, room=400)
    assert width <= 400
    drawn = np.argwhere((np.asarray(canvas.image) != np.asarray(canvas.image)[99, 599]).any(axis=2))
    assert drawn[:, 1].max() <= 412


def test_a_paragraph_has_no_more_lines_than_allowed() -> None:
    canvas = Canvas(600, 400)
    assert canvas.paragraph((0, 0), "word " * 200, 30, 500, 3) == pytest.approx(3 * 39)


def test_wrapping_keeps_every_word() -> None:
    text = "the slices 9 to 12 look blurred by motion"
    lines = wrap(text, font(30).getlength, 200)
    assert " ".join(lines) == text
    assert len(lines) > 1


def test_each_verdict_has_a_shape_of_its_own() -> None:
    shapes = []
    for verdict in VERDICTS:
        canvas = Canvas(60, 60)
        canvas.verdict_mark((30, 30), 20, verdict, (255, 255, 255))
        shapes.append((np.asarray(canvas.image)[..., 0] > 128).tobytes())
    assert len(set(shapes)) == len(VERDICTS)


def test_letters_of_several_fonts_stand_on_one_line_within_their_room() -> None:
    plain, mixed = Canvas(900, 100), Canvas(900, 100)
    width = mixed.text((450, 50), "Hg Größe Hg", 40, anchor="mm")
    assert width > plain.text((450, 50), "Hg Gr Hg", 40, anchor="mm")
    drawn = [np.argwhere(np.asarray(canvas.image).max(axis=2) > 100) for canvas in (plain, mixed)]
    assert abs(drawn[0][:, 0].max() - drawn[1][:, 0].max()) <= 2
    assert abs(drawn[1][:, 1].min() - (450 - width / 2)) <= 6
    assert abs(drawn[1][:, 1].max() - (450 + width / 2)) <= 6
