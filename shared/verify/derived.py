"""Derived images again: their values from the arrays that lie beside them, their place from their sources'."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from shared.arrays import SUFFIX
from shared.imaging.frames import Frame, load_frames
from shared.use_marks import rows_of_mark

_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
_PLACE = {
    "ImagePositionPatient": "PlanePositionSequence", "ImageOrientationPatient": "PlaneOrientationSequence",
    "PixelSpacing": "PixelMeasuresSequence",
}  # fmt: skip
_SIZE = ("Rows", "Columns", "FrameOfReferenceUID", "ImagerPixelSpacing")
_INKS = 2  # values that a use mark is written in
PLACE_TAGS = [*_SIZE, *_PLACE, *_GROUPS]
"""What of an image is needed to know its place."""


def derived_series(documents: Mapping[Path, Dataset]) -> list[dict[Path, Dataset]]:
    """The derived images among a run's objects, by series."""
    series: dict[str, dict[Path, Dataset]] = {}
    for path, ds in documents.items():
        if ds.get("BitsAllocated") == 16 and _mapping(ds) is not None:
            series.setdefault(str(ds.SeriesInstanceUID), {})[path] = ds
    return list(series.values())


def value_differences(folder: Path, series: Mapping[Path, Dataset]) -> list[str] | None:
    """What differs between the images and the arrays of their name, in words; None where no such array lies there.

    Both are in the order of slices. A package that reads single images keeps an array of each.
    """
    first = next(iter(series))
    mapping = _mapping(series[first])
    assert mapping is not None
    arrays = _arrays(folder, str(mapping.LUTLabel))
    if not arrays:
        return None
    frames = load_frames(list(series))
    slope, offset = float(mapping.RealWorldValueSlope), float(mapping.RealWorldValueIntercept)
    found = [f"{first.name}: no array beside it has {len(frames)} planes"]
    for planes in _runs_of(arrays, len(frames)):
        found = [words for f, plane in zip(frames, planes, strict=True) if (words := _differs(f, plane, slope, offset))]
        if not found:
            break
    return found


def place_differences(name: str, ds: Dataset, images: Mapping[str, Dataset]) -> Iterator[str]:
    """Where a derived image does not lie in its source's place, in words."""
    for frame, reference in enumerate(_references(ds)):
        source = images.get(str(reference.ReferencedSOPInstanceUID))
        if source is None:
            continue  # told where references are checked
        index = int(reference.get("ReferencedFrameNumber") or 1) - 1
        for keyword in (*_SIZE, *_PLACE):
            have, want = _said(ds, keyword, frame), _said(source, keyword, index)
            if want and not _is_no_spacing(keyword, want) and not _same(have, want):
                yield f"{name}: {keyword} is not that of {source.SOPInstanceUID}"


def _is_no_spacing(keyword: str, values: Sequence[Any]) -> bool:
    return keyword.endswith("Spacing") and min(values) <= 0


def _same(have: Sequence[Any], want: Sequence[Any]) -> bool:
    if any(isinstance(value, str) for value in (*have, *want)):
        return have == want
    return len(have) == len(want) and bool(np.allclose(have, want, rtol=0, atol=1e-6))


def _mapping(ds: Dataset) -> Dataset | None:
    for place in (ds, *ds.get(_GROUPS[0], [])):
        if place.get("RealWorldValueMappingSequence"):
            mapping: Dataset = place.RealWorldValueMappingSequence[0]
            return mapping
    return None


def _arrays(folder: Path, label: str) -> list[NDArray[Any]]:
    """Of the output whose name begins as the label says (SH), in the order in which they were kept."""
    kept = (path.stem.rpartition("_") for path in folder.glob(f"*{SUFFIX}"))
    numbered = sorted((int(number), name) for name, _, number in kept if name[:16] == label and number.isdigit())
    arrays = []
    for number, name in numbered:
        with np.load(folder / f"{name}_{number}{SUFFIX}", allow_pickle=False) as archive:
            arrays.append(np.asarray(archive["array"]))
    return arrays


def _runs_of(arrays: Sequence[NDArray[Any]], count: int) -> Iterator[list[NDArray[Any]]]:
    """Consecutive arrays that have so many planes in all: those of one series."""
    for start in range(len(arrays)):
        planes: list[NDArray[Any]] = []
        for array in arrays[start:]:
            planes.extend(array)
            if len(planes) >= count:
                break
        if len(planes) == count:
            yield planes


def _differs(frame: Frame, plane: NDArray[Any], slope: float, offset: float) -> str:
    """Half a step is what rounding takes. A mark may stand in the lowest rows, in its own two values."""
    stored = frame.stored().values.astype(np.float64)
    if stored.shape != plane.shape:
        return f"{frame.path.name}: has another size than its array"
    wrong = np.abs(stored * slope + offset - plane) > slope * 0.5000001
    mark = np.zeros_like(wrong)
    mark[len(wrong) - rows_of_mark(len(wrong)) :] = True
    inks = np.unique(stored[wrong & mark])
    count = int(np.count_nonzero(wrong & ~mark)) + (len(inks) if len(inks) > _INKS else 0)
    which = f" frame {frame.source.frame}" if frame.source.frame else ""
    return f"{frame.path.name}{which}: {count} values are more than half a step off those of its array" if count else ""


def _references(ds: Dataset) -> list[Dataset]:
    """The source of the image, or of each frame."""
    frames = ds.get(_GROUPS[1])
    if frames is None:
        return list(ds.get("SourceImageSequence", []))
    return [frame.DerivationImageSequence[0].SourceImageSequence[0] for frame in frames]


def _said(ds: Dataset, keyword: str, frame: int) -> list[Any]:
    """The values of the image, or of one frame of it; empty where it does not say."""
    per_frame = list(ds.get(_GROUPS[1], []))[frame : frame + 1]
    group = _PLACE.get(keyword, "")
    for place in (*per_frame, *ds.get(_GROUPS[0], [])):
        if group in place and keyword in place[group].value[0]:
            return _listed(place[group].value[0][keyword].value)
    return _listed(ds.get(keyword))


def _listed(value: Any) -> list[Any]:
    if value in (None, ""):
        return []
    if isinstance(value, str):
        return [value]
    return [float(v) for v in value] if hasattr(value, "__iter__") else [value]
