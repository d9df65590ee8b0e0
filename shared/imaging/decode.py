"""Decodes one frame's pixel data, whatever its transfer syntax, and never allocates what the file can't mean."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut
from pydicom.pixels.utils import as_pixel_options, pixel_array
from pydicom.uid import (
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from shared.dicom.once import read_part10
from shared.imaging.codestream import claim_of

MOST_PIXELS = 1 << 26
"""Largest frame that is decoded, in pixels: twice the largest mammogram; 256 MiB as float32."""

# A picture takes more than this; a small one may be blank, and costs little whatever it claims.
_LARGE, _MOST_PIXELS_A_BYTE = 1 << 24, 2000
_MOST_COMPONENTS = 4

# GDCM, which comes first otherwise, ends the process on broken input: it decodes what nothing else can.
_DECODERS = {
    JPEGBaseline8Bit: "pillow", JPEGExtended12Bit: "pillow", JPEGLSLossless: "pyjpegls", JPEGLSNearLossless: "pyjpegls",
    JPEG2000Lossless: "pylibjpeg", JPEG2000: "pylibjpeg",
}  # fmt: skip

# ITU-R BT.601, which PS3.3 C.7.6.3.1.2 uses for YBR_FULL
_LUMINANCE = np.array([0.2990, 0.5870, 0.1140], np.float32)


class UndecodablePixels(Exception):
    """The pixels of an instance can't be had; the text is the reason, in words that a person will read."""


