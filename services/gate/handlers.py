"""What the gates' words mean for a study's runs: who may read, who is held, and why. Touches no wire."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from services.gate.body_part import judge_body_part
from services.gate.burned_in_text import judge_burned_in_text
from services.gate.completeness import judge_completeness
from services.gate.content import Content, look_into
from services.gate.geometry import judge_geometry
from services.gate.judgement import Judgement, Verdict, capped, strictest
from services.gate.pixels import judge_pixels
from services.gate.settings import Settings
from shared.imaging.frames import Frame
from shared.settings import GateThresholds

PLAIN_GATES = ("completeness", "geometry", "pixels", "burned_in_text", "body_part", "header_consistency")
STUDY_GATES = frozenset({"header_consistency"})
"""Plain gates that judge a study as a whole; their words stand under an empty series."""
USUAL_GATES = ("completeness", "geometry")
"""Those that every package requires unless its manifest says otherwise."""
MARKING_GATES = frozenset(PLAIN_GATES) - frozenset(USUAL_GATES)
"""Plain gates that are heard only where a package requires them or where they object; where they are not required they
hold nobody, and their objection marks the result."""

Words = Mapping[str, Mapping[str, Judgement]]
"""By series, by gate."""


@dataclass(frozen=True)
class Decision:
    """What becomes of a run: held when `verdict` is hold."""

    verdict: Verdict
    reason: str


@dataclass(frozen=True)
class Series:
    """What the plain gates look at; the pixels are decoded once for all of them, when the first one asks."""

    frames: Sequence[Frame]
    requested_procedure: str = ""  # the order's, where there is one

    @cached_property
    def content(self) -> Content:
        return look_into(self.frames)


def judge_plainly(gate: str, series: Series, settings: Settings, thresholds: Mapping[str, GateThresholds]) -> Judgement:
    """What the plain gate of that name says of one series."""
    own = thresholds.get(gate)
    judges = {
        "completeness": lambda: judge_completeness(series.frames, series.content, own),
        "geometry": lambda: judge_geometry(series.frames, settings),
        "pixels": lambda: judge_pixels(series.frames, series.content, settings, own),
        "burned_in_text": lambda: judge_burned_in_text(series.frames, settings),
        "body_part": lambda: judge_body_part(series.frames, series.requested_procedure),
    }
    return capped(judges[gate](), own)


def unreadable(gate: str, reason: str, thresholds: Mapping[str, GateThresholds]) -> Judgement:
    """A plain gate's word on a series whose headers can't be read."""
    return capped(Judgement(gate, "hold", f"an image can't be read: {reason}"), thresholds.get(gate))


def decide_reader(required: Sequence[str], series: Iterable[str], words: Words, lacking: str = "") -> Decision:
    """Whether a reader may read its series: held when a gate that it requires holds one of them or has not spoken, and
    when series are `lacking`, in words, that it can't do without.

    A marking gate that it does not require can only mark its results.
    """
    told: list[tuple[Verdict, str]] = [("hold", lacking)] if lacking else []
    for uid in series:
        heard = {**words.get("", {}), **words.get(uid, {})}
        for gate in required:
            if gate not in heard:
                told.append(("hold", f"{gate}: the package requires this gate, and it has not judged this series"))
            elif heard[gate].verdict != "pass":
                told.append((heard[gate].verdict, f"{gate}: {heard[gate].reason}"))
        for gate in sorted(MARKING_GATES.intersection(heard).difference(required)):
            if heard[gate].verdict != "pass":
                told.append(("warn", f"{gate}: {heard[gate].reason}"))
    return _summed(told)


def decide_gate_run(package: str, series: Iterable[str], words: Words) -> Decision:
    """The verdict of a gate package's own run: the strictest of its series."""
    spoken = [words[uid][package] for uid in series if package in words.get(uid, {})]
    return _summed([(judgement.verdict, judgement.reason) for judgement in spoken])


def _summed(told: Sequence[tuple[Verdict, str]]) -> Decision:
    verdict = strictest(verdict for verdict, _ in told)
    reasons = dict.fromkeys(words for said, words in told if said == verdict and said != "pass")
    return Decision(verdict, "; ".join(reasons))
