"""The step that leaves out what lies around the patient."""

from typing import Annotated

import numpy as np
from pydantic import Field

from shared.imaging.steps.register import step
from shared.imaging.volume import Volume


@step(by_slice=lambda _: False)
def crop_foreground(volume: Volume, above: float = 0.0, margin: Annotated[int, Field(ge=0, le=4096)] = 0) -> Volume:
    """The smallest box of slices, rows and columns that holds every voxel `above` that value, `margin` voxels around
    it as far as there are any. A volume without such a voxel stays whole.
    """
    inside = np.any(volume.array > above, axis=0)
    if not inside.any():
        return volume
    spans = []
    for axis, count in enumerate(volume.shape):
        there = np.flatnonzero(np.any(inside, axis=tuple(other for other in range(3) if other != axis)))
        spans.append((max(0, int(there[0]) - margin), min(count, int(there[-1]) + 1 + margin)))
    (front, back), (top, bottom), (left, right) = spans
    return volume.moved(
        volume.array[:, front:back, top:bottom, left:right], shift=(float(front), float(top), float(left))
    )
