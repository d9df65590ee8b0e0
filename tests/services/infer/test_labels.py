"""Labels: one classification each, or one grade, by thresholds, calibrations and activations as the manifest says."""

from typing import Any

import numpy as np
import pytest
from scipy.special import expit, softmax

from services.infer.handlers import findings_of
from shared.findings import Classification, KeyImage, OrdinalGrade
from tests.services.infer.readings import CODE, package, reading, series

NAMES = ("one", "two", "three")


def labels(**of_two: Any) -> list[dict[str, Any]]:
    codes = [CODE | {"value": f"code-{name}", "scheme": "99ISO", "meaning": name} for name in NAMES]
    made = [{"name": name, "code": code} for name, code in zip(NAMES, codes, strict=True)]
    made[1] |= of_two
    return made


def multilabel(values: list[float], of_two: dict[str, Any], **output: Any) -> list[Classification]:
    made = package({"kind": "multilabel", "labels": labels(**of_two), **output})
    found = findings_of(made, reading(logit=values))
    assert all(isinstance(finding, Classification) for finding in found)
    return [finding for finding in found if isinstance(finding, Classification)]


def test_a_label_has_its_own_threshold_else_the_output_s() -> None:
    found = multilabel([0.4, 0.4, 0.1], {"threshold": 0.5}, threshold=0.3)
    assert [(f.name, f.code.meaning, f.threshold, f.present) for f in found] == [
        ("found.one", "one", 0.3, True), ("found.two", "two", 0.5, False), ("found.three", "three", 0.3, False),
    ]  # fmt: skip


def test_a_label_s_calibration_comes_before_the_activation() -> None:
    calibrated = {"calibration": {"slope": 2.0, "intercept": -1.0}}
    found = multilabel([1.0, 1.0, 1.0], calibrated, activation="sigmoid")
    assert [f.probability for f in found] == pytest.approx([expit(1.0), expit(1.0), expit(1.0)])
    found = multilabel([1.0, 2.0, 1.0], calibrated, activation="sigmoid")
    assert found[1].probability == pytest.approx(expit(3.0))


def test_labels_that_exclude_each_other_share_one() -> None:
    found = multilabel([800.0, 798.0, 700.0], {}, activation="softmax")
    assert [f.probability for f in found] == pytest.approx(softmax([800.0, 798.0, 700.0]))


@pytest.mark.parametrize("shape", [(3,), (1, 3), (3, 1, 1), (1, 3, 1, 1)])
def test_ones_around_the_labels_are_of_no_account(shape: tuple[int, ...]) -> None:
    made = package({"kind": "multilabel", "labels": labels()})
    found = findings_of(made, reading(logit=np.reshape([0.25, 0.5, 0.75], shape)))
    assert [f.probability for f in found if isinstance(f, Classification)] == [0.25, 0.5, 0.75]


def grade(values: list[float], **output: Any) -> OrdinalGrade:
    (found,) = findings_of(package({"kind": "ordinal", "labels": labels(), **output}), reading(logit=values))
    assert isinstance(found, OrdinalGrade)
    return found


def test_the_likeliest_grade_holds() -> None:
    found = grade([0.25, 0.25, 0.5])
    assert (found.grade, found.name, found.code.meaning) == (2, "found", CODE["meaning"])
    assert [(step.name, step.code.meaning, step.probability) for step in found.grades] == [
        ("one", "one", 0.25), ("two", "two", 0.25), ("three", "three", 0.5),
    ]  # fmt: skip
    assert [s.probability for s in grade([1.0, 3.0, 2.0], activation="softmax").grades] == pytest.approx(
        softmax([1.0, 3.0, 2.0])
    )


@pytest.mark.parametrize(
    ("beyond", "threshold", "expected"),
    [
        ([0.1, 0.05], None, 0),
        ([0.7, 0.4], None, 1),
        ([0.9, 0.6], None, 2),
        ([0.45, 0.4], 0.3, 2),
        ([0.5, 0.5], None, 2),
    ],
)
def test_cumulative_probabilities_leave_grades_behind(
    beyond: list[float], threshold: float | None, expected: int
) -> None:
    more = {} if threshold is None else {"threshold": threshold}
    found = grade(beyond, **more)
    assert found.grade == expected
    assert [s.probability for s in found.grades] == pytest.approx([1 - beyond[0], beyond[0] - beyond[1], beyond[1]])
    logits = np.log(np.array(beyond) / (1 - np.array(beyond)))
    assert grade(logits.tolist(), activation="sigmoid", **more).grade == expected


def test_a_grade_of_a_series_has_its_slices() -> None:
    weighted = {"kind": "slice_weights", "tensor": "weights"}
    made = package({"kind": "ordinal", "labels": labels()}, explanation=weighted)
    found, *keys = findings_of(made, series(4, logit=[0.1, 0.2, 0.7], weights=[0.05, 0.8, 0.1, 0.05]))
    assert isinstance(found, OrdinalGrade)
    assert found.slice_weights is not None
    assert [(key.explains, key.weight) for key in keys if isinstance(key, KeyImage)] == [("found", pytest.approx(0.8))]
