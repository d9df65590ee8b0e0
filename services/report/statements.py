"""What a finding says, in words and numbers as people read them; every readable object takes them from here."""

from dataclasses import dataclass

from services.report.facts import RunFacts
from services.report.regions import area_mm2
from services.report.source_header import spacing_of
from shared.findings import Classification, Finding, Measurement, QualityScore

_UNITS = {"mm2": "mm²", "mm3": "mm³", "cm2": "cm²", "cm3": "cm³", "Cel": "°C", "deg": "°", "[hnsf'U]": "HU"}


@dataclass(frozen=True)
class Statement:
    """One line: what, how much, and what belongs to it."""

    subject: str
    value: str
    remark: str = ""


def number(value: float, digits: int) -> str:
    """At most `digits` behind the point, no exponent, no zeros at the end."""
    text = f"{value:.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("", "-0") else text


def quantity(value: float, unit: str, digits: int) -> str:
    """A number with its UCUM unit; `1` is no unit."""
    return number(value, digits) if unit == "1" else f"{number(value, digits)} {_UNITS.get(unit, unit)}"


def statements(facts: RunFacts, finding: Finding) -> list[Statement]:
    """The finding's own line first, then one for each of its regions that has an area."""
    if isinstance(finding, QualityScore):
        return [_quality(finding)]
    if isinstance(finding, Classification):
        return [_classification(finding), *_areas(facts, finding)]
    if isinstance(finding, Measurement):
        return [_measurement(finding), *_areas(facts, finding)]
    return [Statement(finding.code.meaning, finding.name)]


def _quality(finding: QualityScore) -> Statement:
    limits = [("warn below", finding.warn_below), ("hold below", finding.hold_below)]
    remark = [f"verdict {finding.verdict}", *(f"{words} {number(v, 6)}" for words, v in limits if v is not None)]
    return Statement(finding.code.meaning, quantity(finding.value, finding.unit, 6), ", ".join(remark))


def _classification(finding: Classification) -> Statement:
    said = "present" if finding.present else "absent"
    remark = f"probability {number(finding.probability, 3)}, present from {number(finding.threshold, 6)}"
    return Statement(finding.code.meaning, said, remark)


def _measurement(finding: Measurement) -> Statement:
    return Statement(finding.code.meaning, quantity(finding.value, finding.unit, 6), finding.name)


def _areas(facts: RunFacts, finding: Classification | Measurement) -> list[Statement]:
    headers = {str(source.SOPInstanceUID): source for source in facts.sources}
    lines = []
    for count, region in enumerate(finding.regions, start=1):
        header = headers.get(region.image.sop_instance_uid)
        spacing = spacing_of(header) if header is not None else None
        area = area_mm2(region, spacing[1]) if spacing else None
        if spacing and area is not None:
            lines.append(
                Statement(f"{finding.name} {count}, area", quantity(round(area, 2), "mm2", 2), f"by {spacing[0]}")
            )
    return lines
