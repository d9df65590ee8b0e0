"""The generated head: reproducible, different from seed to seed, and with the contrast that its name says."""

import numpy as np
import pytest

from shared.phantoms.brain_mr import brain_volume


@pytest.fixture(scope="module")
def t1() -> np.ndarray:
    return brain_volume(3, slices=6, size=128, spacing_mm=(20.0, 1.8))


def test_shape_type_and_range(t1: np.ndarray) -> None:
    assert t1.shape == (6, 128, 128)
    assert t1.dtype == np.float32
    assert t1.min() >= 0.0
    assert 500 < np.percentile(t1, 99.5) < 1500


def test_same_seed_same_head_and_another_seed_another_head(t1: np.ndarray) -> None:
    assert np.array_equal(t1, brain_volume(3, slices=6, size=128, spacing_mm=(20.0, 1.8)))
    other = brain_volume(4, slices=6, size=128, spacing_mm=(20.0, 1.8))
    assert np.abs(t1 - other).mean() > 20


def test_liquor_is_dark_in_t1_and_bright_in_t2() -> None:
    t1 = brain_volume(5, slices=12, size=128, spacing_mm=(10.0, 1.8), noise=0.0)
    t2 = brain_volume(5, slices=12, size=128, spacing_mm=(10.0, 1.8), contrast="t2", noise=0.0)
    brain = (slice(6, 8), slice(40, 88), slice(40, 88))
    darkest_in_t1 = t1[brain] < np.percentile(t1[brain], 5)
    assert t2[brain][darkest_in_t1].mean() > 1.2 * t2[brain].mean()


def test_air_holds_rician_noise_of_the_given_strength() -> None:
    quiet, noisy = (brain_volume(6, slices=2, size=128, spacing_mm=(20.0, 1.8), noise=n) for n in (0.0, 0.03))
    corner = (slice(None), slice(0, 12), slice(0, 12))
    assert quiet[corner].mean() < 2.0
    assert noisy[corner].mean() == pytest.approx(1000 * 0.03 * np.sqrt(np.pi / 2), rel=0.1)


def test_a_head_is_one_piece_with_air_around(t1: np.ndarray) -> None:
    middle = t1[3]
    edge = np.concatenate([middle[:4].ravel(), middle[-4:].ravel(), middle[:, :4].ravel(), middle[:, -4:].ravel()])
    assert np.percentile(edge, 99) < 0.1 * np.percentile(middle, 99.5)
    assert 0.15 < (middle > 150).mean() < 0.7
