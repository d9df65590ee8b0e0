"""The structured report: TID 1500, in the SOP class and with the kind of coordinates that the flavour says."""

from collections.abc import Sequence

from highdicom.sr import (
    Comprehensive3DSR,
    ComprehensiveSR,
    ContainerContentItem,
    ContentSequence,
    EnhancedSR,
    MeasurementReport,
    ObservationContext,
)
from pydicom import Dataset
from pydicom.sr.codedict import codes as dicom_codes
from pydicom.uid import Comprehensive3DSRStorage, ComprehensiveSRStorage, EnhancedSRStorage

from services.report import codes
from services.report.document_context import evidence_of, fill_coding_scheme, fill_contribution_time, observer_context
from services.report.facts import Predecessor, RunFacts
from services.report.group_parts import AnyGroup, is_placed
from services.report.identity import (
    HELD_NUMBER,
    MANUFACTURER,
    fill_identity,
    fill_request,
    first_source,
    notice_number,
    series_description,
    series_uid_of,
    sop_instance_uid_of,
)
from services.report.image_library import image_library
from services.report.measurement_groups import Groups
from services.report.text import UTF_8
from shared.result_profiles import NOTICE, Flavour, SrFlavour
from shared.study import Failure

KIND = "SR"
DOCUMENTS: dict[SrFlavour, type[EnhancedSR | ComprehensiveSR | Comprehensive3DSR]] = {
    "comprehensive-3d": Comprehensive3DSR, "comprehensive": ComprehensiveSR, "enhanced": EnhancedSR,
}  # fmt: skip
_NUMBERS = {KIND: (1,), NOTICE: (HELD_NUMBER, *map(notice_number, Failure))}
SOP_CLASSES: dict[SrFlavour, str] = {
    "comprehensive-3d": Comprehensive3DSRStorage, "comprehensive": ComprehensiveSRStorage,
    "enhanced": EnhancedSRStorage,
}  # fmt: skip


def build(facts: RunFacts) -> list[Dataset]:
    """The run's report.

    Raises:
        CannotBuild: no source image could be read.
        ValueError: highdicom refuses what the findings or the sources say.
    """
    return [document(facts)]


def document(facts: RunFacts) -> Dataset:
    """The report as a data set."""
    first_source(facts)
    report = write_document(facts, KIND, "report", _content(facts)[0])
    _fill_predecessors(report, facts)
    return report


def write_document(facts: RunFacts, kind: str, what: str, content: Dataset, number: int = 1) -> Dataset:
    """`content`, the root of a content tree, as the `number`th document of `kind` in the flavour's SOP class."""
    shell = Dataset()
    fill_identity(shell, facts, kind, number, series_description(facts, what))
    evidence = evidence_of([*facts.sources, *facts.segmentations, *facts.maps], shell)
    report = DOCUMENTS[facts.flavour.sr_flavour](
        evidence=evidence,
        content=content,
        series_instance_uid=shell.SeriesInstanceUID,
        series_number=int(shell.SeriesNumber),
        sop_instance_uid=shell.SOPInstanceUID,
        instance_number=number,
        manufacturer=MANUFACTURER,
        is_complete=True,
        specific_character_set=UTF_8,
    )
    report.update(shell)
    report.Modality = "SR"
    fill_contribution_time(report, shell)
    fill_coding_scheme(report)
    fill_request(report, facts)
    return report


def _content(facts: RunFacts) -> MeasurementReport:
    groups = Groups(facts)
    stated: list[AnyGroup] = [group for finding in facts.findings for group in groups.of(finding)]
    stated += [groups.of_gate(result) for result in facts.gates_beside]
    placed = [group for group in stated if is_placed(group)]
    others = [group for group in stated if not is_placed(group)]
    report = MeasurementReport(
        observation_context=ObservationContext(observer_context(facts)),
        procedure_reported=codes.procedure(first_source(facts).get("Modality", "")),
        imaging_measurements=placed or stated,
        title=dicom_codes.DCM.ImagingMeasurementReport,
    )
    content = report[0].ContentSequence
    content.insert(len(content) - 1, image_library(facts.sources))  # TID 1500: before the measurements
    if placed and others:
        content.append(_beside(others))
    return report


def _beside(stated: Sequence[AnyGroup]) -> ContainerContentItem:
    """Groups without a place in an image, in TID 1500's container of qualitative evaluations.

    OHIF 3.13 draws nothing of a report once one of the imaging measurements has no coordinates.
    """
    container = ContainerContentItem(name=codes.QUALITATIVE_EVALUATIONS, relationship_type="CONTAINS")
    container.ContentSequence = ContentSequence([item for group in stated for item in group])
    return container


def _fill_predecessors(report: Dataset, facts: RunFacts) -> None:
    """What this report takes the place of, in its flavour, for a destination has no other (PS3.3 C.17.2.3): a report
    that late images have outdated, and a notice that said 'not analysed' before the run was released or replayed.
    """
    items, flavour = [], facts.flavour
    flavours = [
        flavour.model_copy(update=dict.fromkeys(without))
        for without in ((), ("maps",), ("segments",), ("segments", "maps"))
    ]
    for old in (p for p in facts.predecessors if p.kind in _NUMBERS):
        written = [f for f in flavours if old.sop_instance_uid in _uids_of(old, f)]
        if not written:
            continue
        instance, series, study = Dataset(), Dataset(), Dataset()
        instance.ReferencedSOPClassUID = SOP_CLASSES[flavour.sr_flavour]
        instance.ReferencedSOPInstanceUID = old.sop_instance_uid
        series.SeriesInstanceUID, series.ReferencedSOPSequence = (
            series_uid_of(old.run_id, old.kind, written[0]),
            [instance],
        )
        study.StudyInstanceUID, study.ReferencedSeriesSequence = facts.study.study_instance_uid, [series]
        items.append(study)
    if items:
        report.PredecessorDocumentsSequence = items


def _uids_of(old: Predecessor, flavour: Flavour) -> list[str]:
    """The UIDs that its run's objects of its kind may have in that flavour."""
    return [sop_instance_uid_of(old.run_id, old.kind, flavour, number) for number in _NUMBERS[old.kind]]
