"""Grey values as a radiologist sees them: modality, then window or VOI LUT, then photometric inversion."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.pixels.processing import apply_voi

from shared.imaging.frames import Frame

# Where nothing says how to look at an image: all but the darkest and the brightest hundredth.
_PERCENTILES = (1.0, 99.0)


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
    if _is_colour(frame):
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


def _voi(frame: Frame, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    by_table = _by_table(frame, pixels)
    if by_table is not None:
        return by_table
    center, width = _first(frame.header.get("window_center")), _first(frame.header.get("window_width"))
    if center is not None and width is not None and width > 0:
        shown = window(pixels, center, width, str(frame.header.get("voilut_function", "LINEAR")))
        if shown.min() < shown.max() or pixels.min() == pixels.max():
            return shown
    return _by_percentile(pixels)


def _by_table(frame: Frame, pixels: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """By the VOI LUT Sequence, when there is a whole one."""
    image = frame.pixel_data.image if frame.pixel_data else None
    if image is None or not image.get("VOILUTSequence"):
        return None
    try:
        shown = apply_voi(np.rint(pixels).astype(np.int64), image)
        bits = int(image.VOILUTSequence[0].LUTDescriptor[2])
    except Exception:
        return None
    return np.clip(np.asarray(shown, np.float32) / float(2**bits - 1), 0, 1) * np.float32(255)


def _by_percentile(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    finite = pixels[np.isfinite(pixels)]
    if finite.size == 0:
        return np.zeros_like(pixels)
    low, high = (float(p) for p in np.percentile(finite, _PERCENTILES))
    if high <= low:
        low, high = float(finite.min()), float(finite.max())
    return np.nan_to_num(np.clip((pixels - low) / max(high - low, 1e-9), 0, 1)) * np.float32(255)


def _is_colour(frame: Frame) -> bool:
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
    """The first of several windows (PS3.3 C.11.2.1.2: any may be shown, the first is what viewers show)."""
    part = value[0] if isinstance(value, tuple) and value else value
    return float(part) if isinstance(part, float | int) and np.isfinite(part) else None
