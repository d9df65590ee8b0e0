"""An outline's points in mm, from nothing but what the report says of itself."""

import numpy as np

from shared import geometry
from shared.geometry import Points
from shared.verify.report_numbers import Outline


def in_mm(outline: Outline, spacings: dict[str, tuple[float, float]]) -> Points | None:
    """(points, 2 or 3) in mm; None where the image's spacing is not known."""
    points = np.asarray(outline.points, np.float64)
    if points.shape[1] == 3:
        return points
    spacing = spacings.get(outline.sop_instance_uid)
    return None if spacing is None else geometry.in_mm(points, spacing)
