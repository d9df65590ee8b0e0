"""Findings of every kind that is reported, made by hand over any images: how they are made tells their numbers."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.findings import (
    ArrayFile,
    Classification,
    Code,
    Concepts,
    Contribution,
    DerivedImage,
    Finding,
    Grade,
    HeatMap,
    InstanceScore,
    KeyImage,
    Landmark,
    Measurement,
    NotSure,
    OrdinalGrade,
    Placed,
    QualityScore,
    Region,
    Segment,
    Segmentation,
    Site,
    SliceWeight,
    SliceWeights,
)
from shared.geometry import angle_between_lines, area, in_mm, length, slice_step
from shared.imaging.frames import Frame

MADE_BY: dict[str, Any] = {"package": "by_hand", "version": "1.2.0"}


def code(value: str, meaning: str, scheme: str = "SCT") -> Code:
    return Code(value=value, scheme=scheme, meaning=meaning)


BREAST = Site(code=code("76752008", "Breast"), laterality="left")


@dataclass
class Made:
    """Findings, and the arrays that they name."""

    findings: list[Finding]
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)

    def read(self, file: ArrayFile) -> NDArray[Any]:
        return self.arrays[file.path]

    def put(self, name: str, array: NDArray[Any]) -> ArrayFile:
        self.arrays[name] = array
        return ArrayFile(path=name, digest=f"sha256:{name}", shape=array.shape, dtype=str(array.dtype))


def every_kind(frames: list[Frame], spacing: tuple[float, float] | None) -> Made:
    """One finding of each kind, and of the measurements one of each geometry; `spacing` is what the report has."""
    made = Made([])
    made.findings = [
        *_told(frames), *_measured(frames[len(frames) // 2], spacing), *_marked(frames[len(frames) // 2]),
        segmentation(made, frames, spacing), segmentation(made, frames, spacing, fractional=True),
        heat_map(made, frames), derived(made, frames),
    ]  # fmt: skip
    return made


def _told(frames: list[Frame]) -> list[Finding]:
    images = tuple(f.source for f in frames)
    weights = tuple(SliceWeight(image=i, weight=1 / len(images)) for i in images)
    why = Concepts(
        contributions=(
            Contribution(name="size", code=code("size-of-mass", "Size of the mass", "99ISO"), value=1.25),
            Contribution(name="edge", code=code("edge-of-mass", "Edge of the mass", "99ISO"), value=-0.5),
        ),
        bias=0.1,
    )
    grades = [("none", "260413007", "None"), ("mild", "255604002", "Mild"), ("severe", "24484000", "Severe")]
    return [
        QualityScore(
            name="ssim", code=code("motion-ssim", "Predicted SSIM", "99ISO"), value=0.91, unit="1", verdict="pass",
            series_instance_uid=images[0].series_instance_uid, sources=images, warn_below=0.9, hold_below=0.8,
            instances=tuple(InstanceScore(image=i, score=0.91) for i in images), **MADE_BY,
        ),
        Classification(
            name="mass", code=code("4147007", "Mass"), site=BREAST, present=True, probability=0.7, threshold=0.5,
            sources=images,
            slice_weights=SliceWeights(weights=weights), concepts=why, confidence=0.8125, missing=("priors",),
            **MADE_BY,
        ),
        OrdinalGrade(
            name="severity", code=code("246112005", "Severity"), site=BREAST, grade=1, sources=images,
            grades=tuple(
                Grade(name=name, code=code(value, meaning), probability=p)
                for (name, value, meaning), p in zip(grades, (0.2, 0.625, 0.175), strict=True)
            ),
            regions=(Region(image=images[0], graphic_type="POLYLINE", points=((2, 2), (9, 2), (9, 8))),), **MADE_BY,
        ),
        KeyImage(
            name="look_here", code=code("113000", "Of Interest", "DCM"), image=images[-1], weight=0.25,
            explains="mass", sources=(images[-1],), **MADE_BY,
        ),
        NotSure(
            name="stage", code=code("tumour-stage", "Stage of the tumour", "99ISO"), confidence=0.375,
            minimum_confidence=0.625, sources=images, **MADE_BY,
        ),
    ]  # fmt: skip


def _measured(frame: Frame, spacing: tuple[float, float] | None) -> list[Finding]:
    lines = ((5.0, 6.0), (25.0, 9.0)), ((5.0, 20.0), (25.0, 14.0))
    square = ((4.0, 4.0), (20.5, 4.0), (20.5, 12.0), (4.0, 12.0))
    whole = {"sources": (frame.source,), "confidence": 0.9, **MADE_BY}

    def region(points: Any, label: str = "") -> Region:
        return Region(image=frame.source, graphic_type="POLYLINE", points=points, label=label)

    mm = [in_mm(points, spacing or (1.0, 1.0)) for points in (*lines, square)]
    found: list[Finding] = [
        Measurement(
            name="cobb", code=code("cobb-angle", "Cobb angle", "99ISO"), unit="deg", geometry="angle",
            value=angle_between_lines(mm[0], mm[1]), regions=(region(lines[0], "upper"), region(lines[1], "lower")),
            **whole,
        )
    ]  # fmt: skip
    if spacing:
        sizes = [("length", length(mm[0]), "mm", lines[0]), ("area", area(mm[2]), "mm2", square)]
        found += [
            Measurement(
                name=f"box_{name}", code=code(f"box-{name}", f"Box {name}", "99ISO"), value=value, unit=unit,
                geometry=name, regions=(region(points),), **whole,
            )
            for name, value, unit, points in sizes
        ]  # fmt: skip
    return found


def _marked(frame: Frame) -> list[Finding]:
    point = Region(image=frame.source, graphic_type="POINT", points=((12.25, 7.5),), label="carina", confidence=0.75)
    line = Region(image=frame.source, graphic_type="POLYLINE", points=((3.0, 3.0), (10.0, 6.0)), label="end plate")
    place = code("28700002", "Carina structure")
    return [Landmark(name="place", code=place, regions=(point, line), sources=(frame.source,), **MADE_BY)]


def segmentation(
    made: Made, frames: list[Frame], spacing: tuple[float, float] | None, fractional: bool = False
) -> Segmentation:
    """Two boxes, in the upper left and lower right of the middle images; or one that fades."""
    shape = len(frames), frames[0].rows, frames[0].columns
    labels = np.zeros(shape, np.uint8)
    first, last = len(frames) // 3, max(len(frames) // 3 + 1, 2 * len(frames) // 3)
    rows, columns = shape[1] // 4, shape[2] // 4
    labels[first:last, 2:rows, 2:columns] = 1
    labels[first:last, -rows:-2, -columns:-2] = 2
    planes = [(f.position, f.orientation) for f in frames]
    step = slice_step([p for p, _ in planes], frames[0].orientation) if all(p and o for p, o in planes) else 0.0
    flat = spacing[0] * spacing[1] if spacing else 0.0
    counts = [int((labels == n).sum()) for n in (1, 2)]
    segments = tuple(
        Segment(
            number=n, name=name, code=code(value, meaning), colour=colour,
            volume_mm3=counts[n - 1] * flat * step if step and flat else None,
            area_mm2=counts[n - 1] * flat if flat and len(frames) == 1 else None,
        )
        for n, name, value, meaning, colour in (
            (1, "mass", "4147007", "Mass", "#ee6e32"), (2, "cyst", "441457006", "Cyst", "#56b4e9"),
        )
    )  # fmt: skip
    array: NDArray[Any] = labels
    if fractional:
        array, segments = np.where(labels == 1, 0.75, 0.0).astype(np.float32), segments[:1]
    name = "fading" if fractional else "parts"
    placed = Placed(array=made.put(name, array), images=tuple(f.source for f in frames))
    return Segmentation(
        name=name, code=code("49755003", "Morphologically abnormal structure"), segments=segments, placed=placed,
        site=BREAST, fractional=fractional, sources=placed.images, **MADE_BY,
    )  # fmt: skip


def heat_map(made: Made, frames: list[Frame]) -> HeatMap:
    """Four by four cells over the middle of each image."""
    values = np.linspace(-1, 1, 16 * len(frames), dtype=np.float32).reshape(len(frames), 4, 4)
    box = (2.0, 2.0, frames[0].columns - 2.0, frames[0].rows - 2.0)
    placed = Placed(array=made.put("heat", values), images=tuple(f.source for f in frames), boxes=(box,) * len(frames))
    return HeatMap(
        name="attribution", code=code("attribution", "Attribution", "99ISO"), placed=placed, explains="mass",
        range=(-1.0, 1.0), sources=placed.images, **MADE_BY,
    )  # fmt: skip


def derived(made: Made, frames: list[Frame]) -> DerivedImage:
    """A ramp from left to right, with parts of one."""
    shape = len(frames), frames[0].rows, frames[0].columns
    ramp = np.broadcast_to(np.linspace(-3.5, 12.5, shape[2], dtype=np.float32), shape).copy()
    placed = Placed(array=made.put("ramp", ramp), images=tuple(f.source for f in frames))
    return DerivedImage(
        name="ramp", code=code("ramp-map", "Ramp", "99ISO"), placed=placed, unit="1", range=(-3.5, 12.5),
        description="A ramp", sources=placed.images, **MADE_BY,
    )  # fmt: skip
