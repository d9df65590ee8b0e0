"""What a manifest may write, and what it is told where it is wrong."""

import pytest

from shared.imaging.steps import StepError, compile_steps, step_names
from shared.packages.manifest import Step


@pytest.mark.parametrize(
    ("step", "parameters", "words"),
    [
        ("sharpen", {}, r"preprocess\[0\]: there is no step 'sharpen'; there are crop, "),
        ("resize", {}, "'shape' is required"),
        ("resize", {"shape": [0, 5]}, "shape.0"),
        ("pad_square", {"colour": 3}, "no parameter 'colour'; it has value"),
        ("scale_percentile", {"percentile": 101}, "found 101"),
        ("modality_lut", {"x": 1}, "it has none"),
    ],
)
def test_a_wrong_manifest_is_told_what_to_write(step: str, parameters: dict[str, object], words: str) -> None:
    with pytest.raises(StepError, match=words):
        compile_steps([Step(step=step, **parameters)])


def test_the_names_that_the_packages_use_are_there() -> None:
    wanted = {"modality_lut", "invert_monochrome1", "scale_percentile", "normalise", "pad_square", "resize"}
    assert wanted <= set(step_names())
