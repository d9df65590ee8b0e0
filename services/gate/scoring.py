"""A gate package's word: slice scores → the series' score → pass, warn or hold."""

from collections.abc import Sequence

import numpy as np

from services.gate.judgement import InstanceNote, Judgement, Verdict, by_threshold, capped, thresholds_of
from shared.findings import InstanceScore, QualityScore
from shared.inference import Reading, Unreadable
from shared.outputs import number
from shared.packages.folder import Package
from shared.packages.manifest import GateTable
from shared.settings import GateThresholds


def judge_readings(
    package: Package, series_instance_uid: str, readings: Sequence[Reading], own: GateThresholds | None = None
) -> tuple[Judgement, QualityScore]:
    """The package's judgement of one series and the finding that says the same; blank slices have no score.

    Raises:
        Unreadable: no slice can be scored, or a score lies outside the range that the package declares.
    """
    gate = _gate_of(package)
    output = package.manifest.outputs[0]
    scored = [(reading.source, number(package, output, reading)) for reading in readings if not reading.blank]
    if not scored:
        raise Unreadable("there is no picture in any slice")
    value = aggregate(gate.aggregate, [score for _, score in scored])
    warn_below, hold_below = thresholds_of(own, gate.warn_below, gate.hold_below)
    verdict = by_threshold(value, warn_below, hold_below)
    lowest = min(score for _, score in scored)
    reason = (
        f"{output.code.meaning} {value:.3f} is {_standing(verdict, warn_below, hold_below)}"
        f"{_told_of(gate.aggregate, len(scored), lowest)}{_flags(gate, [score for _, score in scored])}"
    )
    notes = tuple(InstanceNote(source.sop_instance_uid, score, source.frame) for source, score in scored)
    judgement = capped(
        Judgement(package.name, verdict, reason, value, gate.unit, package.version, notes), own
    )  # fmt: skip
    finding = QualityScore(
        name=output.name, code=output.code, package=package.name, version=package.version,
        weights=package.weights_digest(),
        use_mark=package.manifest.package.use_mark, sources=tuple(source for source, _ in scored),
        missing=tuple(dict.fromkeys(tag for reading in readings for tag in reading.missing)),
        series_instance_uid=series_instance_uid, value=value, unit=gate.unit, range=output.range,
        verdict=judgement.verdict, warn_below=warn_below, hold_below=hold_below, flag_above=gate.flag_above,
        instances=tuple(InstanceScore(image=source, score=score) for source, score in scored),
    )  # fmt: skip
    return judgement, finding


def failed(package: Package, reason: str, own: GateThresholds | None = None) -> Judgement:
    """What counts when the gate itself can't judge: the manifest's `gate.on_failure`."""
    verdict = _gate_of(package).on_failure
    return capped(Judgement(package.name, verdict, f"the gate could not judge: {reason}", version=package.version), own)


def aggregate(how: str, scores: Sequence[float]) -> float:
    """The series' score by the manifest's `gate.aggregate`: mean, min, max or percentile:<n>."""
    if how.startswith("percentile:"):
        return float(np.percentile(scores, int(how.removeprefix("percentile:"))))
    return {"min": min(scores), "max": max(scores), "mean": float(np.mean(scores))}[how]


def _flags(gate: GateTable, scores: Sequence[float]) -> str:
    if gate.flag_above is None:
        return ""
    return f"; {sum(score >= gate.flag_above for score in scores)} flagged from {gate.flag_above:g} on"


def _told_of(how: str, images: int, lowest: float) -> str:
    """Of which images the score is what, where there are several."""
    if images == 1:
        return ""
    return f": {_called(how)} of {images} images" + (f", the lowest of them {lowest:.3f}" if how != "min" else "")


def _called(how: str) -> str:
    if how.startswith("percentile:"):
        return f"percentile {how.removeprefix('percentile:')}"
    return {"min": "the lowest", "max": "the highest", "mean": "the mean"}[how]


def _standing(verdict: Verdict, warn_below: float, hold_below: float) -> str:
    if verdict == "pass":
        return f"not below {warn_below:g}"
    return f"below {warn_below if verdict == 'warn' else hold_below:g} ({verdict})"


def _gate_of(package: Package) -> GateTable:
    if package.manifest.gate is None:
        raise Unreadable(f"{package.name} is no gate")
    return package.manifest.gate
