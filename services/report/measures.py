"""Numbers that a region alone gives, with the spacing that they rest on: what anyone can compute again."""

from dataclasses import dataclass

from highdicom.sr import Measurement as Number
from highdicom.sr import QualitativeEvaluation

from services.report import codes
from services.report.facts import RunFacts
from services.report.regions import area_mm2
from services.report.source_header import spacing_of
from shared.findings import Region
from shared.geometry import in_mm, length


@dataclass(frozen=True)
class Measure:
    """A number, and by which of the source's attributes pixels became millimetres."""

    number: Number
    spacing: QualitativeEvaluation | None = None


def spacing_at(facts: RunFacts, region: Region) -> tuple[str, tuple[float, float]] | None:
    """The keyword of the spacing of the region's image, and (row, column) in mm."""
    header = next((s for s in facts.sources if s.SOPInstanceUID == region.image.sop_instance_uid), None)
    return spacing_of(header) if header is not None else None


def area_of(facts: RunFacts, region: Region) -> Measure | None:
    """The area that the region encloses; None for a point, and where pixels have no size."""
    spacing = spacing_at(facts, region)
    value = area_mm2(region, spacing[1]) if spacing else None
    if not spacing or value is None:
        return None
    number = Number(codes.AREA, round(value, 2), codes.SQUARE_MILLIMETRE)
    return Measure(number, QualitativeEvaluation(codes.AREA_SPACING, codes.SPACINGS[spacing[0]]))


def length_mm(facts: RunFacts, region: Region) -> float | None:
    """How long an open line is; None for a point, and where pixels have no size."""
    spacing = spacing_at(facts, region)
    if not spacing or region.graphic_type != "POLYLINE":
        return None
    return round(length(in_mm(region.points, spacing[1])), 2)


def length_of(facts: RunFacts, region: Region) -> Measure | None:
    """`length_mm` as the report's number."""
    spacing, value = spacing_at(facts, region), length_mm(facts, region)
    if not spacing or value is None:
        return None
    number = Number(codes.LENGTH, value, codes.unit("mm"))
    return Measure(number, QualitativeEvaluation(codes.LENGTH_SPACING, codes.SPACINGS[spacing[0]]))
