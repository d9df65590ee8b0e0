"""What the gates' words mean for a study's runs: who may read, who is held, and why. Touches no wire."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from services.gate.completeness import judge_completeness
from services.gate.content import look_into
from services.gate.geometry import judge_geometry
from services.gate.judgement import Judgement, Verdict, capped, strictest
from services.gate.settings import Settings
from shared.imaging.frames import Frame
from shared.settings import GateThresholds

PLAIN_GATES = ("completeness", "geometry")

Words = Mapping[str, Mapping[str, Judgement]]
"""By series, by gate."""


@dataclass(frozen=True)
class Decision:
    """What becomes of a run: held when `verdict` is hold."""

    verdict: Verdict
    reason: str


def judge_plainly(
    gate: str, frames: Sequence[Frame], settings: Settings, thresholds: Mapping[str, GateThresholds]
) -> Judgement:
    """What the plain gate of that name says of one series."""
    own = thresholds.get(gate)
    if gate == "completeness":
        return capped(judge_completeness(frames, look_into(frames), own), own)
    return capped(judge_geometry(frames, settings), own)


def unreadable(gate: str, reason: str, thresholds: Mapping[str, GateThresholds]) -> Judgement:
    """A plain gate's word on a series whose headers can't be read."""
    return capped(Judgement(gate, "hold", f"an image can't be read: {reason}"), thresholds.get(gate))


def decide_reader(required: Sequence[str], series: Iterable[str], words: Words) -> Decision:
    """Whether a reader may read its series: held when a gate that it requires holds one of them or has not spoken."""
    told: list[tuple[Verdict, str]] = []
    for uid in series:
        for gate in required:
            judgement = words.get(uid, {}).get(gate)
            if judgement is None:
                told.append(("hold", f"{gate}: the package requires this gate, and it has not judged this series"))
            elif judgement.verdict != "pass":
                told.append((judgement.verdict, f"{gate}: {judgement.reason}"))
    return _summed(told)


def decide_gate_run(package: str, series: Iterable[str], words: Words) -> Decision:
    """The verdict of a gate package's own run: the strictest of its series."""
    spoken = [words[uid][package] for uid in series if package in words.get(uid, {})]
    return _summed([(judgement.verdict, judgement.reason) for judgement in spoken])


def _summed(told: Sequence[tuple[Verdict, str]]) -> Decision:
    verdict = strictest(verdict for verdict, _ in told)
    reasons = dict.fromkeys(words for said, words in told if said == verdict and said != "pass")
    return Decision(verdict, "; ".join(reasons))
