"""What explains a finding adds up to it, and is of the output that it is said to be of."""

from typing import Any

import pytest

from services.infer.handlers import findings_of
from shared.findings import Classification
from shared.inference import Unreadable
from shared.packages.manifest import Manifest
from tests.services.infer.readings import CODE, package, reading

SIGMOID = {"activation": "sigmoid"}
PARTS = [{"name": name, "code": CODE | {"scheme": "99ISO", "meaning": name}} for name in ("size", "edge")]
CONCEPTS = {"kind": "concepts", "tensor": "parts", "concepts": PARTS, "bias": 0.5}


def classification(parts: Any, logit: float) -> Classification:
    (found,) = findings_of(package(SIGMOID, explanation=CONCEPTS), reading(parts=parts, logit=logit))
    assert isinstance(found, Classification)
    return found


def test_concepts_are_told_with_what_they_added() -> None:
    found = classification([2.0, -0.25], 2.25).concepts
    assert found is not None
    assert [(part.name, part.code.meaning, part.value) for part in found.contributions] == [
        ("size", "size", 2.0), ("edge", "edge", -0.25),
    ]  # fmt: skip
    assert found.bias == 0.5


@pytest.mark.parametrize(
    ("parts", "said"),
    [([2.0, 0.0], r"sum to 2\.5000, the image's logit is 2\.2500"), ([2.0, 0.1, 0.2], r"\[3\] a row; 2 was due")],
)
def test_concepts_that_do_not_add_up_explain_nothing(parts: list[float], said: str) -> None:
    with pytest.raises(Unreadable, match=said):
        classification(parts, 2.25)


def test_an_explanation_is_of_the_first_output_alone() -> None:
    other = SIGMOID | {"name": "other", "tensor": "another"}
    made = package(SIGMOID, other, explanation={"kind": "additive_patches", "tensor": "patches"})
    found = findings_of(made, reading(logit=1.0, another=-3.0, patches=[[0.0, 2.0], [1.0, 1.0]]))
    assert [f.patch_map is not None for f in found if isinstance(f, Classification)] == [True, False]


@pytest.mark.parametrize("kind", ["additive_patches", "concepts"])
def test_what_sums_to_a_logit_explains_a_binary_output(kind: str) -> None:
    labels = [{"name": "one", "code": CODE}]
    explanation = CONCEPTS if kind == "concepts" else {"kind": kind, "tensor": "patches"}
    with pytest.raises(ValueError, match='must be of kind = "binary"'):
        package({"kind": "multilabel", "labels": labels}, explanation=explanation)
    assert isinstance(package(SIGMOID, explanation=explanation).manifest, Manifest)


def test_a_classification_tells_how_sure_the_package_is() -> None:
    (found,) = findings_of(package({"confidence_tensor": "sure"}), reading(logit=0.75, sure=0.25))
    assert found.confidence == 0.25
