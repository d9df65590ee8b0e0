"""A source image fitted into a box, with its true aspect, and the way from its pixels to the page's."""

from dataclasses import dataclass

from PIL import Image

from services.report.drawing.canvas import Box, Canvas
from services.report.drawing.palette import LINE, MUTED
from services.report.facts import Picture

MARGIN = 38  # around the picture, for the letters that say which way the patient lies


@dataclass(frozen=True)
class Placed:
    """Where a picture lies on the page; a source point (column, row) is at `left + column * across`, and so on."""

    left: int
    top: int
    width: int
    height: int
    across: float  # page pixels per source column
    down: float  # page pixels per source row

    def point(self, column: float, row: float) -> tuple[float, float]:
        """A source point on the page; 0, 0 is the outer corner of the first pixel (PS3.3 C.18.6.1.1)."""
        return self.left + column * self.across, self.top + row * self.down

    @property
    def box(self) -> Box:
        return self.left, self.top, self.left + self.width, self.top + self.height


def fit(picture: Picture, box: Box) -> Placed:
    """The largest place in `box` that keeps the picture's aspect in mm, and leaves room for the letters."""
    rows, columns = picture.pixels.shape[:2]
    row_mm, column_mm = picture.spacing or (1.0, 1.0)
    left, top, right, bottom = box[0] + MARGIN, box[1] + MARGIN, box[2] - MARGIN, box[3] - MARGIN
    scale = min((right - left) / (columns * column_mm), (bottom - top) / (rows * row_mm))
    width, height = max(1, round(columns * column_mm * scale)), max(1, round(rows * row_mm * scale))
    x, y = round((left + right - width) / 2), round((top + bottom - height) / 2)
    return Placed(x, y, width, height, width / columns, height / rows)


def place(canvas: Canvas, picture: Picture, box: Box, overlay: Image.Image | None = None) -> Placed:
    """Draws the picture in `box` (an RGBA `overlay` of the placed size over it), letters around it."""
    placed = fit(picture, box)
    drawn = (
        Image.fromarray(picture.pixels).convert("RGB").resize((placed.width, placed.height), Image.Resampling.BICUBIC)
    )
    canvas.image.paste(drawn, (placed.left, placed.top))
    if overlay is not None:
        canvas.image.paste(overlay, (placed.left, placed.top), overlay)
    left, top, right, bottom = placed.box
    canvas.draw.rectangle((left - 1, top - 1, right, bottom), outline=LINE)
    middle_x, middle_y, away = (left + right) / 2, (top + bottom) / 2, MARGIN / 2
    spots = ((left - away, middle_y), (middle_x, top - away), (right + away, middle_y), (middle_x, bottom + away))
    for letter, spot in zip(picture.edges, spots, strict=True):
        canvas.text(spot, letter, 28, MUTED, anchor="mm")
    return placed
