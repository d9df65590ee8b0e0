"""What every page has: title and verdict above, gates, package and use mark below.

Viewers write in the corners of a picture, over it: nothing stands in the uppermost rows.
"""

from collections.abc import Sequence

from services.report.drawing.canvas import Canvas
from services.report.drawing.fonts import length, printable
from services.report.drawing.palette import BACKGROUND, INK, LINE, MUTED, PANEL, VERDICTS, YELLOW
from shared.store import GateResult

WIDTH, HEIGHT, EDGE = 1600, 1300, 44
ABOVE = 100  # left to what viewers write
TOP, BOTTOM = ABOVE + 172, ABOVE + 1062  # between them is the finding's own room


def heading(canvas: Canvas, title: str, subtitle: str, number: str, word: str, verdict: str) -> None:
    """Title and subtitle at left; at right the number and the verdict's badge."""
    canvas.draw.rectangle((0, ABOVE, WIDTH, TOP - 24), fill=PANEL)
    canvas.draw.rectangle((0, TOP - 27, WIDTH, TOP - 24), fill=VERDICTS[verdict])
    left = canvas.pill(WIDTH - EDGE, ABOVE + 32, word, verdict)
    size = 60
    width = length(printable(number), size)
    canvas.text((left - 32, ABOVE + 74), number, size, INK, anchor="rm", bold=True)
    room = left - 32 - width - 48 - EDGE
    canvas.text((EDGE, ABOVE + 52), title, 50, INK, anchor="lm", room=room, bold=True)
    canvas.text((EDGE, ABOVE + 112), subtitle, 32, MUTED, anchor="lm", room=room)


def footing(canvas: Canvas, gates: Sequence[GateResult], use_mark: str, made_by: str, released: str = "") -> None:
    """The gates' verdicts, then what this may not be used for, who `released` it against them, and who made it."""
    canvas.draw.line((EDGE, BOTTOM + 10, WIDTH - EDGE, BOTTOM + 10), LINE, 2)
    _gates(canvas, gates)
    top = BOTTOM + 70
    width = 0.0
    if use_mark:
        mark = use_mark.upper()
        width = length(printable(mark), 34) + 56
        canvas.panel((EDGE, top, EDGE + width, top + 52), YELLOW, radius=8)
        canvas.text((EDGE + width / 2, top + 26), mark, 34, BACKGROUND, anchor="mm", bold=True)
    room = WIDTH - 2 * EDGE - width - 40
    room -= canvas.text((WIDTH - EDGE, top + 26), made_by, 30, MUTED, anchor="rm", room=room) + 40
    if released:
        canvas.paragraph((EDGE + width + 40, top - 8), released[0].upper() + released[1:], 26, room, 2, INK)


def _gates(canvas: Canvas, gates: Sequence[GateResult]) -> None:
    x, y = float(EDGE), BOTTOM + 41
    x += canvas.text((x, y), "Gates", 30, MUTED, anchor="lm") + 28
    if not gates:
        canvas.text((x, y), "none besides this one", 30, MUTED, anchor="lm")
    for index, gate in enumerate(gates):
        said = f"{gate.name} {gate.verdict}" if gate.score is None else f"{gate.name} {gate.score:.3g} {gate.verdict}"
        if x + 44 + length(printable(said), 30) > WIDTH - EDGE - 120:
            canvas.text((x, y), f"+{len(gates) - index} more", 30, MUTED, anchor="lm")
            return
        canvas.verdict_mark((x + 14, y), 13, gate.verdict, VERDICTS.get(gate.verdict, MUTED))
        x += 40 + canvas.text((x + 40, y), said, 30, INK, anchor="lm") + 44
