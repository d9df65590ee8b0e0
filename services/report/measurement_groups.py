"""Findings and gate results as TID 1500's measurement groups (TID 1501 and, for a region, TID 1410)."""

from collections.abc import Iterable, Sequence
from functools import singledispatchmethod

from highdicom.sr import (
    AlgorithmIdentification,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    SourceImageForMeasurement,
    SourceImageForMeasurementGroup,
)
from highdicom.sr import Measurement as Number
from highdicom.sr import MeasurementsAndQualitativeEvaluations as Group

from services.report import codes
from services.report.facts import RunFacts
from services.report.group_parts import (
    AnyGroup,
    algorithm,
    certainty,
    comment,
    probability_of,
    reference,
    remarks,
    sites,
)
from services.report.map_references import maps_of
from services.report.measures import Measure, area_of, length_of
from services.report.region_coordinates import between_images, coordinates_of, region_item
from services.report.segment_groups import segment_group, unplaced_group
from services.report.statements import least_asked_for
from services.report.tracking import Tracking, of_region, of_segment, place_of
from shared.findings import (
    Classification,
    Concepts,
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
    Segmentation,
    SliceWeights,
    SourceImage,
)
from shared.store import GateResult

Explained = Classification | OrdinalGrade | Measurement


class Groups:
    """Makes the groups of one run; a replay gives the same."""

    def __init__(self, facts: RunFacts) -> None:
        self._facts, self._tracking = facts, Tracking(facts)
        self._headers = {str(ds.SOPInstanceUID): ds for ds in facts.sources}

    def of(self, finding: Finding) -> list[AnyGroup]:
        """The groups that say `finding`; the first tells who released the run against its gates."""
        groups = self._of_finding(finding)
        comment(groups[0], self._facts.released and f"Held by a quality gate, {self._facts.released}")
        return groups

    @singledispatchmethod
    def _of_finding(self, finding: Finding) -> list[AnyGroup]:
        raise TypeError(f"no groups are known for a {type(finding).__name__}")

    @_of_finding.register
    def _quality(self, finding: QualityScore) -> list[AnyGroup]:
        name, unit = codes.concept(finding.code), codes.unit(finding.unit)
        numbers = [Number(name, finding.value, unit, algorithm_id=algorithm(finding))]
        for code, threshold in ((codes.WARN_BELOW, finding.warn_below), (codes.HOLD_BELOW, finding.hold_below)):
            if threshold is not None:
                numbers.append(Number(code, threshold, unit))
        whole = self._group(
            finding, f"{finding.name} of the series", numbers,
            [QualitativeEvaluation(codes.VERDICT, codes.own(finding.verdict, finding.verdict))],
            [i.image for i in finding.instances] or list(finding.sources), place=(finding.series_instance_uid,),
        )  # fmt: skip
        comment(whole, self._facts.reason_of(finding))
        return [whole, *self._slices(finding)]

    def _slices(self, finding: QualityScore) -> list[AnyGroup]:
        """The scores that the series' score was made from, each beside its image."""
        if not finding.instances:
            return []
        name, unit, place = codes.concept(finding.code), codes.unit(finding.unit), (finding.series_instance_uid,)
        numbers = [
            Number(name, scored.score, unit, referenced_images=[reference(SourceImageForMeasurement, scored.image)])
            for scored in finding.instances
        ]
        return [self._group(finding, f"{finding.name} of each image", numbers, [], [], "slices", place=place)]

    @_of_finding.register
    def _classification(self, finding: Classification) -> list[AnyGroup]:
        value = codes.PRESENT if finding.present else codes.ABSENT
        numbers = [
            Number(codes.PROBABILITY, finding.probability, codes.unit("1"), algorithm_id=algorithm(finding)),
            Number(codes.THRESHOLD, finding.threshold, codes.unit("1")),
        ]
        whole = self._whole(finding, numbers, [QualitativeEvaluation(codes.concept(finding.code), value)])
        # the probability is the image's, not a region's: it stands beside one only where no area can
        fallback = [Number(codes.PROBABILITY, finding.probability, codes.unit("1"))]
        regions = [self._outlined(finding, r, n, [], fallback) for n, r in enumerate(finding.regions, start=1)]
        return [whole, *regions, *self._why(finding)]

    @_of_finding.register
    def _grade(self, finding: OrdinalGrade) -> list[AnyGroup]:
        grade = finding.grades[finding.grade]
        said = QualitativeEvaluation(codes.concept(finding.code), codes.concept(grade.code))
        whole = self._whole(finding, [probability_of(step) for step in finding.grades], [said])
        fallback = [probability_of(grade)]
        regions = [self._outlined(finding, r, n, [], fallback) for n, r in enumerate(finding.regions, start=1)]
        return [whole, *regions, *self._why(finding)]

    @_of_finding.register
    def _measurement(self, finding: Measurement) -> list[AnyGroup]:
        name, unit = codes.concept(finding.code), codes.unit(finding.unit)
        if finding.regions and finding.geometry in ("length", "angle", "area"):
            return [self._computed(finding), *self._why(finding)]
        number = Number(name, finding.value, unit, algorithm_id=algorithm(finding))
        if finding.regions:
            regions = [self._outlined(finding, r, n, [number]) for n, r in enumerate(finding.regions, start=1)]
            return [*regions, *self._why(finding)]
        return [self._whole(finding, [number], []), *self._why(finding)]

    def _computed(self, finding: Measurement) -> Group:
        """A number that rests on its lines or its outline, and on nothing else (TID 320)."""
        lines = coordinates_of(self._facts, finding)
        name, unit = codes.concept(finding.code), codes.unit(finding.unit)
        numbers = [Number(name, finding.value, unit, referenced_coordinates=lines)]
        numbers += certainty(finding.confidence, lines)
        rests_on = {"length": length_of, "area": area_of}.get(finding.geometry)
        measure = rests_on(self._facts, finding.regions[0]) if rests_on else None
        group = self._group(
            finding, finding.name, numbers, [measure.spacing] if measure and measure.spacing else [],
            finding.sources, place=place_of(finding.sources),
        )  # fmt: skip
        comment(group, between_images(self._facts, finding))
        return group

    @_of_finding.register
    def _landmark(self, finding: Landmark) -> list[AnyGroup]:
        return [
            self._region(finding, r, n, self._place_numbers(r), outlines=False)
            for n, r in enumerate(finding.regions, start=1)
        ] or [self._whole(finding, [], [])]

    def _place_numbers(self, region: Region) -> list[Measure]:
        """Where a point is, how long a line is: numbers for viewers that draw nothing without one."""
        if region.graphic_type == "POINT":
            pairs = zip((codes.COLUMN, codes.ROW), region.points[0], strict=True)
            return [Measure(Number(code, round(value, 2), codes.PIXELS)) for code, value in pairs]
        measure = length_of(self._facts, region)
        return [measure] if measure else []

    @_of_finding.register
    def _segmentation(self, finding: Segmentation) -> list[AnyGroup]:
        groups: list[AnyGroup] = []
        for segment in finding.segments:
            sizes = ((codes.VOLUME, segment.volume_mm3, "mm3"), (codes.AREA, segment.area_mm2, "mm2"))
            numbers = [Number(code, round(value, 2), codes.unit(u)) for code, value, u in sizes if value is not None]
            numbers += certainty(finding.confidence)
            tracking = of_segment(self._tracking, finding, segment)
            pointing = segment_group(self._facts, finding, segment, tracking, numbers, remarks(finding))
            groups.append(pointing or unplaced_group(finding, segment, tracking, numbers))
        return groups

    @_of_finding.register
    def _heat_map(self, finding: HeatMap) -> list[AnyGroup]:
        whole = self._whole(finding, [], _explains(finding.explains))
        whole[0].ContentSequence.extend(maps_of(self._facts, finding))
        return [whole]

    @_of_finding.register
    def _derived(self, finding: DerivedImage) -> list[AnyGroup]:
        return [self._whole(finding, [], [])]

    @_of_finding.register
    def _not_sure(self, finding: NotSure) -> list[AnyGroup]:
        said = QualitativeEvaluation(codes.concept(finding.code), codes.NOT_SURE)
        whole = self._whole(finding, [], [said])
        comment(whole, f"Nothing is said: {least_asked_for(finding)}.")
        return [whole]

    @_of_finding.register
    def _key_image(self, finding: KeyImage) -> list[AnyGroup]:
        weight = [] if finding.weight is None else [Number(codes.SLICE_WEIGHT, finding.weight, codes.unit("1"))]
        key = place_of([finding.image])
        return [self._group(finding, finding.name, weight, _explains(finding.explains), [finding.image], place=key)]

    def of_gate(self, result: GateResult) -> Group:
        """The group that says what a gate thought of the study or of one of its series."""
        numbers = []
        if result.score is not None:
            numbers.append(Number(codes.GATE_SCORE, result.score, codes.unit(result.unit)))
        key = ("gate", result.name, result.series_instance_uid)
        group = Group(
            self._tracking.in_run(f"gate {result.name}", *key),
            finding_type=codes.QUALITY,
            algorithm_id=AlgorithmIdentification(result.name, result.version or "1", manufacturer="Isocenter"),
            measurements=numbers,
            qualitative_evaluations=[QualitativeEvaluation(codes.VERDICT, codes.own(result.verdict, result.verdict))],
        )
        comment(group, result.reason)
        return group

    def _whole(self, finding: Finding, numbers: list[Number], said: list[QualitativeEvaluation]) -> Group:
        """The finding as such, over all that it was made from."""
        numbers = [*numbers, *certainty(finding.confidence)]
        sources = list(finding.sources)
        return self._group(finding, finding.name, numbers, said, sources, place=place_of(sources))

    def _group(
        self, finding: Finding, title: str, numbers: Sequence[Number], said: Sequence[QualitativeEvaluation],
        images: Iterable[SourceImage], *what: str, place: Sequence[str] = (),
    ) -> Group:  # fmt: skip
        known = [image for image in images if image.sop_instance_uid in self._headers]
        return Group(
            self._tracking.of(finding, title, *what, place=place),
            finding_type=codes.concept(finding.code),
            algorithm_id=algorithm(finding),
            finding_sites=sites(finding),
            measurements=numbers,
            qualitative_evaluations=[*said, *remarks(finding)],
            source_images=[reference(SourceImageForMeasurementGroup, image) for image in known],
        )

    def _why(self, finding: Explained) -> list[AnyGroup]:
        """What the finding rests on: the weight of each image, the contribution of each concept."""
        groups: list[AnyGroup] = []
        if finding.slice_weights:
            groups.append(self._weights(finding, finding.slice_weights))
        if isinstance(finding, Classification) and finding.concepts:
            groups.append(self._concepts(finding, finding.concepts))
        return groups

    def _weights(self, finding: Explained, weights: SliceWeights) -> Group:
        numbers = [
            Number(
                codes.SLICE_WEIGHT, w.weight, codes.unit("1"),
                referenced_images=[reference(SourceImageForMeasurement, w.image)],
            )
            for w in weights.weights
        ]  # fmt: skip
        place = place_of(finding.sources)
        return self._group(finding, f"{finding.name}: weight of each image", numbers, [], [], "weights", place=place)

    def _concepts(self, finding: Classification, concepts: Concepts) -> Group:
        said = [(codes.concept(c.code), c.value) for c in concepts.contributions]
        numbers = [Number(code, value, codes.unit("1")) for code, value in [*said, (codes.BIAS, concepts.bias)]]
        place = place_of(finding.sources)
        group = self._group(finding, f"{finding.name}: concepts", numbers, [], [], "concepts", place=place)
        comment(group, "Contributions to the logit; with the bias they sum to it.")
        return group

    def _outlined(
        self, finding: Finding, region: Region, number: int, numbers: Sequence[Number],
        fallback: Sequence[Number] = (),
    ) -> PlanarROIMeasurementsAndQualitativeEvaluations:  # fmt: skip
        """A region with its area and `numbers`; a viewer draws none without a number: `fallback` stands in for all."""
        area = area_of(self._facts, region)
        measures = [*map(Measure, numbers), *([area] if area else [])]
        return self._region(finding, region, number, measures or list(map(Measure, fallback)))

    def _region(
        self, finding: Finding, region: Region, number: int, measures: Sequence[Measure], outlines: bool = True
    ) -> PlanarROIMeasurementsAndQualitativeEvaluations:
        return PlanarROIMeasurementsAndQualitativeEvaluations(
            of_region(self._tracking, finding, region, number),
            referenced_region=region_item(self._facts, region, outlines),
            finding_type=codes.concept(finding.code),
            algorithm_id=algorithm(finding),
            finding_sites=sites(finding),
            measurements=[*(m.number for m in measures), *certainty(region.confidence)],
            qualitative_evaluations=[*remarks(finding), *(m.spacing for m in measures if m.spacing)],
        )


def _explains(name: str) -> list[QualitativeEvaluation]:
    return [QualitativeEvaluation(codes.EXPLAINS, codes.own(name[:16], name[:64]))] if name else []
