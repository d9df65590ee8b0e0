"""What every structured document of a run has: its evidence, its observer, and whose codes it uses."""

from collections.abc import Iterable

from highdicom.sr import DeviceObserverIdentifyingAttributes, ObserverContext
from pydicom import Dataset
from pydicom.sr.codedict import codes as dicom_codes

from services.report.facts import RunFacts
from services.report.identity import MANUFACTURER, SCHEME
from services.report.source_header import ALWAYS
from shared.uids import derived_uid


def evidence_of(sources: Iterable[Dataset], shell: Dataset) -> list[Dataset]:
    """Sources as evidence. They name nobody, since highdicom logs odd names; `shell` is what names the patient."""
    return [_nameless(source, shell) for source in sources]


def _nameless(source: Dataset, shell: Dataset) -> Dataset:
    evidence = Dataset()
    for keyword in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "Rows", "Columns"):
        if keyword in source:
            evidence[keyword] = source[keyword]
    for keyword in ALWAYS:
        setattr(evidence, keyword, None)
    evidence.StudyInstanceUID = shell.StudyInstanceUID
    return evidence


def observer_context(facts: RunFacts) -> ObserverContext:
    """The package as the observing device (TID 1004); its UID stays the same for the same version."""
    device = DeviceObserverIdentifyingAttributes(
        uid=derived_uid("observer", facts.run.package, facts.run.version),
        name=facts.run.package,
        manufacturer_name=MANUFACTURER,
        model_name=facts.title[:64] or facts.run.package,
        serial_number=facts.run.version,
    )
    return ObserverContext(dicom_codes.DCM.Device, device)


def fill_coding_scheme(document: Dataset) -> None:
    """Says whose codes `99ISO` are (PS3.3 C.12.1.1.1.1)."""
    item = Dataset()
    item.CodingSchemeDesignator = SCHEME
    item.CodingSchemeName = "Isocenter's own codes"
    item.CodingSchemeResponsibleOrganization = MANUFACTURER
    document.CodingSchemeIdentificationSequence = [item]


def fill_contribution_time(document: Dataset, shell: Dataset) -> None:
    """The moment of the finding instead of highdicom's own now, so that a replay gives the same bytes."""
    for equipment in document.get("ContributingEquipmentSequence", []):
        equipment.ContributionDateTime = f"{shell.ContentDate}{shell.ContentTime}"


def fill_dimension_uid(document: Dataset) -> None:
    """The organization of the dimensions by a UID of the document's own instead of highdicom's new one, as above."""
    uid = derived_uid(document.SOPInstanceUID, "dimensions")
    for item in (*document.DimensionOrganizationSequence, *document.DimensionIndexSequence):
        item.DimensionOrganizationUID = uid
