"""Colours and letters. The verdicts' colours stay apart for the colour-blind, and each has a shape of its own too."""

import unicodedata
from functools import cache

from PIL import ImageFont

Colour = tuple[int, int, int]

BACKGROUND: Colour = (11, 13, 17)
PANEL: Colour = (22, 26, 33)
LINE: Colour = (58, 66, 78)
INK: Colour = (238, 241, 245)
MUTED: Colour = (160, 170, 182)
# After Okabe and Ito: bluish green, yellow, vermillion, sky blue; lifted for a dark ground.
GREEN: Colour = (24, 176, 134)
YELLOW: Colour = (240, 228, 66)
VERMILLION: Colour = (238, 110, 50)
SKY: Colour = (86, 180, 233)

VERDICTS: dict[str, Colour] = {
    "pass": GREEN, "warn": YELLOW, "hold": VERMILLION, "present": VERMILLION, "absent": SKY, "measured": SKY,
}  # fmt: skip

# Letters that Pillow's own font lacks.
_REPLACED = {
    "–": "-", "—": "-", "−": "-", "≥": ">=", "≤": "<=", "×": "x", "µ": "u", "ß": "ss", "ø": "o", "æ": "ae",
    "’": "'", "‘": "'", "“": '"', "”": '"',
}  # fmt: skip


@cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font, so that every machine draws the same."""
    return ImageFont.load_default(size=size)


def printable(text: str) -> str:
    """`text` in letters that the font has; accents are dropped, what is left over becomes a question mark."""
    replaced = "".join(_REPLACED.get(letter, letter) for letter in text)
    plain = unicodedata.normalize("NFKD", replaced)
    kept = (c for c in plain if not unicodedata.combining(c))
    return "".join(c if " " <= c <= "~" or c in "·°±…" else "?" for c in kept)


def mixed(colour: Colour, ground: Colour, share: float) -> Colour:
    """`colour` laid over `ground` at `share` from 0 to 1."""
    red, green, blue = (round(c * share + g * (1 - share)) for c, g in zip(colour, ground, strict=True))
    return red, green, blue
