"""A page to draw on: text that keeps to its room, dashed lines, and the marks of the verdicts."""

from collections.abc import Callable
from functools import partial

from PIL import Image, ImageDraw

from services.report.drawing.fonts import OWN, font, length, printable, runs
from services.report.drawing.palette import BACKGROUND, INK, VERDICTS, Colour

Box = tuple[float, float, float, float]  # left, top, right, bottom


class Canvas:
    """`width` by `height` pixels of dark ground."""

    def __init__(self, width: int, height: int) -> None:
        self.image = Image.new("RGB", (width, height), BACKGROUND)
        self.draw = ImageDraw.Draw(self.image)

    def text(
        self, at: tuple[float, float], text: str, size: int, colour: Colour = INK, anchor: str = "la",
        room: float | None = None, bold: bool = False,
    ) -> float:  # fmt: skip
        """Draws one line and returns its width. A line wider than `room` is set smaller, then cut."""
        line = printable(text)
        weight = max(1, size // 28) if bold else 0
        if room is not None:
            while length(line, size) > room and size > 26:
                size -= 1
            line = _cut(line, partial(length, size=size), room)
        self._line(at, line, size, colour, anchor, weight / 2)
        return length(line, size)

    def _line(
        self, at: tuple[float, float], line: str, size: int, colour: Colour, anchor: str = "la", stroke: float = 0
    ) -> None:
        """One line; where it is in several fonts, these stand on the base line of our own."""
        parts = runs(line)
        if [name for name, _ in parts] == [OWN]:
            self.draw.text(at, line, colour, font=font(size), anchor=anchor, stroke_width=stroke, stroke_fill=colour)
            return
        x = at[0] - length(line, size) * {"l": 0, "m": 0.5, "r": 1}[anchor[0]]
        below = font(size).getbbox("Hg", anchor=f"l{anchor[1]}")[1] - font(size).getbbox("Hg", anchor="ls")[1]
        for name, letters in parts:
            self.draw.text(
                (x, at[1] + below), letters, colour, font=font(size, name), anchor="ls", stroke_width=stroke,
                stroke_fill=colour,
            )  # fmt: skip
            x += font(size, name).getlength(letters)

    def paragraph(
        self, at: tuple[float, float], text: str, size: int, room: float, lines: int, colour: Colour = INK
    ) -> float:
        """Draws at most `lines` lines and returns the height that they took."""
        step = size * 1.3
        width = partial(length, size=size)
        wrapped = wrap(printable(text), width, room)
        if len(wrapped) > lines:
            wrapped = [*wrapped[: lines - 1], _cut(" ".join(wrapped[lines - 1 :]), width, room)]
        for index, line in enumerate(wrapped):
            self._line((at[0], at[1] + index * step), line, size, colour)
        return len(wrapped) * step

    def panel(self, box: Box, fill: Colour, outline: Colour | None = None, radius: int = 14) -> None:
        self.draw.rounded_rectangle(box, radius, fill, outline, 2 if outline else 0)

    def dashed(self, start: tuple[float, float], end_x: float, colour: Colour, width: int = 3) -> None:
        """A dashed level line from `start` to `end_x`."""
        x, y = start
        while x < end_x:
            self.draw.line((x, y, min(x + 16, end_x), y), colour, width)
            x += 28

    def verdict_mark(self, centre: tuple[float, float], radius: float, verdict: str, colour: Colour) -> None:
        """Tick, triangle, octagon, ring, plus or minus: told apart by shape alone."""
        x, y = centre
        if verdict == "pass":
            points = [
                (x - radius * 0.75, y),
                (x - radius * 0.2, y + radius * 0.6),
                (x + radius * 0.8, y - radius * 0.6),
            ]
            self.draw.line(points, colour, round(radius * 0.36), joint="curve")
        elif verdict == "warn":
            self.draw.regular_polygon((x, y + radius * 0.12, radius * 1.1), 3, fill=colour)
        elif verdict == "hold":
            self.draw.regular_polygon((x, y, radius), 8, rotation=22, fill=colour)
        elif verdict == "measured":  # a bar would read as a minus beside a number
            self.draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=colour, width=round(radius / 3))
        else:
            thick = radius * 0.22
            self.draw.rectangle((x - radius, y - thick, x + radius, y + thick), fill=colour)
            if verdict == "present":
                self.draw.rectangle((x - thick, y - radius, x + thick, y + radius), fill=colour)

    def pill(self, right: float, top: float, word: str, verdict: str) -> float:
        """A filled badge that ends at `right`; returns its left edge."""
        size, height = 46, 84
        width = length(printable(word), size) + 150
        colour = VERDICTS[verdict]
        self.panel((right - width, top, right, top + height), colour, radius=height // 2)
        self.verdict_mark((right - width + 58, top + height / 2), 24, verdict, BACKGROUND)
        self.text((right - width + 104, top + height / 2), word, size, BACKGROUND, anchor="lm", bold=True)
        return right - width


def wrap(text: str, length: Callable[[str], float], room: float) -> list[str]:
    """Lines of whole words no wider than `room`; a word that is wider stands alone."""
    lines: list[str] = []
    for word in text.split():
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and length(joined) <= room:
            lines[-1] = joined
        else:
            lines.append(word)
    return lines


def _cut(line: str, length: Callable[[str], float], room: float) -> str:
    if length(line) <= room:
        return line
    while line and length(line + "...") > room:
        line = line[:-1]
    return line.rstrip() + "..."
