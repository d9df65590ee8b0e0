"""The structured report: TID 1500 in a Comprehensive 3D SR, every region a 2D SCOORD (what viewers draw)."""

from collections.abc import Sequence

from highdicom.sr import (
    Comprehensive3DSR,
    ContainerContentItem,
    ContentSequence,
    DeviceObserverIdentifyingAttributes,
    MeasurementReport,
    ObservationContext,
    ObserverContext,
    PlanarROIMeasurementsAndQualitativeEvaluations,
)
from pydicom import Dataset
from pydicom.sr.codedict import codes as dicom_codes
from pydicom.uid import Comprehensive3DSRStorage

from services.report import codes
from services.report.facts import ResultObject, RunFacts
from services.report.identity import (
    MANUFACTURER,
    SCHEME,
    fill_identity,
    fill_request,
    first_source,
    series_description,
    to_result,
)
from services.report.image_library import image_library
from services.report.measurement_groups import AnyGroup, Groups
from services.report.source_header import ALWAYS
from shared.uids import derived_uid

KIND = "SR"


def build(facts: RunFacts) -> list[ResultObject]:
    """The run's report.

    Raises:
        CannotBuild: no source image could be read.
        ValueError: highdicom refuses what the findings or the sources say.
    """
    return [to_result(document(facts), KIND, 1)]


def document(facts: RunFacts) -> Dataset:
    """The report as a data set."""
    first_source(facts)
    shell = Dataset()
    fill_identity(shell, facts, KIND, 1, series_description(facts, "report"))
    evidence = [_with(ds, shell) for ds in facts.sources]
    report = Comprehensive3DSR(
        evidence=evidence,
        content=_content(facts)[0],
        series_instance_uid=shell.SeriesInstanceUID,
        series_number=int(shell.SeriesNumber),
        sop_instance_uid=shell.SOPInstanceUID,
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        specific_character_set="ISO_IR 192",
    )
    report.update(shell)
    report.Modality = "SR"
    for equipment in report.get("ContributingEquipmentSequence", []):
        equipment.ContributionDateTime = f"{shell.ContentDate}{shell.ContentTime}"  # highdicom writes its own now
    _fill_coding_scheme(report)
    fill_request(report, facts)
    _fill_predecessors(report, facts)
    return report


def _with(source: Dataset, shell: Dataset) -> Dataset:
    """A source as evidence. It names nobody, since highdicom logs odd names; `shell` is what names the patient."""
    evidence = Dataset()
    for keyword in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID"):
        evidence[keyword] = source[keyword]
    for keyword in ALWAYS:
        setattr(evidence, keyword, None)
    evidence.StudyInstanceUID = shell.StudyInstanceUID
    return evidence


def _content(facts: RunFacts) -> MeasurementReport:
    groups = Groups(facts)
    stated: list[AnyGroup] = [group for finding in facts.findings for group in groups.of(finding)]
    stated += [groups.of_gate(result) for result in facts.gates_beside]
    placed = [group for group in stated if isinstance(group, PlanarROIMeasurementsAndQualitativeEvaluations)]
    others = [group for group in stated if not isinstance(group, PlanarROIMeasurementsAndQualitativeEvaluations)]
    report = MeasurementReport(
        observation_context=ObservationContext(ObserverContext(dicom_codes.DCM.Device, _observer(facts))),
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


def _observer(facts: RunFacts) -> DeviceObserverIdentifyingAttributes:
    """The package as the observer; its UID stays the same for the same version."""
    return DeviceObserverIdentifyingAttributes(
        uid=derived_uid("observer", facts.run.package, facts.run.version),
        name=facts.run.package,
        manufacturer_name=MANUFACTURER,
        model_name=facts.title[:64] or facts.run.package,
        serial_number=facts.run.version,
    )


def _fill_coding_scheme(report: Dataset) -> None:
    """Says whose codes `99ISO` are (PS3.3 C.12.1.1.1.1)."""
    item = Dataset()
    item.CodingSchemeDesignator = SCHEME
    item.CodingSchemeName = "Isocenter's own codes"
    item.CodingSchemeResponsibleOrganization = MANUFACTURER
    report.CodingSchemeIdentificationSequence = [item]


def _fill_predecessors(report: Dataset, facts: RunFacts) -> None:
    """The reports that late images have outdated (PS3.3 C.17.2.3)."""
    items = []
    for old in (p for p in facts.predecessors if p.kind == KIND):
        instance, series, study = Dataset(), Dataset(), Dataset()
        instance.ReferencedSOPClassUID = Comprehensive3DSRStorage
        instance.ReferencedSOPInstanceUID = old.sop_instance_uid
        series.SeriesInstanceUID, series.ReferencedSOPSequence = old.series_instance_uid, [instance]
        study.StudyInstanceUID, study.ReferencedSeriesSequence = facts.study.study_instance_uid, [series]
        items.append(study)
    if items:
        report.PredecessorDocumentsSequence = items
