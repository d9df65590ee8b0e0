"""Outputs that are points: back on the source image, as landmarks or as what a length, an angle or an area rests on."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.infer.answer import Answer
from shared.findings import Landmark, Measurement, Region
from shared.geometry import angle_between_lines, area, in_mm, length
from shared.inference import Unreadable
from shared.outputs import ranged

Points = NDArray[np.float64]
UNITS = {"mm": 1.0, "cm": 0.1, "mm2": 1.0, "cm2": 0.01, "deg": 1.0}


def measured(answer: Answer) -> list[Measurement]:
    """A length, an angle or an area, computed from the points as they are kept with it.

    Raises:
        Unreadable: the points are of another shape, lie beyond the image or have no size in mm, or the number is out of
            the range that the manifest declares.
    """
    points, _ = _on_source(answer)
    regions, spacing = _drawn(answer, points), answer.reading.spacing
    if spacing is None and answer.output.geometry != "angle":
        raise Unreadable(f"the image has no pixel spacing, so {answer.output.name} can't be measured")
    # an angle without a spacing takes pixels as square
    return [measurement(answer, regions, [in_mm(region.points, spacing or (1.0, 1.0)) for region in regions])]


def landmarks(answer: Answer) -> list[Landmark]:
    """The points that lie on the image, each with its own confidence where the tensor tells one.

    Raises:
        Unreadable: the tensor is of another shape.
    """
    points, sure = _on_source(answer)
    rows, columns = answer.reading.source_shape
    regions = [
        Region(
            image=answer.reading.source, graphic_type="POINT", points=((float(x), float(y)),), label=f"point {number}",
            confidence=None if sure is None else float(np.clip(sure[number - 1], 0, 1)),
        )
        for number, (x, y) in enumerate(points, start=1)
        if 0 <= x <= columns and 0 <= y <= rows
    ]  # fmt: skip
    return [Landmark(**answer.identity(), regions=tuple(regions))]


def _on_source(answer: Answer) -> tuple[Points, Points | None]:
    """Points (n, 2) as column, row of the source image, and their confidence where the tensor has it."""
    values, reading = answer.values, answer.reading
    left, top, right, bottom = reading.box
    rows, columns = reading.input_shape
    scale = np.array([(right - left) / columns, (bottom - top) / rows])
    return values[:, :2] * scale + (left, top), values[:, 2] if values.shape[1] == 3 else None


def _drawn(answer: Answer, points: Points) -> tuple[Region, ...]:
    """The lines or the closed outline that the number rests on; lines are cut where the image ends."""
    output, reading = answer.output, answer.reading
    if len(points) < 2:
        raise Unreadable(f"{answer.where} has {len(points)} points: too few to draw anything")
    rows, columns = reading.source_shape
    if output.geometry == "angle":
        lines = [_within(line, (columns, rows)) for line in (points[:2], points[2:])]
    else:
        inside = (points >= 0).all() and (points <= (columns, rows)).all()
        lines = [np.vstack([points, points[:1]]) if output.geometry == "area" else points] if inside else [None]
    if any(line is None for line in lines):
        raise Unreadable(f"{answer.where} lies beyond the image")
    labels = ("upper", "lower") if output.geometry == "angle" else ("",)
    return tuple(
        Region(image=reading.source, graphic_type="POLYLINE", points=tuple(map(tuple, line.tolist())), label=label)
        for line, label in zip(lines, labels, strict=True)
        if line is not None
    )


def measurement(answer: Answer, regions: Sequence[Region], lines: Sequence[Points]) -> Measurement:
    """What `regions` show, with the number that their lines in mm, (points, 2 or 3), give.

    Raises:
        Unreadable: it is not told in the output's unit, a line has no length, or it is out of the declared range.
    """
    value = ranged(answer.package, answer.output, _computed(answer, lines))
    return Measurement(
        **answer.identity(), value=value, unit=answer.output.unit, regions=tuple(regions),
        geometry=answer.output.geometry or "",
    )  # fmt: skip


def _computed(answer: Answer, lines: Sequence[Points]) -> float:
    output = answer.output
    if output.unit not in UNITS or (output.unit == "deg") != (output.geometry == "angle"):
        raise Unreadable(f"{answer.where}: a {output.geometry} is not told in {output.unit!r}")
    if output.geometry == "angle":
        if any(length(line) == 0 for line in lines):
            raise Unreadable(f"{answer.where}: a line has no length")
        return angle_between_lines(*lines)
    return (area(lines[0]) if output.geometry == "area" else length(lines[0])) * UNITS[output.unit]


def _within(line: Points, size: tuple[int, int]) -> Points | None:
    """The part of a line within the image, in the same direction; None where there is none (Liang and Barsky 1984)."""
    start, step = line[0], line[1] - line[0]
    enter, leave = 0.0, 1.0
    for axis in (0, 1):
        if step[axis] == 0:
            if not 0 <= start[axis] <= size[axis]:
                return None
            continue
        near, far = sorted(((0 - start[axis]) / step[axis], (size[axis] - start[axis]) / step[axis]))
        enter, leave = max(enter, near), min(leave, far)
    return np.array([start + enter * step, start + leave * step]) if enter < leave else None
