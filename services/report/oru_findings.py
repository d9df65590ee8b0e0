"""What each kind of finding says in an ORU: OBX fields by number, escaped, and the words of the NTE below."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from pydicom.sr.coding import Code as Concept

from services.report.codes import ABSENT, FINDING_SITE, LATERALITY, NOT_SURE, PRESENT, SIDES
from services.report.group_parts import percent
from services.report.statements import least_asked_for, said_of_itself, size_of
from shared.findings import (
    Classification,
    Code,
    DerivedImage,
    Embedding,
    Finding,
    HeatMap,
    KeyImage,
    Landmark,
    Measurement,
    NotSure,
    OrdinalGrade,
    QualityScore,
    Region,
    Segment,
    Segmentation,
)
from shared.hl7.text import escape
from shared.quantities import number

VERDICT_FLAGS = {"pass": "N", "warn": "L", "hold": "LL"}  # table 0078
Said = tuple[dict[int, str], list[str]]


@dataclass(frozen=True)
class Observation:
    """One OBX: fields by number, escaped; and the words of its NTE."""

    fields: dict[int, str]
    remarks: list[str] = field(default_factory=list)


def observed(finding: Finding, number: str) -> Iterator[tuple[str, dict[int, str], list[str]]]:
    """For each OBX its sub-ID (OBX-4), fields and remarks; a segmentation has one a segment."""
    if isinstance(finding, Segmentation):
        for count, segment in enumerate(finding.segments, start=1):
            fields, remarks = _segment(segment)
            yield f"{number}.{count}", {3: _code(segment.code)} | fields, [*remarks, *said_of_itself(finding)]
        return
    fields, remarks = _said(finding)
    yield number, {3: _code(finding.code)} | fields, [*remarks, *said_of_itself(finding)]


def sites_observed(finding: Finding) -> list[dict[int, str]]:
    """An OBX for where in the body the finding is, and one for the side: OBX-20 is of later versions than 2.5.1."""
    if not finding.site:
        return []
    side = SIDES.get(finding.site.laterality)
    found = [(FINDING_SITE, _code(finding.site.code))]
    found += [(LATERALITY, _concept(side))] if side else []
    return [{2: "CWE", 3: _concept(name), 5: value} for name, value in found]


def _said(finding: Finding) -> Said:
    if isinstance(finding, Classification):
        return _classification(finding)
    if isinstance(finding, QualityScore):
        return _quality(finding)
    if isinstance(finding, OrdinalGrade):
        return _grade(finding)
    if isinstance(finding, Measurement):
        return {2: "NM", 5: number_of(finding.value), 6: unit_of(finding.unit)}, []
    if isinstance(finding, NotSure):
        coded = f"{NOT_SURE.value}^{words_of(NOT_SURE.meaning)}^{NOT_SURE.scheme_designator}"
        return {2: "CWE", 5: coded, 11: "X"}, [f"Nothing is said: {least_asked_for(finding)}"]  # table 0085: no result
    if isinstance(finding, Segmentation | Embedding):
        raise TypeError(f"no observation is made of a {finding.kind} as such")
    return {2: "ST", 5: words_of(_in_words(finding))}, []


def _classification(finding: Classification) -> Said:
    fields = {
        2: "CWE", 5: _concept(PRESENT if finding.present else ABSENT), 7: f"<{finding.threshold:g}",
        8: "A" if finding.present else "N", 9: number_of(finding.probability, 3),
    }  # fmt: skip
    return fields, [f"Probability {finding.probability:.3f}, present from {finding.threshold:g}"]


def _grade(finding: OrdinalGrade) -> Said:
    """The step that holds, with its probability; those of all steps below."""
    grade = finding.grades[finding.grade]
    steps = ", ".join(f"{step.name} {step.probability:.3f}" for step in finding.grades)
    return {2: "CWE", 5: _code(grade.code), 9: number_of(grade.probability, 3)}, [f"Probabilities: {steps}"]


def _quality(finding: QualityScore) -> Said:
    fields = {
        2: "NM", 5: number_of(finding.value), 6: unit_of(finding.unit), 8: VERDICT_FLAGS[finding.verdict],
        7: f">={finding.warn_below:g}" if finding.warn_below is not None else "",
    }  # fmt: skip
    limits = [(finding.warn_below, "warn below"), (finding.hold_below, "hold below")]
    said = [f"{words} {limit:g}" for limit, words in limits if limit is not None]
    return fields, [", ".join([f"Verdict: {finding.verdict}", *said]), f"Series {finding.series_instance_uid}"]


def _segment(segment: Segment) -> Said:
    for value, unit in ((segment.volume_mm3, "mm3"), (segment.area_mm2, "mm2")):
        if value is not None:
            return {2: "NM", 5: number_of(round(value, 2)), 6: unit_of(unit)}, [f"Segment {segment.name}"]
    return {2: "ST", 5: words_of(size_of(segment))}, [f"Segment {segment.name}"]


def _in_words(finding: Landmark | HeatMap | KeyImage | DerivedImage) -> str:
    """What has no number of its own."""
    if isinstance(finding, Landmark):
        places = [
            (region.label or str(n))
            + ("" if region.confidence is None else f" ({number(percent(region.confidence), 2)} %)")
            for n, region in enumerate(finding.regions, start=1)
        ]
        return f"Marked: {', '.join(places)}" if places else "Nothing marked"
    if isinstance(finding, KeyImage):
        frame = f" frame {finding.image.frame}" if finding.image.frame else ""
        return f"Image to look at: SOP Instance UID {finding.image.sop_instance_uid}{frame}"
    if isinstance(finding, HeatMap):
        return f"Mapped, shows why: {finding.explains}" if finding.explains else "Mapped"
    return finding.description or f"{len(finding.placed.images)} images made"


def _place(region: Region, count: int) -> str:
    sure = "" if region.confidence is None else f" ({number(percent(region.confidence), 2)} %)"
    return f"{region.label or count}{sure}"


def _code(code: Code) -> str:
    return "^".join(words_of(part) for part in (code.value, code.meaning, code.scheme))


def _concept(code: Concept) -> str:
    return _code(Code(value=code.value, scheme=code.scheme_designator, meaning=code.meaning))


def words_of(text: str) -> str:
    """Free text on one line: ST and FT of every receiver take that."""
    return escape(" ".join(text.split()))


def number_of(value: float, digits: int = 6) -> str:
    """NM: digits and a point, no exponent (HL7 v2.5.1 2.A.47)."""
    return f"{value:.{digits}f}".rstrip("0").rstrip(".") or "0"


def unit_of(ucum: str) -> str:
    """OBX-6 of a UCUM unit."""
    return f"{escape(ucum)}^{'no units' if ucum == '1' else escape(ucum)}^UCUM"
