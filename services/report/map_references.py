"""Where a heat map's values are: the report points to the parametric maps that go along with it."""

from highdicom.sr import SourceImageForMeasurementGroup

from services.report.facts import RunFacts
from services.report.parametric_map import label_of
from shared.findings import HeatMap


def maps_of(facts: RunFacts, finding: HeatMap) -> list[SourceImageForMeasurementGroup]:
    """The parametric maps of `finding`, as images that its group rests on (TID 1501); none where none goes along."""
    return [
        SourceImageForMeasurementGroup(ds.SOPClassUID, ds.SOPInstanceUID)
        for ds in facts.maps
        if ds.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0].LUTLabel == label_of(finding)
    ]
