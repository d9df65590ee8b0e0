"""Draws a Secondary Capture that we made as a PNG, for the page."""

import io
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom import dcmread
from pydicom.pixels.utils import pixel_array
from sqlmodel import Session, select

from shared.store import Delivery


class NoPreview(LookupError):
    """There is no such picture; the text says why."""


def find_picture(session: Session, data_dir: Path, results_dir: Path, run_id: str, identifier: str) -> Path:
    """The file of a run's Secondary Capture.

    The path comes from the book, never from the request, and must lie below the results.

    Raises:
        NoPreview: the run has no such result, it is not a picture, or its file is gone.
    """
    found = session.exec(select(Delivery).where(Delivery.run_id == run_id, Delivery.identifier == identifier)).first()
    if found is None or found.kind != "SC":
        raise NoPreview("no Secondary Capture of this run has this identifier")
    path = (data_dir / found.path).resolve()
    if not path.is_relative_to(results_dir.resolve()) or not path.is_file():
        raise NoPreview("the file of this result is no longer kept")
    return path


def png_of(path: Path) -> bytes:
    """The first frame, 8 bits a channel.

    Raises:
        NoPreview: the file can't be drawn.
    """
    try:
        ds = dcmread(path)
        pixels = pixel_array(ds, index=0)
        if pixels.dtype != np.uint8:
            low, high = float(pixels.min()), float(pixels.max())
            pixels = ((pixels - low) * (255 / max(high - low, 1))).astype(np.uint8)
        if ds.PhotometricInterpretation == "MONOCHROME1":
            pixels = 255 - pixels
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "PNG")
    except Exception as error:
        raise NoPreview(f"the file can't be drawn: {type(error).__name__}") from error
    return out.getvalue()
