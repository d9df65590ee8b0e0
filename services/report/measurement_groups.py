"""Findings and gate results as TID 1500's measurement groups (TID 1501 and, for a region, TID 1410)."""

from collections.abc import Iterable, Sequence
from functools import singledispatchmethod
from typing import TypeVar

import numpy as np
from highdicom.sr import (
    AlgorithmIdentification,
    ImageRegion,
    ImageRegion3D,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    RelationshipTypeValues,
    SourceImageForMeasurement,
    SourceImageForMeasurementGroup,
    SourceImageForRegion,
    TextContentItem,
    TrackingIdentifier,
)
from highdicom.sr import Measurement as Number
from highdicom.sr import MeasurementsAndQualitativeEvaluations as Group
from pydicom import Dataset

from services.report import codes
from services.report.facts import RunFacts
from services.report.identity import USE_MARKS
from services.report.regions import area_mm2, closed
from services.report.source_header import spacing_of
from shared.findings import Classification, Finding, Measurement, QualityScore, Region, SourceImage
from shared.store import GateResult
from shared.uids import derived_uid

Reference = TypeVar("Reference", SourceImageForMeasurement, SourceImageForMeasurementGroup, SourceImageForRegion)
AnyGroup = Group | PlanarROIMeasurementsAndQualitativeEvaluations


