"""Reads from the stored instances what result objects need: their headers, and the pictures that are drawn."""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydicom import Dataset

from services.report.facts import Picture
from services.report.source_header import clean_header
from shared.dicom.once import read_part10
from shared.findings import SourceImage
from shared.imaging.display import display_pixels
from shared.imaging.frames import Frame, load_frames

log = logging.getLogger(__name__)

_AXES = (("L", "R"), ("P", "A"), ("H", "F"))  # towards larger and smaller x, y and z (PS3.3 C.7.6.2.1.1)
_SPACINGS = {"pixel_spacing": "Pixel Spacing", "imager_pixel_spacing": "Imager Pixel Spacing"}
_OPPOSITE = {"L": "R", "R": "L", "A": "P", "P": "A", "H": "F", "F": "H"}


def read_sources(paths: Sequence[Path]) -> list[Dataset]:
    """`clean_header` of each file, in order of instance number; a file that can't be read is logged and left out."""
    headers = []
    for path in paths:
        try:
            header = clean_header(read_part10(path, force=True)[0])
        except Exception as error:
            log.warning("source left out: can't be read sop_instance_uid=%s cause=%s", path.stem, type(error).__name__)
            continue
        if all(k in header for k in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID")):
            headers.append(header)
    return sorted(headers, key=lambda h: (str(h.SeriesInstanceUID), int(h.get("InstanceNumber") or 0)))


def read_pictures(
    images: Iterable[SourceImage], paths: dict[str, Path]
) -> tuple[dict[SourceImage, Picture], list[str]]:
    """The pictures of `images`, and in words why others could not be had; `paths` are by SOP Instance UID."""
    pictures: dict[SourceImage, Picture] = {}
    missing: list[str] = []
    for image in dict.fromkeys(images):
        try:
            pictures[image] = _picture(image, paths[image.sop_instance_uid])
        except Exception as error:
            log.warning("no picture sop_instance_uid=%s cause=%s", image.sop_instance_uid, type(error).__name__)
            missing.append(f"image {image.sop_instance_uid} can't be drawn: {error}")
    return pictures, missing


def _picture(image: SourceImage, path: Path) -> Picture:
    frames = [f for f in load_frames([path]) if f.frame_index == (image.frame or 1) - 1]
    if not frames:
        raise ValueError(f"it has no frame {image.frame or 1} with pixels")
    spacing = frames[0].pixel_spacing or _aspect(path)
    return Picture(display_pixels(frames[0]), spacing, _edges(frames[0], path), _spacing_name(frames[0]))


def _spacing_name(frame: Frame) -> str:
    """Which attribute the spacing is from, of those that lengths in the report rest on too."""
    own = [name for keyword, name in _SPACINGS.items() if _same(frame.header.get(keyword), frame.pixel_spacing)]
    return own[0] if own else ""


def _same(value: Any, spacing: tuple[float, float] | None) -> bool:
    return spacing is not None and isinstance(value, tuple) and value == spacing


def _aspect(path: Path) -> tuple[float, float] | None:
    """Pixel Aspect Ratio, vertical to horizontal (PS3.3 C.7.6.3.1.7), for images without any spacing."""
    ratio = read_part10(path, ["PixelAspectRatio"])[0].get("PixelAspectRatio")
    try:
        vertical, horizontal = (float(v) for v in ratio or ())
    except (TypeError, ValueError):  # a single value is no ratio, and no reason to go without a picture
        return None
    return (vertical, horizontal) if vertical > 0 and horizontal > 0 else None


def _edges(frame: Frame, path: Path) -> tuple[str, str, str, str]:
    """Letters at left, top, right and bottom."""
    if frame.orientation:
        right, bottom = _letter(frame.orientation[:3]), _letter(frame.orientation[3:])
    else:
        tags = ["PatientOrientation"]
        said = read_part10(path, tags)[0].get("PatientOrientation") or ("", "")
        right, bottom = (str(v)[:1].upper() for v in said) if len(said) == 2 else ("", "")
    return _OPPOSITE.get(right, ""), _OPPOSITE.get(bottom, ""), right, bottom


def _letter(direction: Sequence[float]) -> str:
    """The main direction that a row or column runs to."""
    axis = max(range(3), key=lambda i: abs(direction[i]))
    return _AXES[axis][direction[axis] < 0]
