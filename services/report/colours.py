"""Colours of segments, as viewers are recommended to draw them (PS3.3 C.10.7.1.1: CIELab)."""

from highdicom.color import CIELabColor
from PIL import ImageColor


def lab_of(colour: str) -> CIELabColor:
    """`#rrggbb` (sRGB) as CIELab."""
    red, green, blue = ImageColor.getrgb(colour)[:3]
    return CIELabColor.from_rgb(red, green, blue)
