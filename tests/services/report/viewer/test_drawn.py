"""OHIF draws what the `ohif` profile sends: the right thing, in its colour, at the pixel where it was planted."""

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from services.report.facts import RunFacts
from services.report.handlers import report
from services.report.identity import series_description
from shared.settings import Destination
from tests.hospital import open_hospital
from tests.looking.screen import Screen
from tests.services.report.viewer.planted import SIZE, SQUARES, Plan, planted, write_head

pytestmark = [pytest.mark.hospital, pytest.mark.viewer, pytest.mark.timeout(900)]
OHIF = Destination(name="ohif", profile="ohif", kind="dicom", host="h", port=104, ae_title="A")
PLAN = Plan()
FIRST, NEXT = "#00ff00", "#ffff00"  # OHIF's own colours of a report's measurements: the one that is chosen, the others
HOTTEST = "#b41e1e"  # of its rainbow
SERIES = {  # what the series is called; the colours and the words that are waited for
    "SR": ("report", [FIRST, NEXT], "mm2"),
    "SEG": ("segmentation 2", PLAN.colours, ""),  # the first is of outlines
    "SC": ("picture", PLAN.colours, ""),
    "PM": ("map", [HOTTEST], ""),
    "PDF": ("page", PLAN.colours, ""),
}
SEGMENTS = [(PLAN.mass, PLAN.colours[0]), (PLAN.cyst, PLAN.colours[1])]
PDF_PAPER = 0.15  # of the screen, at least


@pytest.fixture(scope="module")
def screens(
    bench: Path, hospital_home: Path, build_facts: Callable[..., RunFacts], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Screen]:
    """What the viewer shows of each kind."""
    folder, shots = tmp_path_factory.mktemp("planted"), tmp_path_factory.mktemp("shots")
    salt = uuid4().hex  # nothing of an earlier time is there
    paths = write_head(folder, salt)
    facts = planted(build_facts(paths, run_id=salt), paths, PLAN)
    done = report(facts, [OHIF])
    assert not done.missing
    for made in done.objects:
        (folder / made.file_name).write_bytes(made.content)
    jobs = [
        {"study": facts.study.study_instance_uid, "series": series_description(facts, what), "colours": colours,
         "text": text, "shot": kind}
        for kind, (what, colours, text) in SERIES.items()
    ]  # fmt: skip
    with open_hospital(bench, hospital_home, shots) as hospital:
        hospital.call("send", folder)
        print(hospital.look(shots, jobs))
    return {kind: Screen.of(shots / kind, SQUARES, SIZE) for kind in SERIES}


def middle(screen: Screen, colour: str) -> np.ndarray:
    return np.asarray(screen.places_of(colour).mean(axis=0))


def test_a_landmark_is_pointed_at_where_it_lies(screens: dict[str, Screen]) -> None:
    """OHIF draws an arrow that comes from below on the right; its words stand there too."""
    places = screens["SR"].places_of(FIRST)
    tip = places[places.sum(axis=1).argmin()]
    assert tip == pytest.approx(PLAN.carina, abs=1)


def test_a_region_is_outlined_where_it_lies_with_its_number(screens: dict[str, Screen]) -> None:
    left, top, right, bottom = PLAN.box
    places = screens["SR"].places_of(NEXT)
    assert places.min(axis=0) == pytest.approx((left, top), abs=1)
    outline = places[(places[:, 0] < right + 1) & (places[:, 1] < bottom + 1)]
    assert outline.max(axis=0) == pytest.approx((right, bottom), abs=1)
    assert f"Box area: {(right - left) * (bottom - top) * 0.81:.2f} mm2" in screens["SR"].text


@pytest.mark.parametrize(("place", "colour"), SEGMENTS)
def test_a_segment_has_its_colour_in_its_place(
    screens: dict[str, Screen], place: tuple[float, float], colour: str
) -> None:
    assert middle(screens["SEG"], colour) == pytest.approx(place, abs=1)
    own = np.array([int(colour[n : n + 2], 16) for n in (1, 3, 5)])  # the rim is not mixed with the image
    assert (np.abs(screens["SEG"].pixels.astype(int) - own).max(axis=2) <= 3).sum() > 100


@pytest.mark.parametrize(("place", "colour"), SEGMENTS)
def test_the_picture_shows_it_there_too(screens: dict[str, Screen], place: tuple[float, float], colour: str) -> None:
    assert middle(screens["SC"], colour) == pytest.approx(place, abs=1)


def test_a_heat_map_is_hottest_where_it_was_planted(screens: dict[str, Screen]) -> None:
    assert middle(screens["PM"], HOTTEST) == pytest.approx(PLAN.heat, abs=1)


def test_the_page_is_opened(screens: dict[str, Screen]) -> None:
    pixels = screens["PDF"].pixels
    assert (pixels > 250).all(axis=2).mean() > PDF_PAPER
