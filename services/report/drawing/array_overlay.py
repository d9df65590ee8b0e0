"""Segments and heat maps over their image: the segments in their colours, a map as the patch map's evidence."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor

from services.report.drawing.palette import GREEN, SKY, VERMILLION, YELLOW, Colour
from services.report.drawing.patch_overlay import overlay as evidence
from services.report.drawing.placed_picture import Placed
from shared.findings import HeatMap, PatchMap, Segmentation

_COLOURS = (VERMILLION, SKY, YELLOW, GREEN)  # as in the segmentation
_STRENGTH = 0.5  # the image stays visible below


def strongest_of(values: NDArray[Any]) -> float:
    """The value of a heat map that is drawn at full strength: its largest in size, over all its planes."""
    return float(np.abs(values).max()) or 1.0


def overlay(finding: Segmentation | HeatMap, values: NDArray[Any], n: int, placed: Placed) -> Image.Image:
    """RGBA of the placed picture's size, from the `n`th plane of the finding's array."""
    plane, box = values[n], finding.placed.boxes[n] if finding.placed.boxes else None
    if isinstance(finding, Segmentation):
        return _segments(finding, plane, placed)
    rows, columns = plane.shape
    logits = tuple(tuple(float(v) for v in row) for row in plane)
    image = finding.placed.images[0]
    patches = PatchMap(image=image, logits=logits, box=box or (0, 0, columns, rows))
    return evidence(patches, placed, strongest_of(values))


def colour_of(finding: Segmentation, n: int) -> Colour:
    """Of the `n`th segment, from 0: its own, else one that stays apart for the colour-blind."""
    own = finding.segments[n].colour
    red, green, blue = ImageColor.getrgb(own)[:3] if own else _COLOURS[n % len(_COLOURS)]
    return red, green, blue


def _segments(finding: Segmentation, plane: NDArray[Any], placed: Placed) -> Image.Image:
    cells = np.zeros((*plane.shape, 4), np.uint8)
    for n, segment in enumerate(finding.segments):
        inside = plane > 0 if finding.fractional else plane == segment.number
        share = np.clip(plane, 0, 1) if finding.fractional else np.ones(plane.shape)
        cells[inside, :3] = colour_of(finding, n)
        cells[inside, 3] = np.round(255 * _STRENGTH * share[inside]).astype(np.uint8)
    return Image.fromarray(cells).resize((placed.width, placed.height), Image.Resampling.NEAREST)
