"""Reads a series as frames in slice order: headers first and only; pixels when asked, one frame at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.findings import SourceImage
from shared.imaging.decode import PixelData, Stored, UndecodablePixels
from shared.imaging.headers import read_headers

Pair = tuple[float, float]
Triple = tuple[float, float, float]
Sextuple = tuple[float, float, float, float, float, float]

__all__ = ["Frame", "Stored", "UndecodablePixels", "load_frames", "normal_of"]

# Directions are written with few decimals: cosines that differ by less than this are the same plane (about 0.06°).
SAME_DIRECTION = 1e-3


@dataclass(frozen=True)
class Frame:
    """One frame of an instance: its header, and its pixels on request.

    `pixel_spacing` is (between rows, between columns) in mm; `orientation` and `position` are Image Orientation and
    Image Position (Patient), PS3.3 C.7.6.2.1.1, of this frame. `header` holds what gates look at, by keyword in
    snake_case, with the frame's own value where the instance has functional groups (PS3.3 C.7.6.16).
    """

    source: SourceImage
    path: Path
    frame_index: int  # 0-based
    rows: int
    columns: int
    pixel_spacing: Pair | None = None
    orientation: Sextuple | None = None
    position: Triple | None = None
    header: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    pixel_data: PixelData | None = field(default=None, compare=False, repr=False)

    def stored(self) -> Stored:
        """The stored values, (rows, columns) float32, colour turned to luminance, and the modality transform beside.

        Raises:
            UndecodablePixels: the pixel data is missing, broken, too large or in an unknown encoding.
        """
        if self.pixel_data is None:
            raise UndecodablePixels("there is no pixel data")
        return self.pixel_data.frame(self.frame_index, self.pixel_data.modality(self.header))

    def pixels(self) -> NDArray[np.float32]:
        """(rows, columns) after the modality LUT or rescale (PS3.3 C.11.1), in the modality's unit.

        Raises:
            UndecodablePixels: the pixel data is missing, broken, too large or in an unknown encoding.
        """
        stored = self.stored()
        return stored.modality.apply(stored.values)

    @property
    def instance_number(self) -> int | None:
        """Instance Number, where there is one."""
        value = self.header.get("instance_number")
        return value if isinstance(value, int) else None


def load_frames(paths: Sequence[Path]) -> list[Frame]:
    """Every frame of the images in `paths`, in slice order; objects that are no images (SR, PR, …) give none.

    Slices of one plane go by the projection of their position on its normal, repeated ones by instance number; where
    positions or planes differ or are missing, by instance number.

    Raises:
        UndecodablePixels: a file is not DICOM, or claims more frames or pixels than it can hold.
    """
    frames = [frame for path in paths for frame in _frames_of(path)]
    return _in_slice_order(frames)


def normal_of(orientation: Sextuple) -> NDArray[np.float64]:
    """The unit normal of a plane given by its row and column cosines; zero when these are parallel."""
    normal = np.cross(orientation[:3], orientation[3:])
    length = float(np.linalg.norm(normal))
    return normal / length if length > 1e-6 else normal * 0.0


def _frames_of(path: Path) -> list[Frame]:
    pixel_data, headers = read_headers(path)
    several = len(headers) > 1
    return [
        Frame(
            source=_source(header, index + 1 if several else None), path=path, frame_index=index,
            rows=header["rows"], columns=header["columns"], pixel_spacing=_spacing(header),
            orientation=_numbers(header.get("image_orientation_patient"), 6),
            position=_numbers(header.get("image_position_patient"), 3), header=header,
            pixel_data=pixel_data,
        )
        for index, header in enumerate(headers)
    ]  # fmt: skip


def _source(header: dict[str, Any], frame: int | None) -> SourceImage:
    return SourceImage(
        series_instance_uid=str(header.get("series_instance_uid", "")),
        sop_instance_uid=str(header.get("sop_instance_uid", "")),
        sop_class_uid=str(header.get("sop_class_uid", "")),
        frame=frame,
    )


def _spacing(header: dict[str, Any]) -> Pair | None:
    """Pixel Spacing, else the spacing at the detector or scanner (PS3.3 10.7.1.3)."""
    for keyword in ("pixel_spacing", "imager_pixel_spacing", "nominal_scanned_pixel_spacing"):
        spacing = _numbers(header.get(keyword), 2)
        if spacing and min(spacing) > 0:
            return spacing
    return None


def _numbers(value: Any, count: int) -> Any:
    """`count` finite numbers as a tuple, or None."""
    try:
        numbers = tuple(float(part) for part in value)
    except (TypeError, ValueError):
        return None
    return numbers if len(numbers) == count and bool(np.isfinite(numbers).all()) else None


def _in_slice_order(frames: list[Frame]) -> list[Frame]:
    def by_number(frame: Frame) -> tuple[int, str, int]:
        return frame.instance_number or 0, frame.source.sop_instance_uid, frame.frame_index

    first = frames[0].orientation if frames else None
    if first is None or not all(_in_plane_of(frame, first) for frame in frames):
        return sorted(frames, key=by_number)
    normal = normal_of(first)

    def by_place(frame: Frame) -> tuple[float, tuple[int, str, int]]:
        return round(float(np.dot(np.asarray(frame.position), normal)), 3), by_number(frame)

    return sorted(frames, key=by_place)


def _in_plane_of(frame: Frame, orientation: Sextuple) -> bool:
    if frame.orientation is None or frame.position is None:
        return False
    return bool(np.allclose(frame.orientation, orientation, atol=SAME_DIRECTION))
