"""A made-up head with four white squares around it, and findings planted at known pixels of it."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from services.report.facts import RunFacts
from services.report.handlers import images_to_draw
from services.report.planes import images_with_places, read_planes
from services.report.source_files import read_pictures
from shared.findings import Finding, HeatMap, Landmark, Measurement, Placed, Region, Segment, Segmentation
from shared.imaging.frames import Frame, load_frames
from shared.phantoms import dicom
from shared.phantoms.brain_mr import brain_volume
from tests.services.report.findings_by_hand import MADE_BY, Made, code

SIZE, SPACING = 256, 0.9
SQUARES = [(30.0, 24.0), (222.0, 24.0), (30.0, 232.0), (222.0, 232.0)]
TITLE = "Planted things"

Place = tuple[float, float]  # column, row; the outer corner of the first pixel is 0, 0


@dataclass(frozen=True)
class Plan:
    """What is planted where."""

    mass: Place = (90.5, 100.5)  # the middle of a disc
    cyst: Place = (170.5, 160.5)  # of a smaller one
    heat: Place = (72.5, 150.5)  # the hottest pixel
    carina: Place = (150.5, 80.5)
    box: tuple[float, float, float, float] = (100.0, 150.0, 140.0, 180.0)  # left, top, right, bottom
    colours: tuple[str, str] = ("#ee6e32", "#56b4e9")  # of mass and cyst


def write_head(folder: Path, salt: str) -> list[Path]:
    """Six slices; another `salt` makes another study of them."""
    volume = brain_volume(3, slices=6, size=SIZE, spacing_mm=(5.0, SPACING))
    bright = 1.2 * np.percentile(volume, 99.9)
    volume *= 0.8
    for column, row in SQUARES:
        volume[:, int(row) - 4 : int(row) + 4, int(column) - 4 : int(column) + 4] = bright
    paths = []
    for ds in dicom.mr_series(
        volume, dicom.Visit(dicom.BRAIN_PATIENT, "ACC-VIEW", salt=salt), spacing_mm=(5.0, SPACING)
    ):
        paths.append(folder / f"{ds.SOPInstanceUID}.dcm")
        ds.save_as(paths[-1], enforce_file_format=True)
    return paths


def planted(base: RunFacts, paths: list[Path], plan: Plan) -> RunFacts:
    """A run over the head that found what was planted."""
    frames = load_frames(paths)
    made = Made([])
    made.findings = [
        _segments(made, frames, plan), _heat(made, frames, plan), _place(frames[3], plan), _box(frames[3], plan)
    ]  # fmt: skip
    files = {f.source.sop_instance_uid: f.path for f in frames}
    return replace(
        base, findings=made.findings, read=made.read, title=TITLE,
        pictures=read_pictures(images_to_draw(made.findings, made.read), files)[0],
        planes=read_planes(images_with_places(made.findings), files),
    )  # fmt: skip


def _away(place: Place) -> np.ndarray:
    """(rows, columns): how far the centre of each pixel is."""
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
    return np.asarray(np.hypot(columns - place[0], rows - place[1]))


def _segments(made: Made, frames: list[Frame], plan: Plan) -> Finding:
    labels = np.where(_away(plan.mass) < 18, 1, np.where(_away(plan.cyst) < 12, 2, 0)).astype(np.uint8)
    sources = tuple(f.source for f in frames)
    placed = Placed(array=made.put("parts", np.stack([labels] * len(frames))), images=sources)
    segments = (
        Segment(number=1, name="mass", code=code("4147007", "Mass"), colour=plan.colours[0]),
        Segment(number=2, name="cyst", code=code("441457006", "Cyst"), colour=plan.colours[1]),
    )
    return Segmentation(
        name="parts", code=code("49755003", "Morphologically abnormal structure"), segments=segments, placed=placed,
        sources=sources, **MADE_BY,
    )  # fmt: skip


def _heat(made: Made, frames: list[Frame], plan: Plan) -> Finding:
    values = np.exp(-((_away(plan.heat) / 20) ** 2)).astype(np.float32)
    sources = tuple(f.source for f in frames)
    placed = Placed(array=made.put("heat", np.stack([values] * len(frames))), images=sources)
    return HeatMap(
        name="attribution", code=code("attribution", "Attribution", "99ISO"), placed=placed, range=(0.0, 1.0),
        sources=sources, **MADE_BY,
    )  # fmt: skip


def _place(frame: Frame, plan: Plan) -> Finding:
    region = Region(image=frame.source, graphic_type="POINT", points=(plan.carina,), label="carina")
    return Landmark(
        name="place", code=code("28700002", "Carina structure"), regions=(region,), sources=(frame.source,), **MADE_BY
    )


def _box(frame: Frame, plan: Plan) -> Finding:
    left, top, right, bottom = plan.box
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    region = Region(image=frame.source, graphic_type="POLYLINE", points=corners)
    return Measurement(
        name="box", code=code("box-area", "Box area", "99ISO"), unit="mm2", geometry="area", regions=(region,),
        value=(right - left) * (bottom - top) * SPACING**2, sources=(frame.source,), **MADE_BY,
    )  # fmt: skip
