"""A region as the report's coordinates: pixels of its image, or the patient's where the flavour and the image allow."""

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
from shared.findings import Region


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


def _points(region: Region, outlines: bool) -> tuple[tuple[float, float], ...]:
    return closed(region.points) if outlines and region.graphic_type == "POLYLINE" else region.points


def _pixels(region: Region, outlines: bool) -> NDArray[np.float32]:
    return np.asarray(_points(region, outlines), np.float32)


def _in_patient(facts: RunFacts, region: Region, outlines: bool) -> tuple[str, NDArray[np.float64], str] | None:
    plane = facts.planes.get(region.image)
    header = next((s for s in facts.sources if s.SOPInstanceUID == region.image.sop_instance_uid), None)
    frame_of_reference_uid = header.get("FrameOfReferenceUID") if header is not None else None
    if facts.flavour.region_coordinates != "SCOORD3D" or not plane or not frame_of_reference_uid:
        return None
    graphic_type = "POLYGON" if outlines and region.graphic_type == "POLYLINE" else region.graphic_type
    return graphic_type, plane.points_mm(_points(region, outlines)), frame_of_reference_uid
