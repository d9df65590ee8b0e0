"""The strip: one column for each slice, as high as its score and coloured by the gate's thresholds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from services.report.drawing.canvas import Box, Canvas
from services.report.drawing.palette import INK, LINE, MUTED, PANEL, SKY, VERDICTS, VERMILLION, YELLOW, Colour, mixed
from shared.findings import QualityScore

_GUTTER_LEFT, _GUTTER_RIGHT, _ABOVE, _BELOW = 84, 150, 40, 44


@dataclass(frozen=True)
class _Scale:
    """From score to page."""

    low: float
    high: float
    top: float
    bottom: float

    def y(self, score: float) -> float:
        share = (min(max(score, self.low), self.high) - self.low) / (self.high - self.low)
        return self.bottom - share * (self.bottom - self.top)


def verdict_of(finding: QualityScore, score: float) -> str:
    """What the thresholds say of one slice's score."""
    if finding.hold_below is not None and score < finding.hold_below:
        return "hold"
    return "warn" if finding.warn_below is not None and score < finding.warn_below else "pass"


def draw_strip(canvas: Canvas, box: Box, finding: QualityScore, marked: int, names: Sequence[str]) -> None:
    """Draws the strip in `box`; the slice at index `marked` gets a pointer with its name."""
    canvas.panel(box, PANEL)
    left, right = box[0] + _GUTTER_LEFT, box[2] - _GUTTER_RIGHT
    scores = [scored.score for scored in finding.instances]
    scale = _scale(finding, scores, box[1] + _ABOVE, box[3] - _BELOW)
    _draw_axis(canvas, scale, left, right)
    step = (right - left) / len(scores)
    gap = 2 if step > 8 else 0
    for index, score in enumerate(scores):
        colour: Colour = VERDICTS[verdict_of(finding, score)]
        x = left + index * step
        end, y = max(x + 1, x + step - gap - 1), scale.y(score)
        canvas.draw.rectangle((x, y, end, scale.bottom), fill=mixed(colour, PANEL, 0.38))
        canvas.draw.rectangle((x, y, end, min(y + 7, scale.bottom)), fill=colour)
    _draw_thresholds(canvas, scale, finding, left, right)
    _draw_numbers(canvas, box, left, step, names, marked)
    _draw_pointer(canvas, left + (marked + 0.5) * step, scale.y(scores[marked]))


def _scale(finding: QualityScore, scores: list[float], top: float, bottom: float) -> _Scale:
    """From below the lowest of scores and thresholds, in tenths of the range, to the range's end."""
    seen = [*scores, *(t for t in (finding.warn_below, finding.hold_below) if t is not None)]
    low, high = finding.range or (min(seen), max(seen))
    high = max(high, *seen)
    tenth = (high - low) / 10 or 0.1
    floor = low + math.floor((min(seen) - low) / tenth - 0.5) * tenth
    return _Scale(max(low, floor) if finding.range else floor, high if high > floor else floor + tenth, top, bottom)


def _draw_axis(canvas: Canvas, scale: _Scale, left: float, right: float) -> None:
    for share in (0.0, 0.5, 1.0):
        score = scale.low + share * (scale.high - scale.low)
        y = scale.y(score)
        canvas.draw.line((left, y, right, y), LINE, 2)
        canvas.text((left - 12, y), f"{score:.2f}", 28, MUTED, anchor="rm")


def _draw_thresholds(canvas: Canvas, scale: _Scale, finding: QualityScore, left: float, right: float) -> None:
    warn, hold = finding.warn_below, finding.hold_below
    lines = [(warn, "warn", YELLOW), (hold, "hold", VERMILLION)]
    if finding.flag_above is not None:
        lines = [(finding.flag_above, "flag", SKY)]
    drawn = [(scale.y(t), f"{word} {t:.2f}", colour) for t, word, colour in lines if t is not None]
    for y, _, _ in drawn:
        canvas.dashed((left, y), right, INK, 3)
    spots = [y for y, _, _ in drawn]
    if len(spots) == 2 and spots[1] - spots[0] < 34:  # keep the two labels apart
        middle = sum(spots) / 2
        spots = [middle - 17, middle + 17]
    for spot, (_, label, colour) in zip(spots, drawn, strict=True):
        canvas.text((right + 12, spot), label, 28, colour, anchor="lm")


def _draw_numbers(canvas: Canvas, box: Box, left: float, step: float, names: Sequence[str], marked: int) -> None:
    y = box[3] - _BELOW / 2
    at = left + (marked + 0.5) * step
    for index in dict.fromkeys((0, len(names) - 1)):
        x = left + (index + 0.5) * step
        if abs(x - at) > 70:
            canvas.text((x, y), names[index], 28, MUTED, anchor="mm")
    canvas.text((at, y), names[marked], 30, INK, anchor="mm", bold=True)


def _draw_pointer(canvas: Canvas, x: float, y: float) -> None:
    canvas.draw.polygon(((x - 13, y - 26), (x + 13, y - 26), (x, y - 6)), fill=INK)
