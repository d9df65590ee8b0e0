"""Says in plain words what a package found and how a study stands; nothing here names a patient."""

from typing import assert_never

from pydantic import ValidationError

from shared.findings import (
    Classification,
    DerivedImage,
    Embedding,
    Finding,
    HeatMap,
    KeyImage,
    Landmark,
    Measurement,
    NotSure,
    OrdinalGrade,
    QualityScore,
    Segmentation,
    load_findings,
)
from shared.store.view_models import DeliveryView, RunView, StudyView
from shared.study import DeliveryState, RunState, StudyState


def findings_in_words(findings: list[dict[str, object]]) -> list[str]:
    """One sentence a finding; what an older or newer version wrote differently is named at least."""
    try:
        return [finding_in_words(finding) for finding in load_findings(findings)]
    except ValidationError:
        return [str(f.get("name", "a finding")) if isinstance(f, dict) else "a finding" for f in findings]


def finding_in_words(finding: Finding) -> str:
    """The finding with its numbers."""
    return f"{finding.code.meaning or finding.name}: {_said(finding)}"


def _said(finding: Finding) -> str:
    """What is said of it; every kind of finding has its words."""
    match finding:
        case QualityScore():
            return f"{number_in_words(finding.value, finding.unit)}, {finding.verdict}"
        case Measurement():
            return number_in_words(finding.value, finding.unit)
        case Classification():
            seen = "present" if finding.present else "not seen"
            places = f", {count_in_words(len(finding.regions), 'region')}" if finding.regions else ""
            return f"{seen}, probability {finding.probability:.2f} (threshold {finding.threshold:.2f}){places}"
        case OrdinalGrade():
            grade = finding.grades[finding.grade]
            return f"{grade.code.meaning or grade.name}, probability {grade.probability:.2f}"
        case Landmark():
            return count_in_words(len(finding.regions), "place")
        case KeyImage():
            return "an image to look at" + ("" if finding.weight is None else f", weight {finding.weight:.2f}")
        case Segmentation() | HeatMap() | DerivedImage() | Embedding():
            return _kept(finding)
        case NotSure():
            sure = "" if finding.confidence is None else f", confidence {finding.confidence:.2f}"
            return f"not sure enough to say{sure} (at least {finding.minimum_confidence:.2f})"
        case _:
            assert_never(finding)


def _kept(finding: Segmentation | HeatMap | DerivedImage | Embedding) -> str:
    """What lies in an array."""
    match finding:
        case Segmentation():
            return ", ".join(segment.name for segment in finding.segments)
        case HeatMap():
            return "a map of where it shows"
        case DerivedImage():
            return finding.description or count_in_words(len(finding.placed.images), "derived image")
        case Embedding():
            return f"kept as {count_in_words(finding.array.shape[0], 'number')}"


def number_in_words(value: float, unit: str) -> str:
    """A value with its UCUM unit; a plain score with three decimals."""
    return f"{value:.3f}" if unit in ("", "1") else f"{value:.3g} {unit}"


def count_in_words(number: int, noun: str) -> str:
    """One image, two images."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def summary_of(study: StudyView) -> str:
    """How the study stands, in one sentence or two."""
    waits = [_sentence(run.waits) for run in study.runs if run.waits]
    if waits and study.state == StudyState.GATING:
        return " ".join(waits)
    if study.activity == "retrying" and study.state != StudyState.RUNNING:
        return f"Will be tried again: {study.reason}"
    match study.state:
        case StudyState.COLLECTING:
            late = " Late images have reopened it." if study.revision > 1 else ""
            return f"Taking in images, {study.instances} so far.{late}"
        case StudyState.WAITING:
            return "Complete. Next: which packages read it."
        case StudyState.GATING:
            return f"Gates look whether it is fit to be read by {_names(study.runs)}."
        case StudyState.RUNNING:
            return _running(study)
        case StudyState.DELIVERED:
            return _delivered(study)
        case _:
            return _stopped(study)


def _stopped(study: StudyView) -> str:
    heads = {
        StudyState.HELD: "Held by a gate",
        StudyState.REFUSED: "Refused on purpose",
        StudyState.CANCELLED: "Stopped by a person",
        StudyState.DEAD: "Given up",
    }
    head = heads[StudyState(study.state)]
    if study.state == StudyState.HELD and all(run.verdict != "hold" for run in study.runs):
        head = "Nothing is said"
    return f"{head}: {study.reason}" if study.reason else f"{head}."


def _names(runs: list[RunView]) -> str:
    return ", ".join(dict.fromkeys(run.package for run in runs)) or "any package"


def _running(study: StudyView) -> str:
    parts: list[str] = []
    parts += [_sentence(run.waits) for run in study.runs if run.waits]
    if reading := [run for run in study.runs if run.state == RunState.READY and not run.waits]:
        parts.append(f"Being read by {_names(reading)}.")
    if writing := [run for run in study.runs if run.state in (RunState.READ, RunState.HOLDING, RunState.FAILING)]:
        parts.append(f"Results of {_names(writing)} are being written.")
    parts += [f"{run.package} will be tried again: {run.reason}" for run in study.runs if _is_tried_again(run)]
    if study.deliveries:
        wanted = [delivery for delivery in study.deliveries if delivery.state != DeliveryState.REPLACED]
        done = sum(delivery.state == "delivered" for delivery in study.deliveries)
        stored = sum(delivery.state == "committing" for delivery in study.deliveries)
        kept = f", {stored} stored, not yet said to be kept" if stored else ""
        parts.append(f"{done} of {count_in_words(len(wanted), 'result')} delivered{kept}.")
    parts += _replaced(study)
    parts += [_retry(delivery) for delivery in study.deliveries if delivery.state == "retrying"]
    return " ".join(parts) or "Under way."


def _is_tried_again(run: RunView) -> bool:
    return run.activity == "retrying" and not run.waits


def _sentence(words: str) -> str:
    return words if words.endswith(".") else f"{words}."


def _retry(delivery: DeliveryView) -> str:
    return (
        f"{delivery.kind} to {delivery.destination} will be tried again"
        f" ({count_in_words(delivery.attempts, 'attempt')}): {delivery.reason}"
    )


def _delivered(study: StudyView) -> str:
    done = [delivery for delivery in study.deliveries if delivery.state == "delivered"]
    if not done:
        return "Done; there was no result to deliver."
    places = ", ".join(dict.fromkeys(delivery.destination for delivery in done))
    return " ".join([f"{count_in_words(len(done), 'result')} delivered to {places}.", *_replaced(study)])


def _replaced(study: StudyView) -> list[str]:
    """What a destination does not take, and got a picture instead."""
    not_taken = [delivery for delivery in study.deliveries if delivery.state == DeliveryState.REPLACED]
    return [_sentence(f"{delivery.kind} to {delivery.destination}: {delivery.reason}") for delivery in not_taken]
