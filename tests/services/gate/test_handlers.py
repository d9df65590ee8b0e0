"""What the gates' words mean for a run."""

from services.gate.handlers import decide_gate_run, decide_reader
from services.gate.judgement import Judgement

WORDS = {
    "1.1": {"completeness": Judgement("completeness", "pass", "there"),
            "geometry": Judgement("geometry", "warn", "tilted")},
    "1.2": {"completeness": Judgement("completeness", "hold", "half is missing"),
            "geometry": Judgement("geometry", "pass", "")},
}  # fmt: skip


def test_a_reader_passes_with_its_strictest_word_and_its_reason() -> None:
    assert decide_reader(["completeness"], ["1.1"], WORDS).verdict == "pass"
    decision = decide_reader(["completeness", "geometry"], ["1.1"], WORDS)
    assert (decision.verdict, decision.reason) == ("warn", "geometry: tilted")


def test_one_held_series_holds_the_reader_and_only_that_reason_is_told() -> None:
    decision = decide_reader(["completeness", "geometry"], ["1.1", "1.2"], WORDS)
    assert (decision.verdict, decision.reason) == ("hold", "completeness: half is missing")


def test_a_gate_that_is_not_required_holds_nobody() -> None:
    assert decide_reader(["geometry"], ["1.2"], WORDS).verdict == "pass"
    assert decide_reader([], ["1.2"], WORDS).verdict == "pass"


def test_a_required_gate_that_has_not_spoken_holds() -> None:
    decision = decide_reader(["motion_ssim"], ["1.1"], WORDS)
    assert decision.verdict == "hold"
    assert "has not judged this series" in decision.reason


def test_a_gate_packages_run_has_the_strictest_of_its_series() -> None:
    words = {"1.1": {"m": Judgement("m", "warn", "0.85")}, "1.2": {"m": Judgement("m", "pass", "0.95")}}
    decision = decide_gate_run("m", ["1.1", "1.2"], words)
    assert (decision.verdict, decision.reason) == ("warn", "0.85")


def test_an_objection_of_a_marking_gate_marks_and_holds_only_where_it_is_required() -> None:
    words = {"1.1": {"pixels": Judgement("pixels", "hold", "clipped")},
             "": {"header_consistency": Judgement("header_consistency", "hold", "two patients")}}  # fmt: skip
    decision = decide_reader([], ["1.1"], words)
    assert (decision.verdict, decision.reason) == ("warn", "header_consistency: two patients; pixels: clipped")
    assert decide_reader(["pixels"], ["1.1"], words).verdict == "hold"
    assert decide_reader(["header_consistency"], ["1.1"], words).reason == "header_consistency: two patients"
