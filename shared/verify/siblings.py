"""Whether the reports of a run, in their several flavours, say the same."""

from collections.abc import Mapping, Sequence

import numpy as np

from shared.imaging.planes import Plane
from shared.verify.geometry import in_planes
from shared.verify.outcome import Outcome
from shared.verify.report_numbers import Group, Outline, Report

_NEAR = 0.01  # pixels, or mm
Planes = Mapping[str, Plane]
Steps = Mapping[str, float]


def check_siblings(reports: Sequence[Report], outcome: Outcome) -> None:
    """Each report against the first: numbers with their units, and where things lie."""
    told = [report for report in reports if report.is_about_findings]
    for first, report in ((told[0], other) for other in told[1:]):
        planes, steps = report.planes | first.planes, report.steps | first.steps
        one, other = _by_name(first), _by_name(report)
        for key in sorted(one.keys() | other.keys()):
            outcome.compared += 1
            if key not in one or key not in other:
                outcome.differs.append(f"{report.name}: {key[0]} is only in one of it and {first.name}")
            elif _numbers(one[key]) != _numbers(other[key]):
                outcome.differs.append(f"{report.name}: {key[0]} has other numbers than in {first.name}")
            elif not _lie_alike(one[key].outlines, other[key].outlines, planes, steps):
                outcome.differs.append(f"{report.name}: {key[0]} lies elsewhere than in {first.name}")


def _by_name(report: Report) -> dict[tuple[str, str], Group]:
    return {(group.name, group.tracking_uid): group for group in report.groups}


def _numbers(group: Group) -> list[tuple[tuple[str, str], float, str]]:
    return [(number.code, number.value, number.unit) for number in group.numbers]


def _lie_alike(one: list[Outline], other: list[Outline], planes: Planes, steps: Steps) -> bool:
    """A line between images is one in the patient and two points on images: then its ends are not compared."""
    dimensions = {len(outline.points[0]) for outline in (*one, *other)}
    if len(one) != len(other):
        return len(dimensions) > 1
    return all(_alike(a, b, planes, steps) for a, b in zip(one, other, strict=True))


def _alike(one: Outline, other: Outline, planes: Planes, steps: Steps) -> bool:
    """Pixels against patient coordinates in the image that the pixels are of, where it says how it lies."""
    if len(one.points[0]) == 3 and len(other.points[0]) == 2:
        one, other = other, one
    points = other.points
    if len(one.points[0]) == 2 and len(points[0]) == 3:
        if one.sop_instance_uid not in planes:
            return True
        points = in_planes(points, planes, steps).get(one.sop_instance_uid, [])
    return len(points) == len(one.points) and bool(np.allclose(points, one.points, rtol=0, atol=_NEAR))
