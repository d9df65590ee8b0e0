"""Where a heat map's values are: the report points to the parametric maps that go along with it."""

from highdicom.sr import SourceImageForMeasurementGroup
from pydicom import Dataset

from services.report.facts import RunFacts
from services.report.parametric_map import label_of
from shared.findings import HeatMap


def maps_of(facts: RunFacts, finding: HeatMap) -> list[SourceImageForMeasurementGroup]:
    """The parametric maps of `finding`, as images that its group rests on (TID 1501); none where none goes along.

    Maps of several images may have one name: a map is the finding's where it lies over its images too.
    """
    images = {image.sop_instance_uid for image in finding.placed.images}
    return [
        SourceImageForMeasurementGroup(ds.SOPClassUID, ds.SOPInstanceUID)
        for ds in facts.maps
        if ds.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0].LUTLabel == label_of(finding)
        and images >= _covered_by(ds)
    ]


def _covered_by(ds: Dataset) -> set[str]:
    """The instances that a map lies over."""
    items = [item for series in ds.ReferencedSeriesSequence for item in series.ReferencedInstanceSequence]
    return {str(item.ReferencedSOPInstanceUID) for item in items}
