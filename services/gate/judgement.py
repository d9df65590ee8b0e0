"""What one gate says of one series: the verdict, its reason in words, and the numbers behind it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, cast

from shared.settings import GateThresholds

Verdict = Literal["pass", "warn", "hold"]
_STRICTNESS: tuple[Verdict, ...] = ("pass", "warn", "hold")


@dataclass(frozen=True)
class InstanceNote:
    """A score of one instance or, in a multi-frame instance, of one frame (1-based)."""

    sop_instance_uid: str
    score: float
    frame: int | None = None

    def as_json(self) -> dict[str, object]:
        """As the book keeps it."""
        found: dict[str, object] = {"sop_instance_uid": self.sop_instance_uid, "score": self.score}
        return found if self.frame is None else {**found, "frame": self.frame}


@dataclass(frozen=True)
class Judgement:
    """One gate's word on one series."""

    name: str
    verdict: Verdict
    reason: str
    score: float | None = None
    unit: str = "1"  # UCUM
    version: str = ""
    instances: tuple[InstanceNote, ...] = ()


def strictest(verdicts: Iterable[str]) -> Verdict:
    """The strictest of several verdicts; pass when there is none."""
    return _STRICTNESS[max((_STRICTNESS.index(cast("Verdict", v)) for v in verdicts), default=0)]


def by_threshold(score: float, warn_below: float, hold_below: float) -> Verdict:
    """The verdict of a score of which more is better; what can't be compared is held."""
    if not score >= hold_below:
        return "hold"
    return "pass" if score >= warn_below else "warn"


def thresholds_of(own: GateThresholds | None, warn_below: float, hold_below: float) -> tuple[float, float]:
    """The hospital's thresholds where it set them, else those given."""
    if own is None:
        return warn_below, hold_below
    warn = warn_below if own.warn_below is None else own.warn_below
    hold = hold_below if own.hold_below is None else own.hold_below
    return max(warn, hold), hold


def capped(judgement: Judgement, own: GateThresholds | None) -> Judgement:
    """The judgement, no stricter than the hospital lets this gate be."""
    if own is None or own.verdict is None or strictest([own.verdict, judgement.verdict]) == own.verdict:
        return judgement
    reason = f"{judgement.reason} ({judgement.verdict} is lowered to {own.verdict} by this hospital's settings)"
    return replace(judgement, verdict=own.verdict, reason=reason)
