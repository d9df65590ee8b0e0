"""Tracking identifiers (TID 4108): what is the same finding keeps one UID, over a patient's studies where it can."""

from collections import Counter
from collections.abc import Sequence

from highdicom.sr import TrackingIdentifier

from services.report.facts import RunFacts
from services.report.regions import regions_of
from shared.findings import Finding, Landmark, Measurement, Region, Segment, Segmentation, SourceImage
from shared.uids import derived_uid


class Tracking:
    """Tracking identifiers of one run.

    A finding that is the only one of its name in the run (a Cobb angle, a series' score) is the same finding in every
    study of the patient, of the same body part and side, whatever the package's version. Where several have one name,
    and for regions that are only counted, nothing says which is which in another study: those keep to the run.
    """

    def __init__(self, facts: RunFacts) -> None:
        self._run = facts.run
        self._counts = Counter(finding.name for finding in facts.findings)
        self._patient = _patient(facts)

    def of(self, finding: Finding, title: str, *what: str, place: Sequence[str] = ()) -> TrackingIdentifier:
        """Of the finding as a whole, or of its only part that is called `what`; `place` tells namesakes apart."""
        if self._patient and self._counts[finding.name] == 1:
            code = finding.code
            key = (*self._patient, finding.package, finding.name, code.scheme, code.value, *what)
            return TrackingIdentifier(uid=derived_uid("tracking", *key), identifier=title)
        return self.in_run(title, finding.name, *what, *place)

    def in_run(self, title: str, *key: str) -> TrackingIdentifier:
        """Of something that is the same only when this run is reported again."""
        return TrackingIdentifier(uid=derived_uid(self._run.id, "tracking", *key), identifier=title)


def of_segment(tracking: Tracking, finding: Segmentation, segment: Segment) -> TrackingIdentifier:
    """Of a segment, in the report and in the segmentation."""
    return tracking.of(finding, f"{finding.name} {segment.name}", segment.name, place=place_of(finding.sources))


def of_region(tracking: Tracking, finding: Finding, region: Region, number: int) -> TrackingIdentifier:
    """Of a finding's `number`th region (1-based), in the report and in the presentation state: of a number that is
    computed from its lines the number's own; of a landmark's region the same in another study where its label is the
    only one."""
    if isinstance(finding, Measurement) and finding.geometry in ("length", "angle", "area"):
        return tracking.of(finding, finding.name, place=place_of(finding.sources))
    title = f"{finding.name} {region.label or number}"
    place = place_of([region.image])
    labels = [other.label for other in regions_of(finding)]
    if isinstance(finding, Landmark) and region.label and labels.count(region.label) == 1:
        return tracking.of(finding, title, region.label, place=place)
    return tracking.in_run(title, finding.name, "region", *place, str(number))


def place_of(images: Sequence[SourceImage]) -> list[str]:
    """What tells a finding's groups from those of the same finding in another image."""
    return [part for image in images for part in (image.sop_instance_uid, str(image.frame or ""))]


def _patient(facts: RunFacts) -> tuple[str, ...]:
    """Who, and which part; nothing where the patient has no ID."""
    source = facts.sources[0] if facts.sources else None
    if source is None or not source.get("PatientID"):
        return ()
    return tuple(str(source.get(k) or "") for k in ("IssuerOfPatientID", "PatientID", "BodyPartExamined", "Laterality"))