class Groups:
    """Makes the groups of one run; tracking UIDs are derived from the run, so a replay gives the same."""

    def __init__(self, facts: RunFacts) -> None:
        self._run, self._facts = facts.run, facts
        self._headers = {str(ds.SOPInstanceUID): ds for ds in facts.sources}

    def of(self, finding: Finding) -> list[AnyGroup]:
        """The groups that say `finding`; the first tells who released the run against its gates."""
        groups = self._of_finding(finding)
        _comment(groups[0], self._facts.released and f"Held by a quality gate, {self._facts.released}")
        return groups

    @singledispatchmethod
    def _of_finding(self, finding: Finding) -> list[AnyGroup]:
        raise TypeError(f"no groups are known for a {type(finding).__name__}")

    @_of_finding.register
    def _quality(self, finding: QualityScore) -> list[AnyGroup]:
        name, unit = codes.concept(finding.code), codes.unit(finding.unit)
        numbers = [Number(name, finding.value, unit, algorithm_id=_algorithm(finding))]
        for code, threshold in ((codes.WARN_BELOW, finding.warn_below), (codes.HOLD_BELOW, finding.hold_below)):
            if threshold is not None:
                numbers.append(Number(code, threshold, unit))
        series = finding.series_instance_uid
        whole = self._group(
            f"{finding.name} of the series", (finding.name, series), numbers,
            [QualitativeEvaluation(codes.VERDICT, codes.own(finding.verdict, finding.verdict)), *_mark(finding)],
            finding, [i.image for i in finding.instances] or list(finding.sources),
        )  # fmt: skip
        _comment(whole, self._facts.reason_of(finding))
        return [whole, *self._slices(finding)]

    def _slices(self, finding: QualityScore) -> list[AnyGroup]:
        """The scores that the series' score was made from, each beside its image."""
        if not finding.instances:
            return []
        name, unit = codes.concept(finding.code), codes.unit(finding.unit)
        numbers = [
            Number(name, scored.score, unit, referenced_images=[_reference(SourceImageForMeasurement, scored.image)])
            for scored in finding.instances
        ]
        key = (finding.name, finding.series_instance_uid, "slices")
        return [self._group(f"{finding.name} of each image", key, numbers, _mark(finding), finding, [])]

    @_of_finding.register
    def _classification(self, finding: Classification) -> list[AnyGroup]:
        name = codes.concept(finding.code)
        value = codes.PRESENT if finding.present else codes.ABSENT
        numbers = [
            Number(codes.PROBABILITY, finding.probability, codes.unit("1"), algorithm_id=_algorithm(finding)),
            Number(codes.THRESHOLD, finding.threshold, codes.unit("1")),
        ]
        whole = self._group(
            finding.name, (finding.name, *_place(finding.sources)), numbers,
            [QualitativeEvaluation(name, value), *_mark(finding)], finding, list(finding.sources),
        )  # fmt: skip
        # the probability is the image's, not a region's: it stands beside one only where no area can
        fallback = Number(codes.PROBABILITY, finding.probability, codes.unit("1"))
        return [whole, *(self._region(finding, r, n, [], fallback) for n, r in enumerate(finding.regions, start=1))]

    @_of_finding.register
    def _measurement(self, finding: Measurement) -> list[AnyGroup]:
        number = Number(
            codes.concept(finding.code), finding.value, codes.unit(finding.unit), algorithm_id=_algorithm(finding)
        )
        if finding.regions:
            return [self._region(finding, r, n, [number]) for n, r in enumerate(finding.regions, start=1)]
        key = (finding.name, *_place(finding.sources))
        return [self._group(finding.name, key, [number], _mark(finding), finding, list(finding.sources))]

    def of_gate(self, result: GateResult) -> Group:
        """The group that says what a gate thought of the study or of one of its series."""
        version = result.version or "1"
        numbers = []
        if result.score is not None:
            numbers.append(Number(codes.GATE_SCORE, result.score, codes.unit(result.unit)))
        group = Group(
            self._tracking(f"gate {result.name}", ("gate", result.name, result.series_instance_uid)),
            finding_type=codes.QUALITY,
            algorithm_id=AlgorithmIdentification(result.name, version, manufacturer="Isocenter"),
            measurements=numbers,
            qualitative_evaluations=[QualitativeEvaluation(codes.VERDICT, codes.own(result.verdict, result.verdict))],
        )
        _comment(group, result.reason)
        return group

    def _group(
        self, title: str, key: tuple[str, ...], numbers: Sequence[Number], said: Sequence[QualitativeEvaluation],
        finding: QualityScore | Classification | Measurement, images: list[SourceImage],
    ) -> Group:  # fmt: skip
        return Group(
            self._tracking(title, key),
            finding_type=codes.concept(finding.code),
            algorithm_id=_algorithm(finding),
            measurements=numbers,
            qualitative_evaluations=said,
            source_images=[_reference(SourceImageForMeasurementGroup, i) for i in self._known(images)],
        )

    def _region(
        self, finding: Classification | Measurement, region: Region, number: int, said: Sequence[Number],
        fallback: Number | None = None,
    ) -> PlanarROIMeasurementsAndQualitativeEvaluations:  # fmt: skip
        """One region with its numbers; a viewer draws none without a number, so `fallback` stands in for all."""
        numbers, evaluations = list(said), list(_mark(finding))
        header = self._headers.get(region.image.sop_instance_uid)
        spacing = spacing_of(header) if header is not None else None
        area = area_mm2(region, spacing[1]) if spacing else None
        if spacing and area is not None:
            numbers.append(Number(codes.AREA, round(area, 2), codes.SQUARE_MILLIMETRE))
            evaluations.append(QualitativeEvaluation(codes.AREA_SPACING, codes.SPACINGS[spacing[0]]))
        if not numbers and fallback is not None:
            numbers.append(fallback)
        key = (finding.name, "region", *_place([region.image]), str(number))
        return PlanarROIMeasurementsAndQualitativeEvaluations(
            self._tracking(f"{finding.name} {number}", key),
            referenced_region=self._coordinates(region, header),
            finding_type=codes.concept(finding.code),
            algorithm_id=_algorithm(finding),
            measurements=numbers,
            qualitative_evaluations=evaluations,
        )

    def _coordinates(self, region: Region, header: Dataset | None) -> ImageRegion | ImageRegion3D:
        """In the patient's coordinates where the flavour says so and the image has them, else in the image's pixels."""
        points = closed(region.points) if region.graphic_type == "POLYLINE" else region.points
        plane = self._facts.planes.get(region.image)
        frame_of_reference_uid = header.get("FrameOfReferenceUID") if header is not None else None
        if self._facts.flavour.region_coordinates == "SCOORD3D" and plane and frame_of_reference_uid:
            graphic_type = "POLYGON" if region.graphic_type == "POLYLINE" else "POINT"
            return ImageRegion3D(graphic_type, plane.points_mm(points), frame_of_reference_uid)
        source = _reference(SourceImageForRegion, region.image)
        return ImageRegion(region.graphic_type, np.asarray(points, np.float32), source)

    def _tracking(self, title: str, key: tuple[str, ...]) -> TrackingIdentifier:
        return TrackingIdentifier(uid=derived_uid(self._run.id, "tracking", *key), identifier=title)

    def _known(self, images: Iterable[SourceImage]) -> list[SourceImage]:
        return [image for image in images if image.sop_instance_uid in self._headers]


def _place(images: Sequence[SourceImage]) -> list[str]:
    """What tells a finding's groups from those of the same finding in another image."""
    return [part for image in images for part in (image.sop_instance_uid, str(image.frame or ""))]


def _reference(kind: type[Reference], image: SourceImage) -> Reference:
    return kind(image.sop_class_uid, image.sop_instance_uid, [image.frame] if image.frame else None)


def _algorithm(finding: QualityScore | Classification | Measurement) -> AlgorithmIdentification:
    """TID 4019."""
    return AlgorithmIdentification(finding.package, finding.version, manufacturer="Isocenter")


def _mark(finding: QualityScore | Classification | Measurement) -> list[QualitativeEvaluation]:
    mark = finding.use_mark
    if not mark:
        return []
    return [
        QualitativeEvaluation(
            codes.USE_MARK, codes.own(codes.USE_MARK_VALUES.get(mark, mark[:16]), USE_MARKS.get(mark, mark))
        )
    ]


def _comment(group: AnyGroup, text: str) -> None:
    if text:
        group[0].ContentSequence.append(
            TextContentItem(name=codes.COMMENT, value=text, relationship_type=RelationshipTypeValues.CONTAINS)
        )
