"""Which tensors an output of a kind may have."""

from typing import Any

import pytest

from shared.packages.manifest import Manifest
from shared.packages.shapes import fitting, in_words, wrong_shapes

CODE = {"value": "x", "scheme": "99ISO", "meaning": "x"}
THREE = [{"name": name, "code": CODE} for name in ("one", "two", "three")]


def wrong(shape: list[int], explanation: dict[str, Any] | None = None, by: str = "image", **output: Any) -> list[str]:
    manifest = Manifest.model_validate({
        "schema": 2, "selector": {}, "grouping": {"by": by},
        "tensors": {"inputs": [{"name": "image", "shape": [1, 8, 8]}]},
        "package": {"name": "tiny", "version": "1.0.0", "kind": "reader", "title": "t", "intended_use": "i"},
        "outputs": [{"name": "found", "tensor": "t", "kind": "binary", "code": CODE} | output],
        "explanation": explanation or {},
    })  # fmt: skip
    return list(wrong_shapes(manifest, {(explanation or {}).get("tensor") or "t": shape}))


@pytest.mark.parametrize(
    ("output", "right", "false"),
    [
        ({"kind": "binary"}, [[], [1], [1, 1, 1], [-1]], [[2], [1, 2]]),
        ({"kind": "regression"}, [[1]], [[3]]),
        ({"kind": "multilabel", "labels": THREE}, [[3], [1, 3], [3, 1, 1], [-1]], [[2], [3, 3], [1]]),
        ({"kind": "ordinal", "labels": THREE}, [[3], [2]], [[4], [1]]),
        ({"kind": "ordinal", "labels": THREE, "activation": "softmax"}, [[3]], [[2]]),
        ({"kind": "ordinal", "labels": THREE, "activation": "sigmoid"}, [[2]], [[3]]),
        ({"kind": "landmark"}, [[9, 2], [9, 3], [1, 9, 2], [-1, -1]], [[9, 4], [9]]),
        ({"kind": "measurement", "geometry": "angle", "unit": "deg"}, [[4, 2], [4, 3]], [[3, 2]]),
        ({"kind": "segment", "labels": THREE, "activation": "softmax"}, [[4, 8, 8], [3, 8, 8]], [[2, 8, 8], [8, 8]]),
        ({"kind": "segment", "labels": THREE, "activation": "sigmoid"}, [[3, 8, 8]], [[4, 8, 8]]),
        ({"kind": "segment", "labels": THREE, "by": "series"}, [[4, -1, 8, 8]], [[4, 8, 8], [3, 8, 8]]),
        ({"kind": "segment", "labels": THREE[:1]}, [[8, 8], [1, 8, 8], [2, 8, 8]], [[3, 8, 8], [8]]),
        ({"kind": "segment", "labels": THREE[:1], "activation": "softmax"}, [[2, 8, 8]], [[1, 8, 8]]),
        ({"kind": "image"}, [[8, 8], [1, 8, 8]], [[3, 8, 8]]),
        ({"kind": "image", "by": "series"}, [[4, 8, 8], [1, -1, 8, 8]], [[8, 8]]),
        ({"kind": "embedding"}, [[128], [128, 1, 1]], [[2, 128]]),
        ({"kind": "measurement", "geometry": "length", "unit": "mm"}, [[2, 2]], [[4, 2]]),
    ],
)
def test_a_kind_takes_its_shapes(output: dict[str, Any], right: list[list[int]], false: list[list[int]]) -> None:
    assert [shape for shape in right if wrong(shape, **output)] == []
    assert [shape for shape in false if not wrong(shape, **output)] == []


@pytest.mark.parametrize(
    ("explanation", "right", "false"),
    [
        ({"kind": "additive_patches"}, [[8, 8], [1, 8, 8]], [[8], [2, 8, 8]]),
        ({"kind": "slice_weights"}, [[-1], [30]], [[2, 30]]),
        ({"kind": "concepts", "concepts": THREE}, [[3]], [[4]]),
        ({"kind": "attribution_map"}, [[8, 8], [1, 4, 4]], [[3, 4, 4]]),
    ],
)
def test_an_explanation_takes_its_shapes(
    explanation: dict[str, Any], right: list[list[int]], false: list[list[int]]
) -> None:
    named = explanation | {"tensor": "why"}
    assert [shape for shape in right if wrong(shape, named)] == []
    assert [shape for shape in false if not wrong(shape, named)] == []


def test_what_is_wrong_is_told_with_what_was_due() -> None:
    assert wrong([4], kind="ordinal", labels=THREE) == [
        "output t: has shape [4] a row; found (ordinal) takes 3 or 2"
    ]  # fmt: skip


def test_ones_go_from_the_front_first_and_free_sizes_fit_any() -> None:
    assert fitting((1, 1, 5), [(-1, -1)]) == (1, 5)
    assert fitting((1, 3, 1), [(3,)]) == (3,)
    assert fitting((-1, -1), [(4, 2)]) == (-1, -1)
    assert fitting((2, 5), [(-1,)]) is None
    assert in_words([(), (2, -1)]) == "one number or 2 × n"
