"""Which pixels are of a colour, mixed with whatever grey: what lies half transparent over an image keeps its hue."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor

VIEWPORT = np.s_[60:-20, 300:-60]  # of a screenshot: where the images are
APART = 6  # of 256
CHROMA = 60  # of 256: below it is grey


def of_hue(pixels: NDArray[np.uint8], colour: str) -> NDArray[np.bool_]:
    """(rows, columns) of RGB `pixels`: those that have the hue of `colour` (#rrggbb)."""
    hue = np.asarray(Image.fromarray(pixels).convert("HSV"))[..., 0].astype(int)
    own = Image.new("RGB", (1, 1), ImageColor.getrgb(colour)).convert("HSV").getpixel((0, 0))[0]
    apart = np.abs(hue - own)
    return (np.minimum(apart, 256 - apart) <= APART) & (np.ptp(pixels, axis=2) >= CHROMA)
