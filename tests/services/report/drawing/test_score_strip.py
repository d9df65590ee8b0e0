"""The strip's colours are the gate's thresholds."""

import numpy as np
import pytest

from services.report.drawing.canvas import Canvas
from services.report.drawing.palette import VERDICTS
from services.report.drawing.score_strip import draw_strip, verdict_of
from shared.findings import Code, InstanceScore, QualityScore, SourceImage


def finding(scores: list[float], **changes: object) -> QualityScore:
    image = SourceImage(series_instance_uid="1.2", sop_instance_uid="1.2.3", sop_class_uid="1.2.4")
    values: dict[str, object] = {
        "name": "ssim", "code": Code(value="q", scheme="99ISO", meaning="Q"), "package": "p", "version": "1.0.0",
        "series_instance_uid": "1.2", "value": min(scores), "unit": "1", "range": (0.0, 1.0), "verdict": "pass",
        "warn_below": 0.9, "hold_below": 0.8, "instances": tuple(InstanceScore(image=image, score=s) for s in scores),
    }  # fmt: skip
    return QualityScore.model_validate({**values, **changes})


@pytest.mark.parametrize(
    ("score", "verdict"), [(0.95, "pass"), (0.9, "pass"), (0.89, "warn"), (0.8, "warn"), (0.7, "hold")]
)
def test_a_slice_is_judged_by_the_thresholds(score: float, verdict: str) -> None:
    assert verdict_of(finding([score]), score) == verdict
    assert verdict_of(finding([score], warn_below=None, hold_below=None), score) == "pass"


def test_each_verdict_shows_its_colour() -> None:
    canvas = Canvas(1600, 300)
    draw_strip(canvas, (0, 0, 1600, 300), finding([0.95, 0.85, 0.75]), 2, "123")
    colours = {tuple(c) for c in np.asarray(canvas.image).reshape(-1, 3)}
    assert {VERDICTS["pass"], VERDICTS["warn"], VERDICTS["hold"]} <= colours


@pytest.mark.parametrize("scores", [[0.5], [1.0], [0.0], [0.5] * 2000, [-3.0, 7.0]])
@pytest.mark.parametrize("changes", [{}, {"range": None}, {"warn_below": None, "hold_below": None, "range": None}])
def test_odd_scores_are_drawn_within_the_box(scores: list[float], changes: dict[str, object]) -> None:
    canvas = Canvas(1600, 400)
    draw_strip(canvas, (50, 50, 1550, 350), finding(scores, **changes), 0, [str(n) for n in range(len(scores))])
    page = np.asarray(canvas.image).copy()
    ground = page[0, 0].copy()
    page[48:352, 48:1552] = ground
    assert (page == ground).all()
