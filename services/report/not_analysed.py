"""The notice that there is nothing to report: a structured report that says 'not attempted' or 'failed', and coded why.

IHE AI Results asks that a study which was sent for analysis gets an answer in any case; without one a radiologist can't
tell "nothing found" from "not looked at".
"""

from highdicom.sr import (
    CodeContentItem,
    CodedConcept,
    ContainerContentItem,
    ContentSequence,
    MeasurementReport,
    ObservationContext,
    RelationshipTypeValues,
    TextContentItem,
)
from pydicom import Dataset
from pydicom.sr.codedict import codes as dicom_codes

from services.report import codes
from services.report.dicom_sr import write_document
from services.report.document_context import observer_context
from services.report.facts import RunFacts
from services.report.identity import HELD_NUMBER, first_source, notice_number
from services.report.image_library import image_library
from services.report.measurement_groups import Groups
from shared.result_profiles import NOTICE
from shared.study import Failure

KIND = NOTICE
GATE_HELD = codes.own("gate-held", "Held by a quality gate")
GATE_FAILED = codes.own("gate-failed", "A quality gate could not judge")
FAILED = {
    Failure.AWAY: codes.own("away", "What the analysis needs did not answer"),
    Failure.UNDECODABLE: codes.own("undecodable", "An image can't be decoded"),
    Failure.UNREADABLE: codes.own("unreadable", "The package has no usable answer for these images"),
    Failure.NO_PACKAGE: codes.own("no-package", "The package's version is not installed"),
    Failure.TOO_LONG: codes.own("too-long", "The analysis took too long"),
    Failure.BROKE_OFF: codes.own("broke-off", "The analysis broke off"),
}
_REASON = codes.own("no-analysis-why", "Reason why not analysed")
_CONTAINS = RelationshipTypeValues.CONTAINS


def build(facts: RunFacts) -> list[Dataset]:
    """The notice of a run that was held, or that failed.

    Raises:
        CannotBuild: no source image could be read.
    """
    first_source(facts)
    number = notice_number(_failure(facts)) if facts.outcome == "failed" else HELD_NUMBER
    return [write_document(facts, KIND, "not analysed", _content(facts)[0], number)]


def _failure(facts: RunFacts) -> Failure:
    return Failure(facts.run.failure or Failure.BROKE_OFF)


def _content(facts: RunFacts) -> MeasurementReport:
    groups = Groups(facts)
    report = MeasurementReport(
        observation_context=ObservationContext(observer_context(facts)),
        procedure_reported=codes.procedure(first_source(facts).get("Modality", "")),
        imaging_measurements=[groups.of_gate(result) for result in facts.gate_results] or None,
        title=dicom_codes.DCM.ImagingMeasurementReport,
    )
    content = report[0].ContentSequence
    content.insert(len(content) - bool(facts.gate_results), image_library(facts.sources))
    content.append(_evaluations(facts))
    return report


def _evaluations(facts: RunFacts) -> ContainerContentItem:
    """TID 1500's container of qualitative evaluations: the status, its coded reason, and the gates' words."""
    container = ContainerContentItem(name=codes.QUALITATIVE_EVALUATIONS, relationship_type=_CONTAINS)
    reason = _reason(facts)
    # what was read and found nothing that could be said was attempted (PS3.16 DCM 111224)
    attempted = reason is codes.NOT_SURE or facts.outcome == "failed"
    performed = dicom_codes.DCM.Failed if attempted else dicom_codes.DCM.NotAttempted
    status = CodeContentItem(name=dicom_codes.DCM.AnalysisPerformed, value=performed, relationship_type=_CONTAINS)
    why = CodeContentItem(name=_REASON, value=reason, relationship_type=_CONTAINS)
    container.ContentSequence = ContentSequence([status, why])
    if words := _words(facts):
        said = TextContentItem(name=codes.COMMENT, value=words, relationship_type=_CONTAINS)
        container.ContentSequence.append(said)
    return container


def _words(facts: RunFacts) -> str:
    """The gates' own; an error's may hold anything, a patient's name too, and stay in the book."""
    held_by = facts.run.reason if facts.outcome == "held" else ""
    return held_by or "; ".join(f"{g.name}: {g.reason}" for g in facts.gate_results if g.reason)


def _reason(facts: RunFacts) -> CodedConcept:
    """A gate's own run that could not judge has nothing but a reason; a reader was held by a gate, or is not sure."""
    if facts.outcome == "failed":
        return FAILED[_failure(facts)]
    if facts.run.kind == "gate":
        return GATE_FAILED
    return codes.NOT_SURE if facts.run.is_unsure else GATE_HELD
