"""A heat map is seen however weak it is, alike on each of its planes; the key says how weak."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from services.report.drawing import below
from services.report.drawing.array_overlay import overlay, strongest_of
from services.report.drawing.canvas import Canvas
from services.report.drawing.placed_picture import fit
from services.report.facts import Picture, RunFacts
from shared.findings import HeatMap
from shared.imaging.frames import load_frames
from tests.services.report.findings_by_hand import Made, heat_map

PLACED = fit(Picture(np.zeros((128, 128), np.uint8)), (0, 0, 476, 476))
Saying = Callable[[HeatMap, np.ndarray], str]


@pytest.fixture
def finding(mr_paths: list[Path]) -> HeatMap:
    return heat_map(Made([]), load_frames(mr_paths))


def alpha(finding: HeatMap, values: np.ndarray, n: int) -> int:
    return int(np.asarray(overlay(finding, values, n, PLACED))[..., 3].max())


def test_full_strength_is_the_largest_value_of_all_planes(finding: HeatMap) -> None:
    values = np.zeros((12, 4, 4), np.float32)
    values[2, 1, 1], values[5, 1, 1] = 0.01, 0.005
    assert alpha(finding, values, 2) == alpha(finding, values * 100, 2) > 150
    assert alpha(finding, values, 5) == pytest.approx(alpha(finding, values, 2) / 2, abs=1)
    assert alpha(finding, values, 3) == 0


def test_a_map_of_nothing_is_drawn_as_nothing(finding: HeatMap) -> None:
    values = np.zeros((12, 4, 4), np.float32)
    assert strongest_of(values) == 1.0
    assert alpha(finding, values, 0) == 0


@pytest.fixture
def saying(mr_facts: RunFacts, monkeypatch: pytest.MonkeyPatch) -> Saying:
    """What is written below the picture of a map."""

    def written(finding: HeatMap, values: np.ndarray) -> str:
        said: list[str] = []
        canvas = Canvas(1600, 1300)
        monkeypatch.setattr(canvas, "text", lambda at, text, *_, **__: said.append(text) or 0.0)
        monkeypatch.setattr(below, "read_placed", lambda *_: values)
        below.draw_below(canvas, mr_facts, finding, (44, 1040, 1556, 1162))
        return " | ".join(said)

    return written


def test_the_key_names_full_strength_and_the_range_that_it_lies_in(finding: HeatMap, saying: Saying) -> None:
    values = np.linspace(0, 0.0123, 12 * 16, dtype=np.float32).reshape(12, 4, 4)
    weak = finding.model_copy(update={"range": (0.0, 1.0)})
    assert saying(weak, values) == "0 | for | up to 0.012 (range 0 to 1)"
    both_ways = finding.model_copy(update={"range": None, "unit": "ms"})
    assert saying(both_ways, values - 0.005) == "against | for | ±0.0073 ms"
    assert saying(both_ways, values * 15_000) == "0 | for | up to 180 ms", "people read no exponents"
