"""What the report's measurement groups are put together from: references, algorithm, marks, confidence, comments."""

from collections.abc import Sequence
from typing import TypeVar

from highdicom.sr import (
    AlgorithmIdentification,
    CodeContentItem,
    CodedConcept,
    CoordinatesForMeasurement,
    CoordinatesForMeasurement3D,
    FindingSite,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    RelationshipTypeValues,
    SourceImageForMeasurement,
    SourceImageForMeasurementGroup,
    SourceImageForRegion,
    SourceImageForSegmentation,
    TextContentItem,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from highdicom.sr import Measurement as Number
from highdicom.sr import MeasurementsAndQualitativeEvaluations as Group

from services.report import codes
from services.report.identity import USE_MARKS
from shared.findings import Finding, Grade, SourceImage

Reference = TypeVar(
    "Reference",
    SourceImageForMeasurement, SourceImageForMeasurementGroup, SourceImageForRegion, SourceImageForSegmentation,
)  # fmt: skip
AnyGroup = Group | PlanarROIMeasurementsAndQualitativeEvaluations | VolumetricROIMeasurementsAndQualitativeEvaluations
Coordinates = CoordinatesForMeasurement | CoordinatesForMeasurement3D


def reference(kind: type[Reference], image: SourceImage) -> Reference:
    """`image`, or its frame, as a content item of `kind`."""
    return kind(image.sop_class_uid, image.sop_instance_uid, [image.frame] if image.frame else None)


def algorithm(finding: Finding) -> AlgorithmIdentification:
    """TID 4019."""
    return AlgorithmIdentification(finding.package, finding.version, manufacturer="Isocenter")


def remarks(finding: Finding) -> list[QualitativeEvaluation]:
    """What may not be done with the finding, and what it was made without."""
    said, mark = [], finding.use_mark
    if mark:
        value = codes.own(codes.USE_MARK_VALUES.get(mark, mark[:16]), USE_MARKS.get(mark, mark))
        said.append(QualitativeEvaluation(codes.USE_MARK, value))
    return said + [
        QualitativeEvaluation(codes.MISSING_INPUT, codes.own(name[:16], name[:64])) for name in finding.missing
    ]


def sites(finding: Finding) -> list[FindingSite]:
    """Where in the body the finding is, as far as its package says it."""
    site = finding.site
    return [FindingSite(codes.concept(site.code), codes.SIDES.get(site.laterality))] if site else []


def percent(confidence: float) -> float:
    """A confidence as it is said everywhere: in percent, two digits behind the point."""
    return round(100 * confidence, 2)


def certainty(confidence: float | None, inferred_from: Sequence[Coordinates] = ()) -> list[Number]:
    """How sure the package is, where it tells it."""
    if confidence is None:
        return []
    return [Number(codes.CERTAINTY, percent(confidence), codes.unit("%"), referenced_coordinates=inferred_from or None)]


def probability_of(grade: Grade) -> Number:
    """The probability of one step of a scale; the step modifies the number's name."""
    number = Number(codes.PROBABILITY, grade.probability, codes.unit("1"))
    modify(number, codes.GRADE, codes.concept(grade.code))
    return number


def modify(number: Number, name: CodedConcept, value: CodedConcept) -> None:
    """Says by a modifier what a number's name leaves open."""
    item = CodeContentItem(name=name, value=value, relationship_type=RelationshipTypeValues.HAS_CONCEPT_MOD)
    number[0].ContentSequence = [item, *number[0].get("ContentSequence", [])]


def comment(group: AnyGroup, text: str) -> None:
    """Adds a sentence to a group."""
    if text:
        group[0].ContentSequence.append(
            TextContentItem(name=codes.COMMENT, value=text, relationship_type=RelationshipTypeValues.CONTAINS)
        )


def is_placed(group: AnyGroup) -> bool:
    """Whether the group, or one of its numbers, has coordinates: viewers draw it."""
    items = group[0].ContentSequence
    below = [*items, *(child for item in items for child in item.get("ContentSequence", []))]
    return any(item.ValueType in ("SCOORD", "SCOORD3D") for item in below)
