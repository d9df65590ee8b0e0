"""Grey values as a radiologist sees them: modality, then window or VOI LUT, then photometric inversion."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom.pixels.processing import apply_voi

from shared.imaging.frames import Frame

# Where nothing says how to look at an image: all but the darkest and the brightest hundredth.
_PERCENTILES = (1.0, 99.0)


class Window(NamedTuple):
    """Which values are shown from black to white (PS3.3 C.11.2.1.2)."""

    center: float
    width: float
    function: str = "LINEAR"


def display_pixels(frame: Frame) -> NDArray[np.uint8]:
    """(rows, columns) uint8, 0 black and 255 white, by the first VOI LUT or window of the image (PS3.3 C.11.2), else by
    percentiles; MONOCHROME1 is inverted (PS3.3 C.7.6.3.1.2).

    Raises:
        UndecodablePixels: the pixels can't be had.
    """
    shown = np.rint(windowed(frame, frame.pixels())).astype(np.uint8)
    return 255 - shown if frame.header.get("photometric_interpretation") == "MONOCHROME1" else shown


def windowed(frame: Frame, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values after the modality LUT, in 0 to 255 by the image's own first VOI LUT or window, else by percentiles."""
    if is_colour(frame):
        return np.asarray(np.clip(pixels / (_full_range(frame) / 255.0), 0, 255), np.float32)
    return _voi(frame, pixels)


def window(pixels: NDArray[np.float32], center: float, width: float, function: str = "LINEAR") -> NDArray[np.float32]:
    """Values in 0 to 255 by a window (PS3.3 C.11.2.1.2 LINEAR, C.11.2.1.3.2 LINEAR_EXACT, C.11.2.1.3.1 SIGMOID)."""
    values = pixels.astype(np.float64)
    if function == "SIGMOID":
        shown = 1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - center) / width, -700.0, 700.0)))
    elif function == "LINEAR_EXACT":
        shown = (values - center) / width + 0.5
    else:
        shown = (values - (center - 0.5)) / max(width - 1.0, 1e-9) + 0.5
    return np.asarray(np.clip(shown, 0.0, 1.0) * 255.0, np.float32)


def said_window(frame: Frame) -> Window | None:
    """The first of the image's own windows (any may be shown, the first is what viewers show); None where none is."""
    center, width = _first(frame.header.get("window_center")), _first(frame.header.get("window_width"))
    if center is None or width is None or width <= 0:
        return None
    return Window(center, width, str(frame.header.get("voilut_function", "LINEAR")))


def usual_window(pixels: NDArray[np.float32]) -> Window:
    """By percentiles, where nothing says how to look at an image; from the least to the largest of an even one."""
    low, high = _limits(pixels)
    return Window((low + high + 1) / 2, max(high - low, 0.0) + 1)


def voi_table(frame: Frame) -> tuple[NDArray[np.int64], int, int] | None:
    """The first VOI LUT (PS3.3 C.11.2.1.1): its entries, the value of the first, and how many bits they have; None
    where there is no whole one."""
    image = frame.pixel_data.image if frame.pixel_data else None
    if image is None or not image.get("VOILUTSequence"):
        return None
    try:
        count, first, bits = (int(part) for part in image.VOILUTSequence[0].LUTDescriptor)
        inputs = np.arange(first, first + (count or 1 << 16), dtype=np.int64)
        return np.asarray(apply_voi(inputs, image), np.int64), first, bits
    except Exception:
        return None


def _voi(frame: Frame, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    by_table = _by_table(frame, pixels)
    if by_table is not None:
        return by_table
    if said := said_window(frame):
        shown = window(pixels, *said)
        if shown.min() < shown.max() or pixels.min() == pixels.max():
            return shown
    return _by_percentile(pixels)


def _by_table(frame: Frame, pixels: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """By the VOI LUT Sequence, when there is a whole one."""
    if (found := voi_table(frame)) is None:
        return None
    table, first, bits = found
    shown = table[np.clip(np.rint(pixels).astype(np.int64) - first, 0, len(table) - 1)]
    return np.clip(np.asarray(shown, np.float32) / float(2**bits - 1), 0, 1) * np.float32(255)


def _by_percentile(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    low, high = _limits(pixels)
    return np.nan_to_num(np.clip((pixels - low) / max(high - low, 1e-9), 0, 1)) * np.float32(255)


def _limits(pixels: NDArray[np.float32]) -> tuple[float, float]:
    """What is black and what is white by percentiles."""
    finite = pixels[np.isfinite(pixels)]
    if finite.size == 0:
        return 0.0, 0.0
    low, high = (float(p) for p in np.percentile(finite, _PERCENTILES))
    return (low, high) if high > low else (float(finite.min()), float(finite.max()))


def is_colour(frame: Frame) -> bool:
    return frame.header.get("samples_per_pixel", 1) == 3 or _photometric(frame) == "PALETTE COLOR"


def _photometric(frame: Frame) -> str:
    return str(frame.header.get("photometric_interpretation", ""))


def _full_range(frame: Frame) -> float:
    """The largest value of a colour image: its bits, or the palette's."""
    bits = frame.header.get("bits_allocated", 8)
    image = frame.pixel_data.image if frame.pixel_data else None
    if (
        image is not None
        and _photometric(frame) == "PALETTE COLOR"
        and image.get("RedPaletteColorLookupTableDescriptor")
    ):
        bits = image.RedPaletteColorLookupTableDescriptor[2]
    return float(2 ** int(bits) - 1)


def _first(value: Any) -> float | None:
    """The first of several values, where it is a number."""
    part = value[0] if isinstance(value, tuple) and value else value
    return float(part) if isinstance(part, float | int) and np.isfinite(part) else None