@dataclass(frozen=True)
class Modality:
    """Stored values → the modality's unit (PS3.3 C.11.1): a table from `first` on, else slope and intercept."""

    slope: float = 1.0
    intercept: float = 0.0
    table: NDArray[np.float32] | None = None
    first: int = 0

    def apply(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values of any shape in the modality's unit."""
        if self.table is not None:
            index = np.clip(values - self.first, 0, len(self.table) - 1).astype(np.int64)
            return self.table[index]
        if (self.slope, self.intercept) == (1.0, 0.0):
            return values
        return (values.astype(np.float64) * self.slope + self.intercept).astype(np.float32)


@dataclass(frozen=True)
class Stored:
    """Stored values, (rows, columns) float32, with the transform that gives them their unit."""

    values: NDArray[np.float32]
    modality: Modality


@dataclass(frozen=True)
class PixelData:
    """Where an instance's pixels lie in its file and how they are written; shared by its frames.

    `offset` is that of the Pixel Data element, 0 where the data set is deflated. `image` holds the attributes of group
    0028: tables and windows among them.
    """

    path: Path
    syntax: UID
    offset: int
    image: Dataset

    def frame(self, index: int, modality: Modality) -> Stored:
        """Frame `index` (0-based).

        Raises:
            UndecodablePixels: the pixel data is missing, broken, too large or in an unknown encoding.
        """
        rows, columns = int(self.image.Rows), int(self.image.Columns)
        if rows * columns > MOST_PIXELS:
            raise UndecodablePixels(f"the header claims {rows} × {columns} pixels; at most {MOST_PIXELS} are read")
        try:
            values = self._decoded(index, rows * columns)
            if values.ndim == 2 and self.image.get("PhotometricInterpretation") == "PALETTE COLOR":
                values = apply_color_lut(values, self.image)
        except UndecodablePixels:
            raise
        except FileNotFoundError:
            raise UndecodablePixels("the stored file is gone") from None
        except Exception as error:
            raise UndecodablePixels(_words(error)) from error
        if values.shape[:2] != (rows, columns):
            raise UndecodablePixels(f"decoded to {values.shape[:2]}, the header says {(rows, columns)}")
        return Stored(_grey(values), modality)

    def modality(self, header: dict[str, Any]) -> Modality:
        """The modality transform of a frame with this header.

        Raises:
            UndecodablePixels: the header's table or numbers can't be read.
        """
        try:
            return _modality(self.image, header)
        except UndecodablePixels:
            raise
        except Exception as error:
            raise UndecodablePixels(f"the modality LUT can't be read: {type(error).__name__}") from error

    def _decoded(self, index: int, pixels: int) -> NDArray[Any]:
        """The frame as pydicom's decoders give it; colour as RGB."""
        with self.path.open("rb") as file:
            if self.syntax == DeflatedExplicitVRLittleEndian:
                return pixel_array(read_part10(self.path, pixels=True)[0], index=index)
            file.seek(self.offset)
            options = as_pixel_options(self.image, transfer_syntax_uid=self.syntax, **_element(file, self.syntax))
            if self.syntax.is_encapsulated:
                start = file.tell()
                self._refuse_overlong(file, index, pixels)
                file.seek(start)
            plugin = _DECODERS.get(self.syntax, "")
            values, _ = get_decoder(self.syntax).as_array(
                file, index=index, validate=True, raw=False, decoding_plugin=plugin, **options
            )
        return values

    def _refuse_overlong(self, file: BinaryIO, index: int, pixels: int) -> None:
        """Refuses a codestream that can't be what the header says: a decoder would allocate what it claims."""
        ds, offsets = self.image, None
        if "ExtendedOffsetTable" in ds:
            offsets = (ds.ExtendedOffsetTable, ds.get("ExtendedOffsetTableLengths", b""))
        count = int(ds.get("NumberOfFrames") or 1)
        codestream = get_frame(file, index, number_of_frames=count, extended_offsets=offsets)
        samples, bits = ds.get("SamplesPerPixel") or 1, ds.get("BitsAllocated") or 8
        if self.syntax == RLELossless:
            size = pixels * samples * bits // 8
            if size > 64 * len(codestream):  # a run of 128 takes two bytes (PS3.5 G.3)
                raise UndecodablePixels(f"{len(codestream)} bytes of RLE can't hold {size} bytes of pixels")
            return
        if pixels > _LARGE and pixels > _MOST_PIXELS_A_BYTE * len(codestream):
            raise UndecodablePixels(f"{len(codestream)} bytes can't hold an image of {pixels} pixels")
        claim = claim_of(codestream)
        if claim is None:
            raise UndecodablePixels("the compressed image's own header can't be read")
        if claim[:2] != (ds.Rows, ds.Columns):
            raise UndecodablePixels(
                f"the compressed image is {claim.rows} × {claim.columns}, the header says {ds.Rows} × {ds.Columns}"
            )
        if claim.components > _MOST_COMPONENTS or claim.bits > bits:
            raise UndecodablePixels(f"the compressed image has {claim.components} components of {claim.bits} bits")


_ELEMENTS = {0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData", 0x7FE00010: "PixelData"}


def _element(file: BinaryIO, syntax: UID) -> dict[str, str]:
    """Reads the element's tag, VR and length, and stops at its value."""
    order = "<" if syntax.is_little_endian else ">"
    group, element = struct.unpack(f"{order}2H", file.read(4))
    found = {"pixel_keyword": _ELEMENTS[group << 16 | element]}
    if not syntax.is_implicit_VR:
        found["pixel_vr"] = file.read(4)[:2].decode("ascii")
    file.read(4)
    return found


def has_pixel_data(file: BinaryIO, syntax: UID) -> bool:
    """Whether a Pixel Data element (PS3.3 C.7.6.3, C.7.6.24, C.7.6.25) begins here."""
    tag = file.read(4)
    if len(tag) < 4:
        return False
    group, element = struct.unpack("<2H" if syntax.is_little_endian else ">2H", tag)
    return (group << 16 | element) in _ELEMENTS


def _modality(ds: Dataset, header: dict[str, Any]) -> Modality:
    if ds.get("ModalityLUTSequence"):
        entries, first = (int(part) for part in ds.ModalityLUTSequence[0].LUTDescriptor[:2])
        if not 0 <= entries < 1 << 16:  # a file may give any tag any VR
            raise UndecodablePixels(f"the modality LUT claims {entries} entries")
        inputs = np.arange(first, first + (entries or 1 << 16))
        return Modality(table=apply_modality_lut(inputs, ds).astype(np.float32), first=first)
    slope, intercept = header.get("rescale_slope", 1.0), header.get("rescale_intercept", 0.0)
    if not all(isinstance(part, float | int) and np.isfinite(part) for part in (slope, intercept)):
        raise UndecodablePixels("Rescale Slope or Rescale Intercept is not a number")
    return Modality(float(slope), float(intercept))


def _grey(values: NDArray[Any]) -> NDArray[np.float32]:
    """(rows, columns) float32; colour by its luminance."""
    if values.ndim == 3 and values.shape[2] == 3:
        return values.astype(np.float32) @ _LUMINANCE
    if values.ndim != 2:
        raise UndecodablePixels(f"a frame of shape {values.shape} is neither grey nor colour")
    return values.astype(np.float32)


def _words(error: Exception) -> str:
    """What the decoders said, in one line: the reason goes into the book and onto the page."""
    said = " ".join(line.strip() for line in str(error).splitlines() if line.strip())
    said = said.replace("Unable to decode as exceptions were raised by all available plugins: ", "")
    return f"the pixel data can't be decoded: {said or type(error).__name__}"[:300]
