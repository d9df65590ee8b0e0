"""The use mark in the pixels of a derived image: it looks like its source, and viewers may hide all text beside it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from services.report.drawing.canvas import wrap
from services.report.drawing.fonts import OWN, Font, font, font_of, printable
from shared.use_marks import rows_of_mark

_LARGEST, _SMALLEST = 32, 8  # one in so many rows, and pixels
_ROOM = 4  # left free of the columns


def burn(stored: NDArray[Any], words: str, dark: int, bright: int) -> None:
    """Writes `words` into (rows, columns) of stored values, bright on a dark edge, in the middle of the lowest rows.

    Only letters and their edge are written over; what there is no room for is left out.
    """
    rows, columns = stored.shape
    text = printable(words)
    size = _size(text, rows, columns - _ROOM)
    letters = _font(text, size)
    step, edge = size + max(2, size // 4), max(1, size // 14)
    lines = wrap(text, letters.getlength, columns - _ROOM)[: max(1, (rows_of_mark(rows) - 2 * edge) // step)]
    top = rows - step * len(lines) - edge
    for stroke, value in ((edge, dark), (0, bright)):
        page = Image.new("L", (columns, rows))
        draw = ImageDraw.Draw(page)
        for n, line in enumerate(lines):
            draw.text((columns / 2, top + n * step), line, 255, font=letters, anchor="ma", stroke_width=stroke)
        mask = np.asarray(page) > 127
        mask[: rows - rows_of_mark(rows)] = False
        stored[mask] = value


def _size(text: str, rows: int, room: int) -> int:
    """Of letters in pixels: so that the text fits one line, where there is one that can be read."""
    size = max(_SMALLEST, rows // _LARGEST)
    while size > _SMALLEST and _font(text, size).getlength(text) > room:
        size -= 1
    return size


def _font(text: str, size: int) -> Font:
    return font(size, font_of(text) or OWN)
