"""The images to look at, as a Key Object Selection (PS3.3 A.35.4, TID 2010): what a worklist or viewer can jump to."""

from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from pydicom import Dataset
from pydicom.sr.codedict import codes as dicom_codes
from pydicom.sr.coding import Code

from services.report.document_context import (
    evidence_of,
    fill_coding_scheme,
    fill_contribution_time,
    observer_context,
)
from services.report.facts import RunFacts
from services.report.identity import (
    MANUFACTURER,
    fill_identity,
    fill_request,
    first_source,
    series_description,
    use_mark,
)
from services.report.key_images import frames_of, key_images
from services.report.statements import statements
from services.report.text import UTF_8
from shared.findings import Finding, QualityScore

KIND = "KOS"


def build(facts: RunFacts) -> list[Dataset]:
    """One selection for each finding that has images to look at; none where no finding has.

    Raises:
        CannotBuild: no source image could be read.
    """
    first_source(facts)
    known = {str(source.SOPInstanceUID) for source in facts.sources}
    shown = [f for f in facts.findings if any(image.sop_instance_uid in known for image in key_images(f))]
    return [_document(facts, finding, number) for number, finding in enumerate(shown, start=1)]


def _document(facts: RunFacts, finding: Finding, number: int) -> Dataset:
    shell = Dataset()
    fill_identity(shell, facts, KIND, number, series_description(facts, "key images"))
    frames = frames_of(key_images(finding))
    headers = {str(source.SOPInstanceUID): source for source in facts.sources}
    chosen = evidence_of((headers[uid] for uid in frames if uid in headers), shell)
    content = KeyObjectSelection(
        _title(finding),
        chosen,
        observer_device_context=observer_context(facts),
        description=_description(facts, finding),
    )
    _name_frames(content[0], frames)
    document = KeyObjectSelectionDocument(
        evidence=chosen, content=content, series_instance_uid=shell.SeriesInstanceUID,
        series_number=int(shell.SeriesNumber), sop_instance_uid=shell.SOPInstanceUID, instance_number=number,
        manufacturer=MANUFACTURER, specific_character_set=UTF_8,
    )  # fmt: skip
    document.update(shell)
    fill_contribution_time(document, shell)
    fill_coding_scheme(document)
    fill_request(document, facts)
    return document


def _title(finding: Finding) -> Code:
    """Of CID 7010: poor images are a quality issue, all others are of interest."""
    poor = isinstance(finding, QualityScore) and finding.verdict != "pass"
    title: Code = dicom_codes.DCM.QualityIssue if poor else dicom_codes.DCM.OfInterest
    return title


def _description(facts: RunFacts, finding: Finding) -> str:
    """What the images are to be looked at for, with the finding's number."""
    said = statements(facts, finding)[0]
    which = "Images with the lowest scores" if isinstance(finding, QualityScore) else "Images with the finding"
    parts = [
        f"{which}. {said.subject}: {said.value}",
        said.remark,
        facts.reason_of(finding) if isinstance(finding, QualityScore) else "",
    ]
    parts += [f"{finding.package} {finding.version}", use_mark(facts)]
    return ". ".join(part for part in parts if part) + "."


def _name_frames(root: Dataset, frames: dict[str, list[int]]) -> None:
    """Frames stand beside the instance that they are of (PS3.3 10.3)."""
    for item in root.ContentSequence:
        for reference in item.get("ReferencedSOPSequence", []):
            if listed := frames.get(str(reference.ReferencedSOPInstanceUID)):
                reference.ReferencedFrameNumber = listed if len(listed) > 1 else listed[0]
