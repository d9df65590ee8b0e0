"""Explanations say what their kind promises, or are told as wrong."""

import numpy as np
import pytest

from shared.packages.explanations import NotExplained, self_test
from shared.packages.manifest import Manifest

CODE = {"value": "x", "scheme": "99ISO", "meaning": "x"}
IMAGE = {"image": np.random.default_rng(0).random((2, 1, 16, 16), np.float32)}


def manifest(explanation, by="image", more_inputs=()):
    return Manifest.model_validate({
        "schema": 2,
        "package": {"name": "any_one", "version": "1.0.0", "kind": "reader", "title": "t", "intended_use": "u"},
        "selector": {}, "grouping": {"by": by},
        "tensors": {"inputs": [{"name": "image", "shape": [1, 16, 16]}, *more_inputs]},
        "outputs": [{"name": "finding", "tensor": "logit", "kind": "binary", "activation": "sigmoid", "code": CODE}],
        "explanation": explanation,
    })  # fmt: skip


def test_patches_average_to_the_logit():
    patches = np.random.default_rng(1).normal(size=(2, 4, 4))
    right = {"patches": patches, "logit": patches.mean((1, 2))[:, None]}
    told = manifest({"kind": "additive_patches", "tensor": "patches"})
    assert "mean is the logit" in self_test(told, IMAGE, lambda _: right)
    with pytest.raises(NotExplained, match="off by"):
        self_test(told, IMAGE, lambda _: {**right, "logit": right["logit"] + 0.01})


def test_concepts_sum_to_the_logit():
    values = np.array([[1.0, -2.0], [0.5, 0.25]])
    concepts = [{"name": name, "code": CODE} for name in ("one", "two")]
    told = manifest({"kind": "concepts", "tensor": "parts", "concepts": concepts, "bias": 0.5})
    right = {"parts": values, "logit": values.sum(1) + 0.5}
    assert "sum to the logit" in self_test(told, IMAGE, lambda _: right)
    with pytest.raises(NotExplained):
        self_test(told, IMAGE, lambda _: {**right, "parts": values * 1.1})


def test_slice_weights_sum_to_one_over_the_real_slices():
    mask = {"name": "mask", "shape": [-1], "source": "slice_mask"}
    told = manifest({"kind": "slice_weights", "tensor": "weights"}, "series", [mask])
    inputs = {**IMAGE, "mask": np.array([[1, 1, 0], [1, 1, 1]], np.float32)}
    weights = np.array([[0.25, 0.75, 0.0], [0.2, 0.3, 0.5]])
    assert "sum to one" in self_test(told, inputs, lambda _: {"weights": weights})
    for wrong in (weights * 0.9, np.array([[0.25, 0.5, 0.25], [0.2, 0.3, 0.5]])):
        with pytest.raises(NotExplained):
            self_test(told, inputs, lambda _, wrong=wrong: {"weights": wrong})


def test_hiding_what_a_map_marks_moves_the_score():
    place = (slice(None), slice(None), slice(4, 8), slice(4, 8))
    marking, missing = np.zeros((2, 16, 16)), np.zeros((2, 16, 16))
    marking[:, 4:8, 4:8] = 1.0
    missing[:, 12:16, 12:16] = 1.0

    def answer(shown):
        return lambda inputs: {"map": shown, "logit": 10 * inputs["image"][place].mean((1, 2, 3)) ** 2}

    bright = {"image": IMAGE["image"].copy()}
    bright["image"][place] += 1.0
    told = manifest({"kind": "attribution_map", "tensor": "map"})
    assert "moves the score" in self_test(told, bright, answer(marking))
    with pytest.raises(NotExplained):
        self_test(told, bright, answer(missing))


def test_no_explanation_is_none():
    assert self_test(manifest({}), IMAGE, lambda _: {}) == ""
