"""The scale below a picture, outside of the anatomy: round millimetres, and the attribute that they rest on."""

import math

from services.report.drawing.canvas import Box, Canvas
from services.report.drawing.palette import INK, MUTED
from services.report.drawing.placed_picture import MARGIN, Placed
from services.report.facts import Picture

_LONGEST = 150  # page pixels
_SIDE = 280  # room left and right of the letter in the middle, at least, where the box has it
_LETTERS = 28
_TICK = 8


def round_length(most: float) -> float:
    """The longest of 1, 2, 5, 10, 20, 50 and so on (0.5, 0.2 and so on) that is not above `most`, which is positive."""
    ten = 10.0 ** math.floor(math.log10(most))
    return next(step * ten for step in (5, 2, 1) if step * ten <= most * (1 + 1e-9))


def draw_scale(canvas: Canvas, picture: Picture, placed: Placed, box: Box) -> None:
    """Draws bar and length at left and the attribute's name at right, below the picture; nothing where pixels have no
    size."""
    if not picture.spacing or not picture.spacing_name:
        return
    per_mm = placed.across / picture.spacing[1]
    length = round_length(min(_LONGEST, placed.width) / per_mm)
    middle, y = placed.left + placed.width / 2, placed.box[3] + MARGIN / 2
    left = max(box[0] + MARGIN / 2, min(placed.left, middle - _SIDE))
    right = min(box[2] - MARGIN / 2, max(placed.box[2], middle + _SIDE))
    end = left + length * per_mm
    canvas.draw.line((left, y, end, y), INK, 4)
    for x in (left, end):
        canvas.draw.line((x, y - _TICK, x, y + _TICK), INK, 3)
    canvas.text((end + 12, y), f"{length:g} mm", _LETTERS, INK, anchor="lm")
    canvas.text((right, y), picture.spacing_name, _LETTERS, MUTED, anchor="rm", room=right - middle - MARGIN)
