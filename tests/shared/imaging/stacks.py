"""Made-up stacks of slices in the patient: headers only."""

from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from shared.findings import SourceImage
from shared.imaging.frames import Frame

SHAPE = (7, 12, 9)
SPACING = (0.8, 0.6)  # between rows, between columns
STEP = 2.5

_OBLIQUE = Rotation.from_euler("xyz", [20, -35, 10], degrees=True).as_matrix()
_TILT = np.array([0.0, -STEP * np.tan(np.radians(15)), STEP])
# By name: columns are the directions of columns, rows, and the whole step to the next slice in mm.
STACKS = {
    "straight": np.column_stack([[1, 0, 0], [0, 1, 0], [0, 0, STEP]]),
    "reversed": np.column_stack([[1, 0, 0], [0, 1, 0], [0, 0, -STEP]]),
    "oblique": _OBLIQUE @ np.diag([1, 1, STEP]),
    "decubitus": np.column_stack([[0, 1, 0], [-1, 0, 0], [0, 0, STEP]]),  # on the right side: rows run to the back
    "sagittal": np.column_stack([[0, 1, 0], [0, 0, -1], [-STEP, 0, 0]]),
    "gantry tilt": np.column_stack([[1, 0, 0], [0, 1, 0], _TILT]),
}


def frames_of(axes: np.ndarray, shape: tuple[int, int, int] = SHAPE, **header: Any) -> list[Frame]:
    """Slices whose next one lies a step further; the first's first pixel is at 10, -20, 30."""
    orientation = tuple(axes[:, :2].T.ravel().tolist())
    return [
        Frame(
            SourceImage(series_instance_uid="1.1", sop_instance_uid=f"1.2.{n}", sop_class_uid="1.3"),
            Path(f"{n}.dcm"), 0, shape[1], shape[2], SPACING, orientation,  # type: ignore[arg-type]
            tuple((np.array([10.0, -20.0, 30.0]) + n * axes[:, 2]).tolist()),  # type: ignore[arg-type]
            header,
        )
        for n in range(shape[0])
    ]  # fmt: skip
