"""The page for people who read paper: whose study, what was found, the picture, the gates, and the use mark."""

from io import BytesIO

from PIL import Image
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, Paragraph, SimpleDocTemplate, Spacer, Table
from reportlab.platypus import Image as Picture

from services.report.drawing.pdf_letters import BOLD, REGULAR, can_print, markup, register_fonts
from services.report.facts import RunFacts
from services.report.identity import software_version, use_mark
from services.report.statements import Statement, statements
from shared.quantities import quantity
from shared.store import GateResult

_EDGE = 16 * mm
_WIDTH = A4[0] - 2 * _EDGE
_PADDING = 6  # reportlab puts it around every page's frame
_INK, _MUTED = colors.HexColor("#12161c"), colors.HexColor("#5a6470")
_LINE, _MARK = colors.HexColor("#c9d0d8"), colors.HexColor("#f0e442")
_PICTURES = 2  # of the findings' pages; the Secondary Captures have them all
_UNPRINTABLE = "(in letters that this page can't print)"

_TITLE = ParagraphStyle("title", fontName=BOLD, fontSize=15, leading=19, textColor=_INK)
_TEXT = ParagraphStyle("text", fontName=REGULAR, fontSize=9, leading=12, textColor=_INK)
_SMALL = ParagraphStyle("small", parent=_TEXT, fontSize=8, leading=10.5, textColor=_MUTED)
_STRONG = ParagraphStyle("strong", parent=_TEXT, fontName=BOLD)
_HEADING = ParagraphStyle("heading", parent=_STRONG, fontSize=10, leading=14, spaceBefore=7, spaceAfter=2)


def draw_pdf(facts: RunFacts, identity: dict[str, str], pictures: list[Image.Image]) -> bytes:
    """One A4 page (more where there is more to say), the same bytes for the same facts.

    `identity` is what is printed above, by its label; `pictures` are the findings' pages.
    """
    register_fonts()
    story: list[Flowable] = [Paragraph(markup(facts.title), _TITLE), Spacer(1, 2 * mm), _identity(identity)]
    story += [Paragraph("Findings", _HEADING), _findings(facts)]
    story += [
        flowable
        for picture in pictures[:_PICTURES]
        for flowable in (Spacer(1, 3 * mm), _picture(picture, len(pictures)))
    ]
    if len(pictures) > _PICTURES:
        story.append(_small(f"{len(pictures) - _PICTURES} more pictures are in the Secondary Capture series."))
    story += [Paragraph("Quality gates", _HEADING), *_gates(facts)]
    content = BytesIO()
    document = SimpleDocTemplate(
        content, pagesize=A4, leftMargin=_EDGE - _PADDING, rightMargin=_EDGE - _PADDING,
        topMargin=14 * mm, bottomMargin=24 * mm,
        title=f"AI report: {facts.title}", author="Isocenter", creator="Isocenter", invariant=1,
    )  # fmt: skip

    def footing(canvas: Canvas, document: SimpleDocTemplate) -> None:
        _footing(canvas, facts, document.page)

    document.build(story, onFirstPage=footing, onLaterPages=footing)
    return content.getvalue()


def _cell(text: str, style: ParagraphStyle = _TEXT) -> Paragraph:
    return Paragraph(markup(text), style)


def _small(text: str) -> Paragraph:
    return _cell(text, _SMALL)


def _identity(identity: dict[str, str]) -> Table:
    """Two columns of label and value."""
    shown = [(label, value if can_print(value) else _UNPRINTABLE) for label, value in identity.items() if value]
    cells = [[_small(label), _cell(value)] for label, value in shown]
    half = (len(cells) + 1) // 2
    empty = [_small(""), _small("")]
    rows = [left + (cells[half + n] if half + n < len(cells) else empty) for n, left in enumerate(cells[:half])]
    return _table(rows, [26 * mm, _WIDTH / 2 - 26 * mm] * 2)


def _findings(facts: RunFacts) -> Table:
    rows = []
    for finding in facts.findings:
        for statement in statements(facts, finding):
            rows.append(_statement(statement))
    return _table(rows, [_WIDTH * 0.4, _WIDTH * 0.22, _WIDTH * 0.38])


def _statement(statement: Statement) -> list[Flowable]:
    return [_cell(statement.subject), _cell(statement.value, _STRONG), _small(statement.remark)]


def _gates(facts: RunFacts) -> list[Flowable]:
    """Every gate's word, the package's own among them, and who let the run through against them."""
    said: list[Flowable] = []
    if facts.gate_results:
        said.append(_table([_gate(g) for g in facts.gate_results], [_WIDTH * 0.25, _WIDTH * 0.25, _WIDTH * 0.5]))
    else:
        said.append(_small("No gate has spoken on these images."))
    if facts.released:
        said.append(_cell(f"Held by a quality gate, {facts.released}", _STRONG))
    return said


def _gate(gate: GateResult) -> list[Flowable]:
    score = "" if gate.score is None else f" {quantity(gate.score, gate.unit, 6)}"
    where = f"series {gate.series_instance_uid}" if gate.series_instance_uid else "the study"
    return [
        _cell(gate.name),
        _cell(gate.verdict + score, _STRONG),
        _small(": ".join(filter(None, [where, gate.reason]))),
    ]


def _table(rows: list[list[Flowable]], widths: list[float]) -> Table:
    table = Table(rows, colWidths=widths, hAlign="LEFT")
    table.setStyle([
        ("VALIGN", (0, 0), (-1, -1), "TOP"), ("LINEBELOW", (0, 0), (-1, -1), 0.4, _LINE),
        ("LEFTPADDING", (0, 0), (-1, -1), 0), ("TOPPADDING", (0, 0), (-1, -1), 1.5),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2.5),
    ])  # fmt: skip
    return table


def _picture(picture: Image.Image, of: int) -> Picture:
    """As wide as the page where it is alone, else so that two fit below each other."""
    width = _WIDTH if of == 1 else _WIDTH * 0.62
    content = BytesIO()
    picture.save(content, "PNG")
    content.seek(0)
    return Picture(content, width, width * picture.height / picture.width)


def _footing(canvas: Canvas, facts: RunFacts, page: int) -> None:
    mark = use_mark(facts).upper()
    if mark:
        width = canvas.stringWidth(mark, BOLD, 10) + 8 * mm
        canvas.setFillColor(_MARK)
        canvas.roundRect(_EDGE, 11 * mm, width, 8 * mm, 1.5 * mm, stroke=0, fill=1)
        canvas.setFillColor(_INK)
        canvas.setFont(BOLD, 10)
        canvas.drawString(_EDGE + 4 * mm, 13.8 * mm, mark)
    canvas.setFillColor(_MUTED)
    canvas.setFont(REGULAR, 8)
    made_by = f"{facts.run.package} {facts.run.version} · Isocenter {software_version()} · page {page}"
    canvas.drawRightString(A4[0] - _EDGE, 13.8 * mm, made_by)
