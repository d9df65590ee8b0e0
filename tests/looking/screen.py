"""What is on a screenshot: four white squares that were planted in the image say where everything else lies in it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from tests.looking.hues import of_hue

Places = NDArray[np.float64]  # (n, 2): column, row
SIDES = (8, 40)  # how large a square may be on the screen
MOST_ASKEW = 1.0  # screen pixels that a square may lie from where the others say


@dataclass
class Screen:
    """A screenshot of an image of `size` pixels a side, in which the squares' centres lie at `squares`.

    Places in the image are counted from the outer corner of its first pixel, as a report's are.
    """

    pixels: NDArray[np.uint8]
    text: str
    squares: list[tuple[float, float]]
    size: int

    @classmethod
    def of(cls, path: Path, squares: list[tuple[float, float]], size: int) -> "Screen":
        with Image.open(path.with_suffix(".png")) as image:
            pixels = np.asarray(image.convert("RGB"))
        return cls(pixels, path.with_suffix(".txt").read_text(), squares, size)

    def places_of(self, colour: str) -> Places:
        """Where in the image its hue is.

        Raises:
            AssertionError: it is nowhere in it, the squares are not there, or the image is turned, stretched or bent.
        """
        scale, offset = self.mapping()
        places = (np.argwhere(of_hue(self.pixels, colour))[:, ::-1] + 0.5 - offset) / scale
        inside = places[((places > 0) & (places < self.size)).all(axis=1)]
        assert len(inside) > 20, f"nothing in the image is {colour}"
        return np.asarray(inside)

    def mapping(self) -> tuple[Places, Places]:
        """Screen pixels for a pixel of the image, and the screen's place of its corner."""
        seen, planted = self._seen_squares(), np.array(sorted(self.squares, key=lambda p: (p[1], p[0])))
        scale = np.ptp(seen, axis=0) / np.ptp(planted, axis=0)
        offset = (seen - planted * scale).mean(axis=0)
        assert np.abs(planted * scale + offset - seen).max() < MOST_ASKEW, f"squares at {seen.tolist()}"
        assert abs(scale[0] / scale[1] - 1) < 0.01, f"stretched: {scale.tolist()}"
        return scale, offset

    def _seen_squares(self) -> Places:
        """The centres of the four (of several pictures the right-hand one's), row by row from the left."""
        patches, _ = ndimage.label((self.pixels > 200).all(axis=2))
        found = []
        for number, (down, across) in enumerate(ndimage.find_objects(patches), start=1):
            height, width = down.stop - down.start, across.stop - across.start
            full = (patches[down, across] == number).mean()
            if SIDES[0] <= height <= SIDES[1] and abs(height - width) <= 1 and full > 0.9:
                found.append(((across.start + across.stop) / 2, (down.start + down.stop) / 2))
        assert len(found) >= 4, f"{len(found)} squares on the screen"
        rows = sorted(sorted(found)[-4:], key=lambda p: p[1])
        return np.array([*sorted(rows[:2]), *sorted(rows[2:])])
