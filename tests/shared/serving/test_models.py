"""Splitting rows into what a model takes at once."""

import numpy as np
import pytest

from shared.serving.models import Array, Arrays, ModelRefused, infer_in_batches


def recording(seen: list[int]) -> object:
    def infer_once(part: Arrays) -> dict[str, Array]:
        seen.append(part["x"].shape[0])
        return {"y": part["x"] * 2}

    return infer_once


@pytest.mark.parametrize(("rows", "expected"), [(1, [1]), (8, [8]), (9, [8, 1]), (20, [8, 8, 4])])
def test_rows_are_sent_in_batches_and_come_back_in_order(rows: int, expected: list[int]) -> None:
    seen: list[int] = []
    x = np.arange(rows * 3, dtype=np.float32).reshape(rows, 3)
    found = infer_in_batches({"x": x}, 8, recording(seen))
    assert seen == expected
    np.testing.assert_array_equal(found["y"], x * 2)


def test_a_model_that_does_not_batch_gets_everything_at_once() -> None:
    seen: list[int] = []
    infer_in_batches({"x": np.zeros((20, 3))}, 0, recording(seen))
    assert seen == [20]


@pytest.mark.parametrize(
    "inputs",
    [
        {"x": np.zeros((0, 3))},
        {"x": np.zeros(())},
        {"x": np.zeros((2, 3)), "z": np.zeros((3, 3))},
    ],
    ids=["no rows", "a scalar", "different rows"],
)
def test_rows_that_can_not_be_split_are_refused(inputs: Arrays) -> None:
    with pytest.raises(ModelRefused, match="rows"):
        infer_in_batches(inputs, 8, recording([]))
