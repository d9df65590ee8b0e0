"""The generated spine: repeatable, its Cobb angle met exactly, its vertebrae bright where the truth says."""

import numpy as np
import pytest

from shared.geometry import angle_between_lines
from shared.phantoms.spine import CURVES, cobb_angle, draw_spine
from shared.phantoms.spine_dx import SpineRadiograph, spine_radiograph

SIZE = (256, 116)


def _lines(radiograph: SpineRadiograph) -> tuple[np.ndarray, np.ndarray]:
    """The upper line of the upper end vertebra and the lower line of the lower one, in mm."""
    first, last = radiograph.end_vertebrae
    to_mm = np.array(radiograph.spacing_mm[::-1])
    return radiograph.corners[first, :2] * to_mm, radiograph.corners[last, 2:] * to_mm


def test_the_same_seed_gives_the_same_spine() -> None:
    first, second = spine_radiograph(3, size=SIZE), spine_radiograph(3, size=SIZE)
    np.testing.assert_array_equal(first.pixels, second.pixels)
    np.testing.assert_array_equal(first.corners, second.corners)
    assert not np.array_equal(first.pixels, spine_radiograph(4, size=SIZE).pixels)


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("degrees", [0.5, 25.0, 70.0])
def test_the_angle_asked_for_is_met_exactly(curve: str, degrees: float) -> None:
    for seed in range(5):
        spine = draw_spine(np.random.default_rng(seed), curve, degrees, lean_degrees=3.0)
        found, (first, last) = cobb_angle(np.stack([vertebra.corners for vertebra in spine.measured]))
        assert found == pytest.approx(degrees, abs=1e-6)
        assert 0 <= first < last <= 16


def test_no_other_pair_of_end_plates_is_tilted_further_apart() -> None:
    spine = draw_spine(np.random.default_rng(1), "double", 45.0)
    tilts = [(vertebra.upper_tilt, vertebra.lower_tilt) for vertebra in spine.measured]
    pairs = [abs(tilts[one][0] - tilts[two][1]) for one in range(17) for two in range(one + 1, 17)]
    assert np.degrees(max(pairs)) == pytest.approx(45.0)


@pytest.mark.parametrize("aspect", [0.7, 1.0, 1.4])
def test_the_truth_holds_in_millimetres_whatever_the_pixels(aspect: float) -> None:
    radiograph = spine_radiograph(6, 50.0, "thoracic", SIZE, aspect)
    assert radiograph.pixels.shape == SIZE
    assert radiograph.spacing_mm[1] / radiograph.spacing_mm[0] == pytest.approx(aspect, rel=0.01)
    assert angle_between_lines(*_lines(radiograph)) == pytest.approx(50.0, abs=1e-6)
    assert radiograph.cobb_degrees == pytest.approx(50.0)


def test_bodies_are_brighter_than_the_discs_between_them() -> None:
    radiograph = spine_radiograph(8, 30.0, "thoracolumbar", (1024, 464), 1.0)
    pixels, corners = radiograph.pixels.astype(float), radiograph.corners
    bodies, discs = corners.mean(1), (corners[:-1, 2:].mean(1) + corners[1:, :2].mean(1)) / 2
    body, disc = ([pixels[int(row) - 1 : int(row) + 2, int(column) - 1 : int(column) + 2].mean() for column, row in at]
                  for at in (bodies, discs))  # fmt: skip
    brighter = np.array(body)[:-1] + np.array(body)[1:] > 2 * np.array(disc)
    assert brighter.mean() > 0.9


def test_the_whole_spine_is_on_every_film() -> None:
    for seed in range(12):
        radiograph = spine_radiograph(seed, size=SIZE)
        assert radiograph.corners.min() > 0
        assert (radiograph.corners.max((0, 1)) < SIZE[::-1]).all()
        assert radiograph.pixels.max() <= 4095


@pytest.mark.parametrize(
    ("facts", "words"),
    [({"curve": "wavy"}, "a curve is one of"), ({"cobb_degrees": 95.0}, "its angle 0 to 90"),
     ({"size": (32, 200)}, "at least 64"), ({"aspect": 3.0}, "aspect 0.5 to 2")],
)  # fmt: skip
def test_senseless_requests_are_refused(facts: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        spine_radiograph(1, **facts)  # type: ignore[arg-type]
