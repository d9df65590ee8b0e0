"""A region as the report's coordinates: pixels of its image, or the patient's where the flavour and the image allow."""

from collections.abc import Sequence

import numpy as np
from highdicom.sr import (
    CoordinatesForMeasurement,
    CoordinatesForMeasurement3D,
    ImageRegion,
    ImageRegion3D,
    SourceImageForRegion,
)
from numpy.typing import NDArray

from services.report.facts import RunFacts
from services.report.group_parts import Coordinates, reference
from services.report.regions import closed
from shared.findings import Measurement, Region


def region_item(facts: RunFacts, region: Region, outlines: bool = True) -> ImageRegion | ImageRegion3D:
    """The region as what a group is about; `outlines` says that its line encloses something."""
    if (placed := _in_patient(facts, region, outlines)) is not None:
        return ImageRegion3D(*placed)
    return ImageRegion(region.graphic_type, _pixels(region, outlines), reference(SourceImageForRegion, region.image))


def inferred_from(facts: RunFacts, region: Region, outlines: bool) -> Coordinates:
    """The region as what a number rests on (TID 320)."""
    if (placed := _in_patient(facts, region, outlines)) is not None:
        return CoordinatesForMeasurement3D(*placed)
    source = reference(SourceImageForRegion, region.image)
    return CoordinatesForMeasurement(region.graphic_type, _pixels(region, outlines), source)


def coordinates_of(facts: RunFacts, finding: Measurement) -> list[Coordinates]:
    """What the measurement's number was inferred from: each line or outline; of a line that no single image shows both
    ends, as one line where it can be told in the patient, else each on its own image.
    """
    found: list[Coordinates] = []
    ends: list[Region] = []
    for region in finding.regions:
        if region.graphic_type != "POINT":
            found.append(inferred_from(facts, region, finding.geometry == "area"))
            continue
        ends.append(region)
        if len(ends) == 2:
            found += _between(facts, ends)
            ends = []
    return found


def between_images(facts: RunFacts, finding: Measurement) -> str:
    """Why the report's points alone don't give the number; empty where they do."""
    places = [region.in_patient for region in finding.regions if region.in_patient]
    if not places or any(_in_patient(facts, r, outlines=False) for r in finding.regions if r.in_patient):
        return ""
    said = ", ".join(f"({', '.join(f'{value:.2f}' for value in place)})" for place in places)
    return f"Measured in the patient, in mm at {said}: no single image shows it, and each point is on the nearest."


def _between(facts: RunFacts, ends: Sequence[Region]) -> list[Coordinates]:
    placed = [_in_patient(facts, end, outlines=False) for end in ends]
    first, last = placed
    if first is None or last is None:
        return [inferred_from(facts, end, outlines=False) for end in ends]
    return [CoordinatesForMeasurement3D("POLYLINE", np.vstack([first[1], last[1]]), first[2])]


def _points(region: Region, outlines: bool) -> tuple[tuple[float, float], ...]:
    return closed(region.points) if outlines and region.graphic_type == "POLYLINE" else region.points


def _pixels(region: Region, outlines: bool) -> NDArray[np.float32]:
    return np.asarray(_points(region, outlines), np.float32)


def _in_patient(facts: RunFacts, region: Region, outlines: bool) -> tuple[str, NDArray[np.float64], str] | None:
    plane = facts.planes.get(region.image)
    header = next((s for s in facts.sources if s.SOPInstanceUID == region.image.sop_instance_uid), None)
    frame_of_reference_uid = header.get("FrameOfReferenceUID") if header is not None else None
    if facts.flavour.region_coordinates != "SCOORD3D" or not frame_of_reference_uid:
        return None
    if region.in_patient:
        return region.graphic_type, np.array([region.in_patient]), frame_of_reference_uid
    if not plane:
        return None
    graphic_type = "POLYGON" if outlines and region.graphic_type == "POLYLINE" else region.graphic_type
    return graphic_type, plane.points_mm(_points(region, outlines)), frame_of_reference_uid
