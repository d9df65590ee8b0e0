"""How a source image asks to be shown: what a presentation state has to say again, since it stands in its place."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataelem import DataElement
from pydicom.valuerep import DSfloat

from shared.findings import SourceImage
from shared.imaging.display import is_colour, said_window, usual_window, voi_table
from shared.imaging.frames import Frame, load_frames

log = logging.getLogger(__name__)

_LARGEST_RATIO = 10_000  # an aspect ratio is a pair of whole numbers


@dataclass(frozen=True)
class Display:
    """Of one grey image or frame. `modality` holds the Modality LUT module (PS3.3 C.11.1), `voi` is an item of the
    Softcopy VOI LUT Sequence (C.11.8), `area` one of the Displayed Area Selection Sequence (C.10.4).
    """

    modality: Dataset
    voi: Dataset
    area: Dataset
    inverse: bool  # the smallest value is white (MONOCHROME1)

    @property
    def shared(self) -> str:
        """What images of one presentation state have in common: all but the window."""
        return "|".join([self.modality.to_json(), self.area.to_json(), str(self.inverse)])


def read_displays(images: Iterable[SourceImage], paths: dict[str, Path]) -> dict[SourceImage, Display]:
    """Those of `images` that are grey and can be read; `paths` are by SOP Instance UID."""
    wanted, displays = set(images), {}
    for uid in dict.fromkeys(image.sop_instance_uid for image in wanted):
        try:
            frames = [frame for frame in load_frames([paths[uid]]) if frame.source in wanted]
            displays.update({frame.source: _display(frame) for frame in frames if not is_colour(frame)})
        except Exception as error:  # whatever an odd source raises: the object is then made without this image
            log.warning("no display sop_instance_uid=%s cause=%s", uid, type(error).__name__)
    return displays


def _display(frame: Frame) -> Display:
    inverse = frame.header.get("photometric_interpretation") == "MONOCHROME1"
    return Display(_modality(frame), _voi(frame), _area(frame), inverse)


def _modality(frame: Frame) -> Dataset:
    if frame.pixel_data is None:
        raise ValueError("there is no pixel data")
    said, image, ds = frame.pixel_data.modality(frame.header), frame.pixel_data.image, Dataset()
    if said.table is None:
        usual = "HU" if frame.header.get("modality") == "CT" else "US"
        ds.RescaleIntercept, ds.RescaleSlope = _decimal(said.intercept), _decimal(said.slope)
        ds.RescaleType = str(image.get("RescaleType") or usual)
        return ds
    source = image.ModalityLUTSequence[0]
    item = _table(said.table, said.first, int(source.LUTDescriptor[2]))
    item.ModalityLUTType = str(source.get("ModalityLUTType") or "US")
    ds.ModalityLUTSequence = [item]
    return ds


def _voi(frame: Frame) -> Dataset:
    """The image's own VOI LUT or window, as viewers show it, else a window by its values."""
    item = Dataset()
    if found := voi_table(frame):
        item.VOILUTSequence = [_table(*found)]
        return item
    window = said_window(frame) or usual_window(frame.pixels())
    item.WindowCenter, item.WindowWidth = _decimal(window.center), _decimal(window.width)
    if window.function != "LINEAR":
        item.VOILUTFunction = window.function
    return item


def _area(frame: Frame) -> Dataset:
    """The whole image, with the size of its pixels, or only with their aspect."""
    item = Dataset()
    item.DisplayedAreaTopLeftHandCorner = [1, 1]
    item.DisplayedAreaBottomRightHandCorner = [frame.columns, frame.rows]
    item.PresentationSizeMode = "SCALE TO FIT"
    if frame.pixel_spacing:
        item.PresentationPixelSpacing = [_decimal(v) for v in frame.pixel_spacing]
    else:
        item.PresentationPixelAspectRatio = _aspect(frame)
    return item


def _aspect(frame: Frame) -> list[int]:
    """Pixel Aspect Ratio, vertical to horizontal, of an image without any spacing (PS3.3 C.7.6.3.1.7)."""
    try:
        vertical, horizontal = (float(v) for v in frame.pixel_data.image.PixelAspectRatio)  # type: ignore[union-attr]
        ratio = Fraction(vertical / horizontal).limit_denominator(_LARGEST_RATIO)
    except (AttributeError, TypeError, ValueError, ZeroDivisionError, OverflowError):
        return [1, 1]
    return [ratio.numerator, ratio.denominator] if ratio > 0 else [1, 1]


def _table(entries: NDArray[Any], first: int, bits: int) -> Dataset:
    """A LUT as an item of its sequence; the source's own may be in another byte order."""
    item = Dataset()
    descriptor = [len(entries) % (1 << 16), first, bits]
    item["LUTDescriptor"] = DataElement("LUTDescriptor", "SS" if first < 0 else "US", descriptor)
    item["LUTData"] = DataElement("LUTData", "US", [int(v) for v in entries])
    return item


def _decimal(value: float) -> DSfloat:
    """At most 16 characters (DS)."""
    return DSfloat(value, auto_format=True)
