"""Colours. The verdicts' stay apart for the colour-blind, and each has a shape of its own too."""

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


def mixed(colour: Colour, ground: Colour, share: float) -> Colour:
    """`colour` laid over `ground` at `share` from 0 to 1."""
    red, green, blue = (round(c * share + g * (1 - share)) for c, g in zip(colour, ground, strict=True))
    return red, green, blue
