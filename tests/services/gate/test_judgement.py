"""Verdicts by thresholds, and how far the hospital may bend them."""

import pytest
from pydantic import ValidationError

from services.gate.judgement import Judgement, by_threshold, capped, strictest, thresholds_of
from shared.settings import GateThresholds


@pytest.mark.parametrize(
    ("score", "verdict"),
    [(0.95, "pass"), (0.9, "pass"), (0.85, "warn"), (0.8, "warn"), (0.79, "hold"), (float("nan"), "hold")],
)
def test_a_score_on_the_threshold_is_above_it(score: float, verdict: str) -> None:
    assert by_threshold(score, 0.9, 0.8) == verdict


def test_the_strictest_counts() -> None:
    assert [strictest([]), strictest(["pass", "warn"]), strictest(["hold", "pass"])] == ["pass", "warn", "hold"]


def test_the_hospitals_thresholds_win_and_hold_is_never_above_warn() -> None:
    assert thresholds_of(None, 0.9, 0.8) == (0.9, 0.8)
    assert thresholds_of(GateThresholds(warn_below=0.95), 0.9, 0.8) == (0.95, 0.8)
    assert thresholds_of(GateThresholds(hold_below=0.97), 0.9, 0.8) == (0.97, 0.97)


def test_a_gate_is_no_stricter_than_the_hospital_lets_it_be() -> None:
    held = Judgement("geometry", "hold", "two planes")
    assert capped(held, None) == held
    lowered = capped(held, GateThresholds(verdict="warn"))
    assert lowered.verdict == "warn"
    assert lowered.reason.startswith("two planes (hold is lowered to warn")
    passed = Judgement("geometry", "pass", "fine")
    assert capped(passed, GateThresholds(verdict="warn")) == passed


@pytest.mark.parametrize("name", ["warn_below", "hold_below"])
@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_a_threshold_that_every_score_passes_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValidationError, match="finite"):
        GateThresholds(**{name: value})
