"""The patch map over its image: what speaks for the finding in vermillion, what speaks against it in blue."""

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from services.report.drawing.canvas import Box, Canvas
from services.report.drawing.palette import INK, MUTED, SKY, VERMILLION, mixed
from services.report.drawing.placed_picture import Placed
from shared.findings import PatchMap

_ENDS = 110  # room for the words at the key's ends
_STRONGEST = 0.62  # the image stays visible under the strongest patch


def strength(values: ArrayLike) -> float:
    """The logit that is drawn at full strength: the largest in size, at least 1."""
    return max(1.0, float(np.abs(np.asarray(values)).max()))


def overlay(patch_map: PatchMap, placed: Placed, strongest: float = 0.0) -> Image.Image:
    """RGBA of the placed picture's size; patches keep their edges, since each was judged on its own.

    `strongest` is drawn at full strength, where it is given.
    """
    logits = np.asarray(patch_map.logits, np.float32)
    share = np.clip(np.abs(logits) / (strongest or strength(logits)), 0, 1)
    cells = np.zeros((*logits.shape, 4), np.uint8)
    cells[..., :3] = np.where((logits > 0)[..., None], VERMILLION, SKY)
    cells[..., 3] = np.round(255 * _STRONGEST * share * np.where(logits > 0, 1.0, 0.45)).astype(np.uint8)
    left, top = placed.point(*patch_map.box[:2])
    right, bottom = placed.point(*patch_map.box[2:])
    size = max(1, round(right - left)), max(1, round(bottom - top))
    whole = Image.new("RGBA", (placed.width, placed.height))
    whole.paste(Image.fromarray(cells).resize(size, Image.Resampling.NEAREST),
                (round(left) - placed.left, round(top) - placed.top))  # fmt: skip
    return whole


def draw_key(canvas: Canvas, box: Box, strongest: float, unit: str, of: str = "", signed: bool = True) -> None:
    """The colours' key: evidence against at left, for at right; `strongest` is the value at both ends.

    What is not `signed` begins at 0. `of` says what range `strongest` lies in.
    """
    left, top, right, bottom = box
    steps = 120
    for index in range(steps):
        share = index / (steps - 1) * (2 if signed else 1) - signed
        colour = mixed(VERMILLION, (70, 70, 70), share) if share > 0 else mixed(SKY, (70, 70, 70), -share * 0.45)
        x = left + (right - left) * index / steps
        canvas.draw.rectangle((x, top, x + (right - left) / steps + 1, bottom), fill=colour)
    middle, y = (left + right) / 2, bottom + 28
    if signed:
        canvas.draw.line((middle, top - 6, middle, bottom + 6), INK, 2)
    canvas.text((left, y), "against" if signed else "0", 28, MUTED, anchor="lm")
    canvas.text((right, y), "for", 28, MUTED, anchor="rm")
    most = np.format_float_positional(strongest, precision=2, fractional=False, trim="-")  # no exponent
    said = " ".join(filter(None, [f"{'±' if signed else 'up to '}{most}", unit, of]))
    canvas.text((middle, y), said, 28, MUTED, anchor="mm", room=right - left - 2 * _ENDS)
