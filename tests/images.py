"""Made-up images for tests: single-frame and enhanced multi-frame instances, written as files, nobody's data."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage

from shared.uids import derived_uid

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
SERIES = derived_uid("test", "series")


def noise(rows: int = 8, columns: int = 10, seed: int = 0) -> NDArray[np.uint16]:
    """A picture without meaning."""
    return np.random.default_rng(seed).integers(0, 1000, (rows, columns)).astype(np.uint16)


def dataset(pixels: NDArray[Any], name: str, **attributes: Any) -> Dataset:
    """An uncompressed grey image; `attributes` by DICOM keyword, None leaves one out."""
    ds = Dataset()
    facts: dict[str, Any] = {
        "SOPClassUID": MRImageStorage, "SOPInstanceUID": derived_uid("test", name), "SeriesInstanceUID": SERIES,
        "StudyInstanceUID": derived_uid("test", "study"), "Modality": "MR", "InstanceNumber": 1,
        "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2", "Rows": pixels.shape[-2],
        "Columns": pixels.shape[-1], "BitsAllocated": 16, "BitsStored": 16, "HighBit": 15,
        "PixelRepresentation": int(pixels.dtype.kind == "i"), "PixelData": pixels.tobytes(), **attributes,
    }  # fmt: skip
    for keyword, value in facts.items():
        if value is not None:
            setattr(ds, keyword, list(value) if isinstance(value, tuple) else value)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    return ds


def write(folder: Path, name: str, pixels: NDArray[Any] | None = None, **attributes: Any) -> Path:
    """One single-frame instance as a file."""
    path = folder / f"{name}.dcm"
    dataset(noise() if pixels is None else pixels, name, **attributes).save_as(path, enforce_file_format=True)
    return path


def write_slices(folder: Path, places: list[float], **attributes: Any) -> list[Path]:
    """Axial slices at these heights in mm, numbered from 1 in the order given."""
    facts = {"ImageOrientationPatient": AXIAL, "PixelSpacing": [1, 1], **attributes}
    return [
        write(folder, f"slice{n}", noise(seed=n), InstanceNumber=n,
              ImagePositionPatient=[0, 0, place], **facts)
        for n, place in enumerate(places, 1)
    ]  # fmt: skip


def write_enhanced(
    folder: Path,
    places: list[tuple[float, int]],
    name: str = "enhanced",
    shape: tuple[int, int] = (8, 10),
    **facts: Any,
) -> Path:
    """An enhanced MR whose frames lie at these (height in mm, temporal position); slope 2, intercept -5 in frame 1.

    `shape` is rows, columns; `facts` are attributes by DICOM keyword.
    """
    pixels = np.stack([noise(*shape, seed=n) for n in range(len(places))])
    ds = dataset(pixels, name, SOPClassUID=EnhancedMRImageStorage, NumberOfFrames=len(places), **facts)
    shared = Dataset()
    measures, plane = Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [0.5, 0.75], 3
    plane.ImageOrientationPatient = list(AXIAL)
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    ds.SharedFunctionalGroupsSequence = [shared]
    ds.PerFrameFunctionalGroupsSequence = [_group(n, place, time) for n, (place, time) in enumerate(places)]
    path = folder / f"{name}.dcm"
    ds.save_as(path, enforce_file_format=True)
    return path


def _group(index: int, place: float, time: int) -> Dataset:
    group, position, content, values = Dataset(), Dataset(), Dataset(), Dataset()
    position.ImagePositionPatient = [0, 0, place]
    content.TemporalPositionIndex = time
    values.RescaleSlope, values.RescaleIntercept, values.RescaleType = 2 if index == 0 else 1, -5 * (index == 0), "US"
    group.PlanePositionSequence, group.FrameContentSequence = [position], [content]
    group.PixelValueTransformationSequence = [values]
    return group
