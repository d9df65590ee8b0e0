"""Good DICOM files to begin from: generated ones always, the bench's real ones where there are any."""

import random
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from tests.conftest import BENCH
from tests.fuzz.dicom_bytes import MARK, from_nothing, mutate
from tests.images import dataset, noise, write, write_enhanced

_LARGEST = 700_000  # a file larger than this tells no more than a small one, and takes longer


def generated(folder: Path) -> list[bytes]:
    """A plain image, an enhanced one, one of each compression that can be written, and a deflated one."""
    marked = {"PatientName": f"{MARK}^A", "PatientID": MARK, "ImagePositionPatient": [0, 0, 1], "PixelSpacing": [1, 1]}
    paths = [write(folder, "plain", **marked), write_enhanced(folder, [(0, 1), (3, 1), (0, 2)])]
    for name, syntax in (("rle", RLELossless), ("j2k", JPEG2000Lossless), ("jls", JPEGLSLossless)):
        ds = dataset(noise(32, 32), name, **marked)
        ds.compress(syntax, generate_instance_uid=False)
        ds.save_as(folder / f"{name}.dcm", enforce_file_format=True)
        paths.append(folder / f"{name}.dcm")
    ds = dataset(noise(), "deflated", **marked)
    ds.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    ds.save_as(folder / "deflated.dcm", enforce_file_format=True)
    colour = dataset(
        np.zeros((3, 8, 8), np.uint8),
        "colour",
        SamplesPerPixel=3,
        PhotometricInterpretation="RGB",
        PlanarConfiguration=1,
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        **marked,
    )
    colour.save_as(folder / "colour.dcm", enforce_file_format=True)
    return [p.read_bytes() for p in [*paths, folder / "deflated.dcm", folder / "colour.dcm"]]


@lru_cache(maxsize=1)
def real() -> tuple[Path, ...]:
    """The bench's files, one of each series."""
    folder = BENCH / "data" / "dicom"
    paths = [p for p in sorted(folder.rglob("*")) if p.is_file() and 132 < p.stat().st_size < _LARGEST]
    first = {}
    for path in paths:
        first.setdefault(path.parent if "series" in path.parts else path, path)
    return tuple(first.values())


def maker(folder: Path) -> Callable[[random.Random], bytes]:
    """Makes a DICOM file from a seed: a mutation of a good one, or one from nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    own = generated(folder)

    def make(rng: random.Random) -> bytes:
        choice = rng.random()
        if choice < 0.25:
            return from_nothing(rng)
        if choice < 0.6 or not real():
            return mutate(rng.choice(own), rng)
        return mutate(rng.choice(real()).read_bytes(), rng)

    return make
