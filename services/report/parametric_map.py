"""Heat maps as Parametric Maps (PS3.3 A.75): the package's own values, as floats with their meaning and unit."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from highdicom import PixelMeasuresSequence, PlaneOrientationSequence, PlanePositionSequence, VOILUTTransformation
from highdicom.pm import ParametricMap, RealWorldValueMapping
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import ParametricMapStorage

from services.report import codes
from services.report.document_context import fill_contribution_time, fill_dimension_uid
from services.report.facts import CannotBuild, RunFacts
from services.report.identity import (
    MANUFACTURER,
    counted,
    fill_body_part,
    fill_identity,
    first_source,
    series_description,
    use_mark,
)
from services.report.loose_frames import put_right
from services.report.placed_arrays import on_layers, read_placed, step_of
from services.report.plates import FLAT, Plates, plates_of
from shared.findings import HeatMap
from shared.imaging.planes import Plane

KIND = "PM"
SOP_CLASSES = (ParametricMapStorage,)


def build(facts: RunFacts) -> list[Dataset]:
    """One map for each heat map and each group of images of one size and direction; none where there is no heat map.

    Raises:
        CannotBuild: no source image could be read, or the images have no place in the patient (a projection has none;
            nothing can be said of one: PS3.3 A.75.5).
    """
    first_source(facts)
    shell = Dataset()
    shell.StudyInstanceUID = facts.study.study_instance_uid
    made: list[Dataset] = []
    for finding in (f for f in facts.findings if isinstance(f, HeatMap)):
        if any(image not in facts.planes for image in finding.placed.images):
            raise CannotBuild("a parametric map lies in the patient, and these images say no place there")
        step = step_of(facts, finding.placed)
        # a map must name its frame of reference (A.75.3), and nothing says that it is the images' where they name none
        for plates in plates_of(facts, finding.placed.images, shell, step, "own or made up"):
            made.append(_document(facts, finding, plates, len(made) + 1))
    return made


def _document(facts: RunFacts, finding: HeatMap, plates: Plates, number: int) -> Dataset:
    shell = Dataset()
    fill_identity(shell, facts, KIND, number, series_description(facts, counted("map", number)))
    grid = _own_grid(facts, finding, plates) if facts.flavour.map_flavour == "values" else None
    values = grid.values if grid else on_layers(facts, finding.placed, plates)
    geometry = grid.for_highdicom(plates.loose) if grid else {}
    low, high = finding.range or (float(values.min()), float(values.max()))
    slope, intercept = _scale(low, high) if facts.flavour.map_flavour == "overlay" else (1.0, 0.0)
    pixels = ((values - intercept) / slope).astype(np.float32)
    document = ParametricMap(
        source_images=plates.datasets, pixel_array=pixels,
        series_instance_uid=shell.SeriesInstanceUID, series_number=int(shell.SeriesNumber),
        sop_instance_uid=shell.SOPInstanceUID, instance_number=int(shell.InstanceNumber), manufacturer=MANUFACTURER,
        manufacturer_model_name=facts.run.package, software_versions=facts.run.version,
        device_serial_number=facts.run.version, contains_recognizable_visual_features=False,
        real_world_value_mappings=[_meaning(finding, pixels, slope, intercept)], content_label="AI_MAP",
        content_description=f"{facts.title}. {use_mark(facts)}".strip(". ")[:64],
        voi_lut_transformations=[_window((low - intercept) / slope, (high - intercept) / slope)], **geometry,
    )  # fmt: skip
    document.update(shell)
    if plates.loose:
        put_right(document, plates, *((grid.planes, grid.measures) if grid else (plates.planes, plates.measures)))
    fill_body_part(document, first_source(facts))
    fill_contribution_time(document, shell)
    fill_dimension_uid(document)
    return document


def _scale(low: float, high: float) -> tuple[float, float]:
    """Slope and intercept from shares to values: what OHIF 3.13 draws is 0 to 1, and it asks for no other mapping.

    Zero stays zero where values lie on both sides of it, and below it nothing is drawn.
    """
    intercept = max(low, 0.0)
    return (high - intercept if high > intercept else 1.0), intercept


def _window(low: float, high: float) -> VOILUTTransformation:
    return VOILUTTransformation((low + high) / 2, max(high - low, 1e-6))


def label_of(finding: HeatMap) -> str:
    """What the map calls its values (SH)."""
    return finding.name[:16]


def _meaning(finding: HeatMap, pixels: NDArray[Any], slope: float, intercept: float) -> RealWorldValueMapping:
    """What a stored value stands for, of the finding's quantity and in its unit."""
    return RealWorldValueMapping(
        lut_label=label_of(finding), lut_explanation=finding.code.meaning[:64], unit=codes.unit(finding.unit),
        value_range=(float(pixels.min()), float(pixels.max())), slope=slope, intercept=intercept,
        quantity_definition=codes.concept(finding.code),
    )  # fmt: skip


@dataclass(frozen=True)
class _Grid:
    """Values (layers, rows, columns) on the grid that they have, and where each layer of it lies in the patient."""

    values: NDArray[Any]
    planes: list[Plane]
    thickness: float

    @property
    def measures(self) -> Dataset:
        return PixelMeasuresSequence(self.planes[0].spacing, slice_thickness=self.thickness)[0]

    def for_highdicom(self, loose: bool) -> dict[str, Any]:
        """Loose layers lie one below the other, as their plates do."""
        orientation = FLAT if loose else self.planes[0].orientation
        places = [(0.0, 0.0, -float(n)) if loose else plane.position for n, plane in enumerate(self.planes)]
        return {
            "pixel_measures": PixelMeasuresSequence(self.planes[0].spacing, slice_thickness=self.thickness),
            "plane_orientation": PlaneOrientationSequence("PATIENT", orientation),
            "plane_positions": [PlanePositionSequence("PATIENT", place) for place in places],
        }


def _own_grid(facts: RunFacts, finding: HeatMap, plates: Plates) -> _Grid | None:
    """None where the values lie on the image's own grid."""
    placed, box = finding.placed, next(iter(finding.placed.boxes), None)
    if box is None or any(other != box for other in placed.boxes):
        return None
    here = [n for n, image in enumerate(placed.images) if image in set(plates.layers)]
    values = read_placed(facts, placed)[here]
    across, down = (box[2] - box[0]) / values.shape[2], (box[3] - box[1]) / values.shape[1]
    first = (box[0] + across / 2, box[1] + down / 2)
    planes = [_of_cells(facts.planes[placed.images[n]], first, across, down) for n in here]
    return _Grid(values, planes, step_of(facts, placed) or 1.0)


def _of_cells(plane: Plane, first: tuple[float, float], across: float, down: float) -> Plane:
    """The plane of cells that are so many pixels wide and high, the middle of the first one at `first`."""
    x, y, z = plane.points_mm([first])[0].tolist()
    return Plane((x, y, z), plane.orientation, (plane.spacing[0] * down, plane.spacing[1] * across))
