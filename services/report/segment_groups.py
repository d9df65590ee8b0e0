"""A segment as a measurement group that points to the segmentation which goes along (TID 1411)."""

from collections.abc import Sequence

from highdicom.sr import Measurement as Number
from highdicom.sr import MeasurementsAndQualitativeEvaluations as Group
from highdicom.sr import (
    QualitativeEvaluation,
    ReferencedSegment,
    SourceImageForSegmentation,
    SourceSeriesForSegmentation,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)

from services.report import codes
from services.report.facts import RunFacts
from services.report.group_parts import algorithm, reference, remarks, sites
from shared.findings import Segment, Segmentation


def segment_group(
    facts: RunFacts, finding: Segmentation, segment: Segment, tracking: TrackingIdentifier,
    numbers: Sequence[Number], said: Sequence[QualitativeEvaluation],
) -> VolumetricROIMeasurementsAndQualitativeEvaluations | None:  # fmt: skip
    """None where no segmentation goes along, or the segment is spread over several.

    That of a single image is pointed to in the same way: a frame and a segment can't be named together (PS3.3 10.3).
    """
    uid = str(tracking[1].value)
    found = [(ds, item) for ds in facts.segmentations for item in ds.SegmentSequence if item.get("TrackingUID") == uid]
    if len(found) != 1:
        return None
    (ds, item), images = found[0], finding.placed.images
    sources = dict.fromkeys(image.series_instance_uid for image in images)
    series = SourceSeriesForSegmentation(next(iter(sources))) if len(images) > 1 and len(sources) == 1 else None
    whole = ReferencedSegment(
        ds.SOPClassUID, ds.SOPInstanceUID, int(item.SegmentNumber), source_series=series,
        source_images=None if series else [reference(SourceImageForSegmentation, image) for image in images],
    )  # fmt: skip
    return VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking,
        referenced_segment=whole,
        finding_type=codes.concept(segment.code),
        algorithm_id=algorithm(finding),
        finding_sites=sites(finding),
        measurements=numbers,
        qualitative_evaluations=said,
    )


def unplaced_group(
    finding: Segmentation, segment: Segment, tracking: TrackingIdentifier, numbers: Sequence[Number]
) -> Group:
    """A segment whose pixels do not go along: its numbers can't be computed again."""
    return Group(
        tracking,
        finding_type=codes.concept(segment.code),
        algorithm_id=algorithm(finding),
        finding_sites=sites(finding),
        measurements=numbers,
        qualitative_evaluations=remarks(finding),
    )
