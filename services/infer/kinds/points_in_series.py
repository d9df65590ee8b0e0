"""Outputs that are points in a whole series, (column, row, slice) of the model's input: on images, and in the patient.

As on the images, the first voxel reaches from 0 to 1 along each axis and its centre is 0.5. A point lies on the image
nearest to it, at the foot of the perpendicular on its plane; where the slices have even places, it is also known in mm
in the patient. A line whose ends are nearest to one image is drawn on it, and measured in its plane; any other is
measured in the patient, between its points as they are.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.infer.answer import Answer
from services.infer.kinds.points import Points, measurement
from shared.findings import Landmark, Measurement, Region, SourceImage
from shared.geometry import in_mm
from shared.imaging.grid import Grid, Matrix, SourceStack
from shared.inference import Unreadable

Triple = tuple[float, float, float]
NO_PLACES = "its points are nearest to several images, and these have no even places, so nothing is known in mm"


@dataclass(frozen=True)
class Spot:
    """A point on the image nearest to it: which of the stack, and column, row there; `in_patient` is itself, in mm."""

    index: int
    image: SourceImage
    column: float
    row: float
    in_patient: Triple | None

    def region(self, label: str, confidence: float | None = None) -> Region:
        return Region(
            image=self.image, graphic_type="POINT", points=((self.column, self.row),), label=label,
            confidence=confidence, in_patient=self.in_patient,
        )  # fmt: skip


def landmarks_in_series(answer: Answer) -> list[Landmark]:
    """The points that lie on an image, each with its own confidence where the tensor tells one.

    Raises:
        Unreadable: the tensor is of another shape.
    """
    values = answer.values
    sure = values[:, 3].clip(0, 1).tolist() if values.shape[1] == 4 else [None] * len(values)
    spots = [spot_of(answer.reading.grid, point) for point in values[:, :3]]
    pairs = enumerate(zip(spots, sure, strict=True), start=1)
    regions = tuple(spot.region(f"point {number}", confidence) for number, (spot, confidence) in pairs if spot)
    return [Landmark(**answer.identity(), regions=regions)]


def measured_in_series(answer: Answer) -> list[Measurement]:
    """A length or an angle, from the points as they are kept with it.

    Raises:
        Unreadable: the tensor is of another shape, a point lies on no image, the number has no size in mm, or it is out
            of the range that the manifest declares.
    """
    stack = answer.reading.grid.source
    found = [spot_of(answer.reading.grid, point) for point in answer.values[:, :3]]
    spots = [spot for spot in found if spot]
    if len(spots) < len(found):
        raise Unreadable(f"{answer.where} lies beyond the images")
    pairs = [(spots[n], spots[n + 1]) for n in range(0, len(spots), 2)]
    names = ("upper", "lower") if answer.output.geometry == "angle" else ("",)
    regions = [region for pair, name in zip(pairs, names, strict=True) for region in _regions(pair, name)]
    return [measurement(answer, regions, _in_mm(answer, stack, pairs))]


def spot_of(grid: Grid, point: NDArray[np.float64]) -> Spot | None:
    """Where a point (column, row, slice) of the model's input lies; None where it is on no image."""
    x, y, z = grid.source_point(*point.tolist())
    count, rows, columns = grid.source.shape
    if not 0 <= z <= count:
        return None
    index, matrix = min(math.floor(z), count - 1), grid.source.to_patient
    in_patient = None
    if matrix is not None:
        in_patient = _triple(matrix @ (x, y, z, 1.0))
        x, y = _foot(matrix, (x, y, z), index)
    if not (0 <= x <= columns and 0 <= y <= rows):
        return None
    return Spot(index, grid.source.images[index], x, y, in_patient)


def _foot(matrix: Matrix, point: Triple, index: int) -> tuple[float, float]:
    """Column and row of the perpendicular from a point to the plane of slice `index`: under a tilted gantry another
    than along the stack."""
    normal = np.cross(matrix[:3, 0], matrix[:3, 1])
    way = np.linalg.solve(matrix[:3, :3], normal)
    x, y, _ = np.asarray(point) + way * (index + 0.5 - point[2]) / way[2]
    return float(x), float(y)


def _triple(values: Matrix) -> Triple:
    x, y, z = values[:3].tolist()
    return x, y, z


def _regions(pair: tuple[Spot, Spot], name: str) -> list[Region]:
    """A line on its image, or the two points of one that no image shows."""
    if _on_one_image(pair):
        points = tuple((spot.column, spot.row) for spot in pair)
        return [Region(image=pair[0].image, graphic_type="POLYLINE", points=points, label=name)]
    return [spot.region(f"{name} end {number}".strip()) for number, spot in enumerate(pair, start=1)]


def _on_one_image(pair: tuple[Spot, Spot]) -> bool:
    return pair[0].index == pair[1].index


def _in_mm(answer: Answer, stack: SourceStack, pairs: list[tuple[Spot, Spot]]) -> list[Points]:
    """Each line in mm: in the patient where the slices have even places; else in the plane of the one image that all
    lie on, of which an angle takes pixels without a spacing as square."""
    if stack.to_patient is not None:
        return [_in_patient(stack.to_patient, pair) for pair in pairs]
    if len({spot.index for pair in pairs for spot in pair}) > 1:
        raise Unreadable(f"{answer.where}: {NO_PLACES}")
    if stack.spacing is None and answer.output.geometry != "angle":
        raise Unreadable(f"the images have no pixel spacing, so {answer.output.name} can't be measured")
    spacing = stack.spacing[1:] if stack.spacing else (1.0, 1.0)
    return [in_mm([(spot.column, spot.row) for spot in pair], spacing) for pair in pairs]


def _in_patient(matrix: Matrix, pair: tuple[Spot, Spot]) -> Points:
    if _on_one_image(pair):
        return np.array([_triple(matrix @ (s.column, s.row, s.index + 0.5, 1.0)) for s in pair])
    return np.array([spot.in_patient for spot in pair])
