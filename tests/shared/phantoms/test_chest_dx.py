"""The generated chest: repeatable, bright where something was planted, dark in the lungs."""

import numpy as np
import pytest

from shared.phantoms.chest_dx import chest_radiograph

SIZE = (256, 256)


def test_the_same_seed_gives_the_same_radiograph() -> None:
    first, second = chest_radiograph(3, size=SIZE), chest_radiograph(3, size=SIZE)
    np.testing.assert_array_equal(first.pixels, second.pixels)
    assert first.opacities == second.opacities
    assert not np.array_equal(first.pixels, chest_radiograph(4, size=SIZE).pixels)


def test_pixels_fill_twelve_bits_and_no_more() -> None:
    pixels = chest_radiograph(1, size=(320, 256)).pixels
    assert pixels.shape == (320, 256)
    assert pixels.dtype == np.uint16
    assert pixels.max() <= 4095
    assert np.ptp(pixels) > 3000


def test_the_field_is_36_cm_high() -> None:
    assert chest_radiograph(1, 0, size=SIZE).spacing_mm == pytest.approx(360 / 256)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_as_many_opacities_as_asked_for(count: int) -> None:
    assert len(chest_radiograph(5, count, size=SIZE).opacities) == count


def test_a_planted_opacity_brightens_its_place_and_nothing_far_from_it() -> None:
    for seed in range(6):
        free, planted = chest_radiograph(seed, 0, size=SIZE), chest_radiograph(seed, 1, size=SIZE)
        (opacity,) = planted.opacities
        rows, columns = np.indices(SIZE)
        distance = np.hypot(rows - opacity.row, columns - opacity.column)
        gain = planted.pixels.astype(float) - free.pixels
        assert gain[distance < 0.5 * opacity.radius_px].mean() > 60
        assert abs(gain[distance > 60].mean()) < 15


def test_opacities_lie_in_lung_apart_from_each_other() -> None:
    for seed in range(8):
        first, second, third = chest_radiograph(seed, 3, size=SIZE).opacities
        pairs = [(first, second), (first, third), (second, third)]
        assert all(np.hypot(a.row - b.row, a.column - b.column) * 36 / 256 > 4 for a, b in pairs)
        free = chest_radiograph(seed, 0, size=SIZE).pixels
        for opacity in (first, second, third):
            assert free[int(opacity.row), int(opacity.column)] < np.percentile(free, 80)


def test_lungs_are_darker_than_mediastinum_and_abdomen() -> None:
    pixels = chest_radiograph(2, 0, size=SIZE).pixels.astype(float)
    middle, abdomen = pixels[120:170, 118:138].mean(), pixels[235:, 100:156].mean()
    right_lung, left_lung = pixels[80:130, 60:85].mean(), pixels[80:130, 170:195].mean()
    assert max(right_lung, left_lung) < 0.7 * min(middle, abdomen)
    assert pixels[:10, :10].mean() < 0.1 * middle


def test_about_half_are_free_when_the_count_is_left_open() -> None:
    planted = sum(bool(chest_radiograph(seed, size=(64, 64)).opacities) for seed in range(60))
    assert 18 <= planted <= 42


@pytest.mark.parametrize(("count", "size"), [(-1, SIZE), (0, (32, 256))])
def test_senseless_requests_are_refused(count: int, size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="opacities must be"):
        chest_radiograph(1, count, size)
