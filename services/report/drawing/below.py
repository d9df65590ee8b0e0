"""What stands below the pictures of a reading: the probability with its threshold, keys of colours, words."""

from services.report.drawing.array_overlay import colour_of, strongest_of
from services.report.drawing.canvas import Box, Canvas
from services.report.drawing.palette import INK, LINE, MUTED, SKY
from services.report.drawing.patch_overlay import draw_key, strength
from services.report.facts import RunFacts
from services.report.placed_arrays import read_placed
from services.report.statements import size_of, statements
from shared.findings import Classification, Finding, HeatMap, Segmentation

_ROW = 40
_KEYED = 6  # segments with a key of their own; the report names all of them


def draw_below(canvas: Canvas, facts: RunFacts, finding: Finding, box: Box) -> None:
    """Draws what belongs to the finding in `box`."""
    left, top, right, _ = box
    half = (right - left - 90) / 2
    key = left + half + 90, top + 36, right, top + 64
    if isinstance(finding, Classification):
        _draw_probability(canvas, finding, (left, top + 36, left + half, top + 64))
        if finding.patch_map:
            draw_key(canvas, key, strength(finding.patch_map.logits), "logit")
        return
    if isinstance(finding, Segmentation):
        _draw_segments(canvas, finding, box)
        return
    words = (half, 3) if isinstance(finding, HeatMap) else (right - left, 2)
    said = statements(facts, finding)[0]
    canvas.paragraph((left, top + 10), said.in_words, 32, words[0], words[1], INK)
    if isinstance(finding, HeatMap):
        _draw_key_of_map(canvas, facts, finding, key)


def _draw_key_of_map(canvas: Canvas, facts: RunFacts, finding: HeatMap, box: Box) -> None:
    """Full colour is the map's own largest value, however weak it is: so the key names the range that it lies in."""
    values = read_placed(facts, finding.placed)
    of = f"(range {finding.range[0]:g} to {finding.range[1]:g})" if finding.range else ""
    unit = "" if finding.unit == "1" else finding.unit
    draw_key(canvas, box, strongest_of(values), unit, of, signed=bool(values.min() < 0))


def _draw_segments(canvas: Canvas, finding: Segmentation, box: Box) -> None:
    """Each segment's colour, name and size, in two columns."""
    left, top, right, _ = box
    width = (right - left - 40) / 2
    shown = finding.segments if len(finding.segments) <= _KEYED else finding.segments[: _KEYED - 1]
    for n, segment in enumerate(shown):
        x, y = left + (n % 2) * (width + 40), top + 20 + (n // 2) * _ROW
        canvas.panel((x, y - 13, x + 26, y + 13), colour_of(finding, n), radius=4)
        canvas.text((x + 42, y), f"{segment.code.meaning}: {size_of(segment)}", 32, INK, anchor="lm", room=width - 42)
    if len(shown) < len(finding.segments):
        at = left + width + 40, top + 20 + 2 * _ROW
        canvas.text(at, f"+{len(finding.segments) - len(shown)} more", 32, MUTED, anchor="lm")


def _draw_probability(canvas: Canvas, finding: Classification, box: Box) -> None:
    """A bar from 0 to 1 with the threshold as a tick through it."""
    left, top, right, bottom = box
    width = right - left
    canvas.text((left, top - 20), "Probability", 30, INK, anchor="lm")
    canvas.text((right, top - 20), f"{finding.probability:.3f}", 32, INK, anchor="rm", bold=True)
    canvas.panel(box, LINE, radius=6)
    canvas.draw.rectangle((left, top, left + max(4, width * finding.probability), bottom), fill=SKY)
    x = left + width * finding.threshold
    canvas.draw.rectangle((x - 2, top - 8, x + 2, bottom + 8), fill=INK)
    for at, letter, anchor in ((left, "0", "lm"), (right, "1", "rm")):
        canvas.text((at, bottom + 28), letter, 28, MUTED, anchor=anchor)
    at = min(max(x, left + 170), right - 170)
    canvas.text((at, bottom + 28), f"threshold {finding.threshold:g}", 28, MUTED, anchor="mm")
