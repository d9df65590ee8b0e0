"""What a finding says, in words and numbers as people read them; every readable object takes them from here."""

from dataclasses import dataclass
from functools import singledispatch

from services.report.facts import RunFacts
from services.report.group_parts import percent
from services.report.measures import length_mm, spacing_at
from services.report.regions import area_mm2, regions_of
from shared.findings import (
    Classification,
    DerivedImage,
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
from shared.quantities import number, quantity


@dataclass(frozen=True)
class Statement:
    """One line: what, how much, and what belongs to it."""

    subject: str
    value: str
    remark: str = ""

    @property
    def in_words(self) -> str:
        """On one line."""
        return f"{self.subject}: {self.value}" + (f" ({self.remark})" if self.remark else "")


def said_of_itself(finding: Finding) -> list[str]:
    """What stands beside any finding: how sure it is, and what it was made without."""
    said = [] if finding.confidence is None else [f"confidence {number(percent(finding.confidence), 2)} %"]
    return said + made_without(finding)


def made_without(finding: Finding) -> list[str]:
    """What the package could do without, and did."""
    return [f"made without {', '.join(finding.missing)}"] if finding.missing else []


def measured_value(finding: Measurement) -> str:
    """The measured number as people read it, the same wherever it stands: what `verify-results` takes for the SR's."""
    return quantity(finding.value, finding.unit, 3 if abs(finding.value) < 10 else 2)


def statements(facts: RunFacts, finding: Finding) -> list[Statement]:
    """The finding's own line first, then one for each of its parts that has a number."""
    first, *others = _lines(finding, facts)
    site = f"site: {finding.site.in_words}" if finding.site else ""
    remark = ", ".join(filter(None, [site, first.remark, *said_of_itself(finding)]))
    return [Statement(first.subject, first.value, remark), *others]


def of_regions(facts: RunFacts, finding: Finding) -> list[str]:
    """What stands beside each region of the finding in an image: its name, with its own number where it has one."""
    regions = regions_of(finding)
    if isinstance(finding, Measurement) and finding.geometry:
        said = [_measurement(finding, facts)[0], *(Statement(r.label or finding.name, "") for r in regions[1:])]
    elif isinstance(finding, Landmark):
        said = _landmark(finding, facts)[1:]
    else:
        said = [_region(facts, finding.name, region, n) for n, region in enumerate(regions, start=1)]
    named = [
        (one.subject + (" (where it looked)" if r.window else ""), one.value)
        for one, r in zip(said, regions, strict=True)
    ]
    return [": ".join(filter(None, parts)) for parts in named]


@singledispatch
def _lines(finding: Finding, _facts: RunFacts) -> list[Statement]:
    raise TypeError(f"no words are known for a {type(finding).__name__}")


@_lines.register
def _quality(finding: QualityScore, _facts: RunFacts) -> list[Statement]:
    limits = [("warn below", finding.warn_below), ("hold below", finding.hold_below)]
    remark = [f"verdict {finding.verdict}", *(f"{words} {number(v, 6)}" for words, v in limits if v is not None)]
    if finding.flag_above is not None:
        remark.append(f"{len(finding.flagged())} of {len(finding.instances)} images flagged")
    return [Statement(finding.code.meaning, quantity(finding.value, finding.unit, 6), ", ".join(remark))]


@_lines.register
def _classification(finding: Classification, facts: RunFacts) -> list[Statement]:
    said = "present" if finding.present else "absent"
    remark = f"probability {number(finding.probability, 3)}, present from {number(finding.threshold, 6)}"
    lines = [Statement(finding.code.meaning, said, remark), *_regions(facts, finding.name, finding.regions)]
    if finding.concepts:
        parts = [(c.code.meaning, c.value) for c in finding.concepts.contributions]
        added = "added to the logit"
        lines += [Statement(name, number(v, 6), added) for name, v in [*parts, ("Bias", finding.concepts.bias)]]
    return lines


@_lines.register
def _grade(finding: OrdinalGrade, facts: RunFacts) -> list[Statement]:
    said = finding.grades[finding.grade].code.meaning
    remark = ", ".join(f"{grade.name} {number(grade.probability, 3)}" for grade in finding.grades)
    line = Statement(finding.code.meaning, said, f"probabilities: {remark}")
    return [line, *_regions(facts, finding.name, finding.regions)]


@_lines.register
def _measurement(finding: Measurement, facts: RunFacts) -> list[Statement]:
    between = [_end_on(facts, finding, region) for region in finding.regions if region.graphic_type == "POINT"]
    line = Statement(finding.code.meaning, measured_value(finding), ", ".join([finding.name, *between]))
    return [line] if finding.geometry else [line, *_regions(facts, finding.name, finding.regions)]


def _end_on(facts: RunFacts, finding: Measurement, region: Region) -> str:
    """Of a line that no single image shows, where one end is."""
    return f"{region.label} near {_image_of(facts, finding, region) or 'another image'}"


@_lines.register
def _landmark(finding: Landmark, facts: RunFacts) -> list[Statement]:
    count = len(finding.regions)
    whole = Statement(finding.code.meaning, f"{count} place{'' if count == 1 else 's'} marked", finding.name)
    return [whole, *(_place(facts, finding, region, n) for n, region in enumerate(finding.regions, start=1))]


def _place(facts: RunFacts, finding: Landmark, region: Region, count: int) -> Statement:
    name, sure = f"{finding.name} {region.label or count}", _sure(region)
    if region.graphic_type == "POINT":
        column, row = (number(round(value, 2), 2) for value in region.points[0])
        remark = ", ".join(filter(None, [_image_of(facts, finding, region), sure]))
        return Statement(name, f"column {column}, row {row}", remark)
    size = length_mm(facts, region)
    return Statement(name, "marked" if size is None else quantity(size, "mm", 2), sure)


def _image_of(facts: RunFacts, finding: Finding, region: Region) -> str:
    """Which image a point is on, of a finding over several; empty where that is not told."""
    if len(finding.sources) < 2:
        return ""
    numbers = {str(ds.SOPInstanceUID): ds.get("InstanceNumber") for ds in facts.sources}
    counted = numbers.get(region.image.sop_instance_uid)
    frame = f"frame {region.image.frame}" if region.image.frame else ""
    return ", ".join(filter(None, [f"image {counted}" if counted is not None else "", frame]))


@_lines.register
def _segmentation(finding: Segmentation, _facts: RunFacts) -> list[Statement]:
    return [Statement(s.code.meaning, size_of(s), f"{finding.name} {s.name}") for s in finding.segments]


def size_of(segment: Segment) -> str:
    """Volume or area, as far as pixels have a size."""
    sizes = [(segment.volume_mm3, "mm3"), (segment.area_mm2, "mm2")]
    return ", ".join(quantity(round(v, 2), unit, 2) for v, unit in sizes if v is not None) or "marked"


@_lines.register
def _heat_map(finding: HeatMap, _facts: RunFacts) -> list[Statement]:
    return [Statement(finding.code.meaning, "mapped", f"shows why: {finding.explains}" if finding.explains else "")]


@_lines.register
def _derived(finding: DerivedImage, _facts: RunFacts) -> list[Statement]:
    count = len(finding.placed.images)
    return [Statement(finding.code.meaning, f"{count} image{'' if count == 1 else 's'} made", finding.description)]


@_lines.register
def _not_sure(finding: NotSure, _facts: RunFacts) -> list[Statement]:
    return [Statement(finding.code.meaning, "not sure enough to say", least_asked_for(finding))]


def least_asked_for(finding: NotSure) -> str:
    """Why nothing is said."""
    return f"at least {number(percent(finding.minimum_confidence), 2)} % is asked for"


@_lines.register
def _key_image(finding: KeyImage, _facts: RunFacts) -> list[Statement]:
    remark = [f"shows {finding.explains}"] if finding.explains else []
    remark += [] if finding.weight is None else [f"weight {number(finding.weight, 6)}"]
    return [Statement(finding.code.meaning, "image to look at", ", ".join(remark))]


def _regions(facts: RunFacts, name: str, regions: tuple[Region, ...]) -> list[Statement]:
    """One line for each region that has an area or a confidence."""
    lines = [_region(facts, name, region, count) for count, region in enumerate(regions, start=1)]
    return [line for line in lines if line.value]


def _region(facts: RunFacts, name: str, region: Region, count: int) -> Statement:
    """The region's area, else that it is marked; without a value where there is neither a size nor a confidence."""
    spacing, title = spacing_at(facts, region), f"{name} {region.label or count}"
    area = area_mm2(region, spacing[1]) if spacing else None
    if spacing and area is not None:
        remark = ", ".join(filter(None, [f"by {spacing[0]}", _sure(region)]))
        return Statement(f"{title}, area", quantity(round(area, 2), "mm2", 2), remark)
    return Statement(title, "" if region.confidence is None else "marked", _sure(region))


def _sure(region: Region) -> str:
    return "" if region.confidence is None else f"confidence {number(percent(region.confidence), 2)} %"
