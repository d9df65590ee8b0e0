"""Series that lie in every way: axial, sagittal, oblique, tilted, and of a patient who lies on the side."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shared.phantoms import dicom
from shared.phantoms.brain_mr import brain_volume

STEP, SPACING = 4.0, (1.8, 1.5)  # from slice to slice; from row to row, from column to column; in mm
ROWS, COLUMNS = 60, 64
TILT = np.deg2rad(20)


@dataclass(frozen=True)
class Lie:
    """How a series lies: the directions of rows and columns, and the way from slice to slice."""

    row: tuple[float, float, float]
    column: tuple[float, float, float]
    step: tuple[float, float, float]
    patient_position: str = "HFS"


def _turned(angle: float) -> Lie:
    """Turned about the patient's x, then a little about z."""
    c, s = float(np.cos(angle)), float(np.sin(angle))
    about_z = np.array([[0.9, -np.sqrt(0.19), 0], [np.sqrt(0.19), 0.9, 0], [0, 0, 1]])
    row, column, step = (tuple(map(float, about_z @ v)) for v in ((1, 0, 0), (0, c, s), (0, -s, c)))
    return Lie(row, column, step)  # type: ignore[arg-type]


LIES = {
    "axial": Lie((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "sagittal": Lie((0, 1, 0), (0, 0, -1), (-1, 0, 0)),
    "oblique": _turned(0.5),
    # a gantry: not along the normal
    "tilted": Lie((1, 0, 0), (0, float(np.cos(TILT)), -float(np.sin(TILT))), (0, 0, 1)),
    "decubitus": Lie((0, 1, 0), (-1, 0, 0), (0, 0, 1), "HFDR"),  # on the right side: down is the patient's right
}


def write_series(folder: Path, lie: Lie) -> list[Path]:
    """20 slices that lie so, one file each; neither the pixels nor the images are square."""
    volume = brain_volume(3, slices=20, size=COLUMNS, spacing_mm=(STEP, SPACING[0]))[:, :ROWS]
    visit = dicom.Visit(dicom.BRAIN_PATIENT, "ACC-SEG")
    paths = []
    for number, ds in enumerate(dicom.mr_series(volume, visit, spacing_mm=(STEP, SPACING[0]))):
        place = np.array([-40.0, 25.0, 310.0]) + number * STEP * np.asarray(lie.step)
        ds.ImagePositionPatient = [round(float(v), 6) for v in place]
        ds.ImageOrientationPatient = [round(float(v), 8) for v in (*lie.row, *lie.column)]
        ds.PixelSpacing, ds.PatientPosition = list(SPACING), lie.patient_position
        paths.append(folder / f"{ds.SOPInstanceUID}.dcm")
        ds.save_as(paths[-1], enforce_file_format=True)
    return paths
