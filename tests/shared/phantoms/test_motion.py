"""Simulated motion: nothing at severity 0, more with more, the same from the same generator, energy kept."""

import numpy as np
import pytest
from scipy import fft

from shared.phantoms.brain_mr import brain_volume
from shared.phantoms.motion import SEVERITIES, corrupt, still_in_each_pose


@pytest.fixture(scope="module")
def head() -> np.ndarray:
    return brain_volume(8, slices=1, size=128, spacing_mm=(5.0, 1.8), noise=0.005)[0]


def test_severity_none_returns_the_image_and_not_the_same_array(head: np.ndarray) -> None:
    still = corrupt(head, "none", np.random.default_rng(1))
    assert np.array_equal(still, head)
    assert still is not head


def test_the_same_generator_moves_the_same_way(head: np.ndarray) -> None:
    first, second, other = (corrupt(head, 0.5, np.random.default_rng(n)) for n in (1, 1, 2))
    assert np.array_equal(first, second)
    assert not np.allclose(first, other, atol=5.0)


@pytest.mark.parametrize("seed", range(6))
def test_a_larger_severity_changes_the_image_more(head: np.ndarray, seed: int) -> None:
    changes = [
        np.sqrt(np.mean((corrupt(head, s, np.random.default_rng(seed)) - head) ** 2)) for s in (0.02, 0.1, 0.3, 1.0)
    ]
    assert changes == sorted(changes)
    assert changes[-1] > 0.02 * head.max()


def test_named_severities_grow(head: np.ndarray) -> None:
    assert list(SEVERITIES.values()) == sorted(SEVERITIES.values())
    by_name = corrupt(head, "strong", np.random.default_rng(3))
    assert np.array_equal(by_name, corrupt(head, SEVERITIES["strong"], np.random.default_rng(3)))


def test_the_middle_of_k_space_stays_as_it_was(head: np.ndarray) -> None:
    moved = corrupt(head, 1.0, np.random.default_rng(4))
    assert moved.sum() == pytest.approx(head.sum(), rel=0.25)
    shift = np.unravel_index(np.argmax(np.abs(fft.ifft2(fft.fft2(head) * np.conj(fft.fft2(moved))))), head.shape)
    assert all(min(s, n - s) <= 3 for s, n in zip(shift, head.shape, strict=True))


def test_a_stack_moves_slice_by_slice_and_keeps_its_shape(head: np.ndarray) -> None:
    stack = np.stack([head, head])[:, :, :120]
    moved = corrupt(stack, 0.6, np.random.default_rng(5))
    assert moved.shape == stack.shape
    assert moved.dtype == np.float32
    assert np.abs(moved[0] - moved[1]).mean() > 1.0


@pytest.mark.parametrize("severity", [-0.1, 1.1, "terrible"])
def test_an_impossible_severity_is_refused(head: np.ndarray, severity: float | str) -> None:
    with pytest.raises(ValueError, match="severity"):
        corrupt(head, severity, np.random.default_rng(0))


def test_an_array_of_another_dimension_is_refused() -> None:
    with pytest.raises(ValueError, match="dimensions"):
        corrupt(np.zeros(9, np.float32), 0.5, np.random.default_rng(0))


@pytest.mark.parametrize("severity", [0.0, 0.6])
def test_the_still_slice_is_among_its_poses_and_moves_with_the_severity(head: np.ndarray, severity: float) -> None:
    poses = still_in_each_pose(head, severity, np.random.default_rng(3))
    apart = sorted(float(np.abs(posed - head).mean() / head.mean()) for posed in poses)
    assert len(poses) > 1
    assert apart[0] < 1e-4, "the reference: the pose of the middle of k-space"
    assert apart[-1] == pytest.approx(0.0, abs=1e-4) if severity == 0.0 else apart[-1] > 0.1
