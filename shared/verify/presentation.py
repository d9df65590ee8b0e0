"""Whether a presentation state draws and says what the report does: by the tracking identifiers that they share."""

import re
from collections.abc import Iterable, Iterator, Sequence
from math import isclose

import numpy as np
from pydicom import Dataset

from shared.verify.report_numbers import Group


def differences(ds: Dataset, groups: Sequence[Group], name: str) -> Iterator[str]:
    """What the presentation state `ds` draws or says otherwise than the `groups` of the report called `name`."""
    of_tracking = {group.tracking_uid: group for group in groups}
    drawn = set()
    for annotation in ds.GraphicAnnotationSequence:
        for graphic in annotation.get("GraphicObjectSequence", []):
            group = of_tracking.get(str(graphic.TrackingUID))
            drawn.add(str(graphic.TrackingUID))
            if group is None or not _is_outline(graphic, group):
                yield f"{graphic.TrackingID}: what is drawn is no outline of {name}"
        for text in annotation.get("TextObjectSequence", []):
            said, uid = str(text.UnformattedTextValue), str(text.get("TrackingUID", ""))
            about = [of_tracking[uid]] if uid in of_tracking else [] if uid else groups
            numbers = _numbers_of_region(said) if uid else _decimals(said)
            yield from (f"{n:g} is not in {name}, but in {said!r}" for n in numbers if not _is_said(n, about))
    shown = {str(i.ReferencedSOPInstanceUID) for s in ds.ReferencedSeriesSequence for i in s.ReferencedImageSequence}
    for group in groups:
        if any(outline.sop_instance_uid in shown for outline in group.outlines) and group.tracking_uid not in drawn:
            yield f"{group.name} of {name} is not drawn"


def same(exact: float, printed: float) -> bool:
    """Whether `printed` is `exact`, rounded to three digits behind the point, or two from 10 on."""
    return isclose(exact, printed, rel_tol=1e-9, abs_tol=0.000501 if abs(exact) < 10 else 0.00501)


def _is_outline(graphic: Dataset, group: Group) -> bool:
    """Whether its points, or a circle's centre, are the group's; coordinates in the patient can't be compared."""
    points = np.asarray(graphic.GraphicData, np.float64).reshape(-1, 2)
    points = points[:1] if graphic.GraphicType == "CIRCLE" else points
    flat = [np.asarray(outline.points) for outline in group.outlines if outline.sop_instance_uid]
    alike = (other.shape == points.shape and bool(np.allclose(other, points, atol=1e-3)) for other in flat)
    return not flat or any(alike)


def _is_said(number: float, groups: Iterable[Group]) -> bool:
    return any(same(known.value, number) for group in groups for known in group.numbers)


def _numbers_of_region(said: str) -> list[float]:
    """Behind the name, which may hold figures of its own."""
    return [float(number) for number in re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?", said.partition(": ")[2])]


def _decimals(said: str) -> list[float]:
    """Of what is said of findings and gates: a grade's or a package's name may hold whole figures and versions."""
    lines = [line for line in said.splitlines() if ": " in line]
    return [float(number) for line in lines for number in re.findall(r"(?<![\w.])-?\d+\.\d+(?![\w.]*\d)", line)]
