"""Whether all objects of a run are of one patient and study, and point to what is there."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pydicom import Dataset

from shared.verify.folder import Run
from shared.verify.messages import patients
from shared.verify.outcome import Outcome

_IDENTITY = (
    "PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyInstanceUID",
    "AccessionNumber",
)  # fmt: skip
_EVIDENCE = ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence")


def check_identity(run: Run, outcome: Outcome) -> None:
    """One patient, one study, one order in all objects; the words of whom a difference is about are not told."""
    for path, ds in run.documents.items():
        first, other = next(iter(run.documents.items()))
        for keyword in _IDENTITY:
            if str(ds.get(keyword) or "") != str(other.get(keyword) or ""):
                outcome.differs.append(f"{path.name}: has another {keyword} than {first.name}")
    for path, message in run.messages.items():
        known = {str(ds.get("PatientID") or "") for ds in run.documents.values()} - {""}
        if known and patients(message) and not known & patients(message):
            outcome.differs.append(f"{path.name}: is of another patient (PID-3) than the objects beside it")


def check_references(run: Run, images: Mapping[str, Dataset] | None, outcome: Outcome) -> None:
    """Every instance that is pointed to is there, of the same patient, and has the frame that is named.

    Without `images` it is one that the reports of the run name as evidence, or one beside them.
    """
    own = {str(ds.SOPInstanceUID): ds for ds in run.documents.values()}
    reports = run.of_modality("SR")
    evidence = {uid for ds in reports.values() for uid in evidence_of(ds)}
    if images is None and not evidence:
        return
    for path, ds in run.documents.items():
        for reference in _references(ds, _EVIDENCE if images is None and path in reports else ()):
            uid = str(reference.ReferencedSOPInstanceUID)
            outcome.referenced += 1
            if images is None:
                if uid not in own and uid not in evidence:
                    outcome.differs.append(f"{path.name}: points to {uid}, which no report names as evidence")
            elif uid not in own and uid not in images:
                outcome.differs.append(f"{path.name}: points to {uid}, which is not here")
            else:
                _check_reference(path, ds, reference, own.get(uid) or images[uid], outcome)


def evidence_of(report: Dataset) -> list[str]:
    """SOP Instance UIDs of what a report rests on."""
    return [
        str(instance.ReferencedSOPInstanceUID)
        for keyword in _EVIDENCE
        for study in report.get(keyword) or []
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    ]


def _check_reference(path: Path, ds: Dataset, reference: Dataset, other: Dataset, outcome: Outcome) -> None:
    uid = str(reference.ReferencedSOPInstanceUID)
    if other.get("PatientID", "") != ds.get("PatientID", "") or other.get("StudyInstanceUID") != ds.StudyInstanceUID:
        outcome.differs.append(f"{path.name}: is of another patient or study than {uid}, to which it points")
    frames = reference.get("ReferencedFrameNumber") or []
    for frame in frames if isinstance(frames, Iterable) else [frames]:
        if int(frame) > int(other.get("NumberOfFrames") or 1):
            outcome.differs.append(f"{path.name}: points to frame {frame} of {uid}, which has fewer")


def _references(ds: Dataset, without: Iterable[str] = ()) -> Iterator[Dataset]:
    """Items with a Referenced SOP Instance UID, but for the documents that this one replaces."""
    for element in ds:
        if element.VR != "SQ" or element.keyword in ("PredecessorDocumentsSequence", *without):
            continue
        for item in element.value:
            if "ReferencedSOPInstanceUID" in item:
                yield item
            yield from _references(item, without)
