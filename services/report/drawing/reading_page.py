"""The page of a finding in an image: the image as it is beside the same with patch map and outlines."""

from PIL import Image

from services.report.drawing.array_overlay import overlay as array_overlay
from services.report.drawing.below import draw_below
from services.report.drawing.canvas import Box, Canvas
from services.report.drawing.page import BOTTOM, EDGE, HEIGHT, TOP, WIDTH, footing, heading
from services.report.drawing.pages import Drawn, shown_image
from services.report.drawing.palette import BACKGROUND, MUTED, PANEL, YELLOW
from services.report.drawing.patch_overlay import overlay
from services.report.drawing.placed_picture import Placed, fit, place
from services.report.drawing.scale_bar import draw_scale
from services.report.facts import RunFacts
from services.report.identity import use_mark
from services.report.image_names import image_name
from services.report.placed_arrays import read_placed
from services.report.regions import closed, encloses, regions_of
from services.report.statements import made_without, measured_value
from shared.findings import (
    Classification,
    HeatMap,
    Measurement,
    OrdinalGrade,
    Region,
    Segmentation,
    SourceImage,
)

_CAPTION = 48
_BAR = 122


def draw_page(facts: RunFacts, finding: Drawn, of_series: SourceImage | None = None) -> Image.Image:
    """The page, 1600 by 1300, about the image that shows the finding best, or about one `of_series`, which it names.

    Raises:
        KeyError: the image's picture is not among the facts.
    """
    canvas = Canvas(WIDTH, HEIGHT)
    _draw_heading(canvas, facts, finding)
    image = of_series or shown_image(finding, facts.read)
    if image is None:
        raise KeyError("the finding names no image")
    low = BOTTOM - _BAR - 14
    half = (WIDTH - 2 * EDGE - 20) / 2
    boxes = (EDGE, TOP, EDGE + half, low), (EDGE + half + 20, TOP, WIDTH - EDGE, low)
    regions = [r for r in regions_of(finding) if r.image == image]
    name = f", {image_name(facts, image)}" if of_series else ""
    _draw_pair(canvas, facts, image, finding, regions, boxes, f"As received{name}")
    draw_below(canvas, facts, finding, (EDGE, BOTTOM - _BAR, WIDTH - EDGE, BOTTOM))
    gates = facts.gates_of(image.series_instance_uid)
    made_by = f"Isocenter · {finding.package} {finding.version}"
    footing(canvas, gates, use_mark(facts), made_by, facts.released)
    return canvas.image


def _draw_heading(canvas: Canvas, facts: RunFacts, finding: Drawn) -> None:
    what = ", ".join([finding.code.meaning, *made_without(finding)])
    if isinstance(finding, Classification):
        verdict = "present" if finding.present else "absent"
        heading(canvas, facts.title, what, f"{finding.probability:.1%}", verdict.upper(), verdict)
    elif isinstance(finding, Measurement):
        heading(canvas, facts.title, what, measured_value(finding), "MEASURED", "measured")
    elif isinstance(finding, OrdinalGrade):
        heading(canvas, facts.title, what, finding.grades[finding.grade].name, "GRADED", "measured")
    else:
        heading(canvas, facts.title, what, "", "MARKED", "measured")


def _draw_pair(
    canvas: Canvas, facts: RunFacts, image: SourceImage, finding: Drawn, regions: list[Region],
    boxes: tuple[Box, Box], received: str,
) -> None:  # fmt: skip
    patch_map, picture = finding.patch_map if isinstance(finding, Classification) else None, facts.pictures[image]
    captions = received, "Evidence by patch" if patch_map else "What was found"
    if regions:
        what = "region{} outlined" if encloses(finding) else "place{} marked"
        found = "Where it looked" if regions[0].window else captions[1]
        captions = captions[0], f"{found}, {len(regions)} {what.format('s' if len(regions) != 1 else '')}"
    for box, caption in zip(boxes, captions, strict=True):
        canvas.panel(box, PANEL)
        canvas.text(((box[0] + box[2]) / 2, box[3] - _CAPTION / 2), caption, 30, MUTED, anchor="mm")
    whole = _above_caption(boxes[0])
    draw_scale(canvas, picture, place(canvas, picture, whole), whole)
    spot = _above_caption(boxes[1])
    over = overlay(patch_map, fit(picture, spot)) if patch_map else None
    if isinstance(finding, Segmentation | HeatMap):
        values = read_placed(facts, finding.placed)
        over = array_overlay(finding, values, finding.placed.images.index(image), fit(picture, spot))
    placed = place(canvas, picture, spot, over)
    for region in regions:
        _outline(canvas, placed, region, encloses(finding))


def _above_caption(box: Box) -> Box:
    return box[0], box[1], box[2], box[3] - _CAPTION + 8


def _outline(canvas: Canvas, placed: Placed, region: Region, is_outline: bool) -> None:
    """The region's line, dark below bright, so that it is seen on lung and on bone."""
    if region.graphic_type == "POINT":
        x, y = placed.point(*region.points[0])
        for radius, colour, width in ((17, BACKGROUND, 9), (16, YELLOW, 4)):
            canvas.draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=colour, width=width)
        return
    points = [placed.point(*p) for p in (closed(region.points) if is_outline else region.points)]
    canvas.draw.line(points, BACKGROUND, 8, joint="curve")
    canvas.draw.line(points, YELLOW, 4, joint="curve")
