"""The page of a finding in an image: the image as it is beside the same with patch map and outlines."""

import logging
from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray
from PIL import Image

from services.report.drawing.array_overlay import overlay as array_overlay
from services.report.drawing.array_overlay import place_to_show
from services.report.drawing.below import draw_below
from services.report.drawing.canvas import Box, Canvas
from services.report.drawing.page import BOTTOM, EDGE, HEIGHT, TOP, WIDTH, footing, heading
from services.report.drawing.palette import BACKGROUND, MUTED, PANEL, YELLOW
from services.report.drawing.patch_overlay import overlay
from services.report.drawing.placed_picture import Placed, fit, place
from services.report.drawing.scale_bar import draw_scale
from services.report.facts import RunFacts
from services.report.identity import use_mark
from services.report.placed_arrays import read_placed
from services.report.regions import closed, regions_of
from services.report.statements import measured_value
from shared.findings import (
    ArrayFile,
    Classification,
    HeatMap,
    KeyImage,
    Landmark,
    Measurement,
    OrdinalGrade,
    Region,
    Segmentation,
    SourceImage,
)

log = logging.getLogger(__name__)

_CAPTION = 48
_BAR = 122


Drawn = Classification | OrdinalGrade | Measurement | Landmark | KeyImage | Segmentation | HeatMap
Read = Callable[[ArrayFile], NDArray[Any]]


def shown_image(finding: Drawn, read: Read) -> SourceImage | None:
    """The image that the page is about: that of the patch map, else of the first region, else the one that counted
    most or has the most to show, else the first source.
    """
    if isinstance(finding, Segmentation | HeatMap):
        return finding.placed.images[_plane_to_show(finding, read)]
    if isinstance(finding, Classification) and finding.patch_map:
        return finding.patch_map.image
    if isinstance(finding, KeyImage):
        return finding.image
    if finding.regions:
        return finding.regions[0].image
    if not isinstance(finding, Landmark) and finding.slice_weights and finding.slice_weights.weights:
        return max(finding.slice_weights.weights, key=lambda weight: weight.weight).image
    return finding.sources[0] if finding.sources else None


def _plane_to_show(finding: Segmentation | HeatMap, read: Read) -> int:
    """The plane with the most in it; of an array that can't be read the first, and the page then is not drawn."""
    try:
        return place_to_show(read(finding.placed.array))
    except Exception as error:  # whatever a broken file raises: the other objects still go
        log.warning("no plane to show finding=%s cause=%s", finding.name, type(error).__name__)
        return 0


def draw_page(facts: RunFacts, finding: Drawn) -> Image.Image:
    """The page, 1600 by 1200.

    Raises:
        KeyError: the image's picture is not among the facts.
    """
    canvas = Canvas(WIDTH, HEIGHT)
    _draw_heading(canvas, facts, finding)
    image = shown_image(finding, facts.read)
    if image is None:
        raise KeyError("the finding names no image")
    low = BOTTOM - _BAR - 14
    half = (WIDTH - 2 * EDGE - 20) / 2
    boxes = (EDGE, TOP, EDGE + half, low), (EDGE + half + 20, TOP, WIDTH - EDGE, low)
    regions = [r for r in regions_of(finding) if r.image == image]
    _draw_pair(canvas, facts, image, finding, regions, boxes)
    plane = finding.placed.images.index(image) if isinstance(finding, Segmentation | HeatMap) else 0
    draw_below(canvas, facts, finding, plane, (EDGE, BOTTOM - _BAR, WIDTH - EDGE, BOTTOM))
    gates = facts.gates_of(image.series_instance_uid)
    made_by = f"Isocenter · {finding.package} {finding.version}"
    footing(canvas, gates, use_mark(facts), made_by, facts.released)
    return canvas.image


def _draw_heading(canvas: Canvas, facts: RunFacts, finding: Drawn) -> None:
    if isinstance(finding, Classification):
        verdict = "present" if finding.present else "absent"
        heading(canvas, facts.title, finding.code.meaning, f"{finding.probability:.1%}", verdict.upper(), verdict)
    elif isinstance(finding, Measurement):
        heading(canvas, facts.title, finding.code.meaning, measured_value(finding), "MEASURED", "measured")
    elif isinstance(finding, OrdinalGrade):
        heading(canvas, facts.title, finding.code.meaning, finding.grades[finding.grade].name, "GRADED", "measured")
    else:
        heading(canvas, facts.title, finding.code.meaning, "", "MARKED", "measured")


def _draw_pair(
    canvas: Canvas, facts: RunFacts, image: SourceImage, finding: Drawn, regions: list[Region],
    boxes: tuple[Box, Box],
) -> None:  # fmt: skip
    patch_map, picture = finding.patch_map if isinstance(finding, Classification) else None, facts.pictures[image]
    captions = "As received", "Evidence by patch" if patch_map else "What was found"
    if regions:
        what = "place{} marked" if isinstance(finding, Landmark) or _is_line(finding) else "region{} outlined"
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
        plane = finding.placed.images.index(image)
        grid = finding.placed.boxes[plane] if finding.placed.boxes else None
        over = array_overlay(finding, read_placed(facts, finding.placed)[plane], grid, fit(picture, spot))
    placed = place(canvas, picture, spot, over)
    for region in regions:
        _outline(canvas, placed, region, not isinstance(finding, Landmark) and not _is_line(finding))


def _above_caption(box: Box) -> Box:
    return box[0], box[1], box[2], box[3] - _CAPTION + 8


def _is_line(finding: Drawn) -> bool:
    return isinstance(finding, Measurement) and finding.geometry in ("length", "angle")


def _outline(canvas: Canvas, placed: Placed, region: Region, encloses: bool) -> None:
    """The region's line, dark below bright, so that it is seen on lung and on bone."""
    if region.graphic_type == "POINT":
        x, y = placed.point(*region.points[0])
        for radius, colour, width in ((17, BACKGROUND, 9), (16, YELLOW, 4)):
            canvas.draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=colour, width=width)
        return
    points = [placed.point(*p) for p in (closed(region.points) if encloses else region.points)]
    canvas.draw.line(points, BACKGROUND, 8, joint="curve")
    canvas.draw.line(points, YELLOW, 4, joint="curve")
