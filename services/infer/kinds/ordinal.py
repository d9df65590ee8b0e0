"""Which step of a scale: from the probability of each step, or from those of lying beyond each step but the last."""

import numpy as np

from services.infer.answer import Answer
from services.infer.slices import slice_weights
from services.infer.tile_regions import deciding_tiles
from shared.findings import Grade, OrdinalGrade
from shared.inference import Unreadable
from shared.outputs import Numbers, activated, probabilities

TOLERANCE = 1e-3
"""How far probabilities may sum from one, or rise from step to step where they must fall."""


def ordinal(answer: Answer) -> list[OrdinalGrade]:
    """One grade. Of a probability for each step the likeliest holds; of cumulative ones (P(beyond step k), as CORAL
    gives them: Cao et al. 2020, https://doi.org/10.1016/j.patrec.2020.11.008) as many steps are left behind as reach
    the threshold.

    Raises:
        Unreadable: the tensor has neither as many numbers as steps nor one less, or they are no such probabilities.
    """
    labels = answer.output.labels
    values = probabilities(answer.package, answer.output, activated(answer.output, answer.values))
    steps = values if len(values) == len(labels) else _of_cumulative(answer, values)
    if abs(float(steps.sum()) - 1.0) > TOLERANCE:
        raise Unreadable(f"{answer.where}: the probabilities of the grades sum to {steps.sum():.4f}, one was due")
    beyond = int(np.count_nonzero(values >= answer.threshold()))
    grades = zip(labels, steps.tolist(), strict=True)
    return [
        OrdinalGrade(
            **answer.identity(), grade=int(np.argmax(steps)) if values is steps else beyond,
            grades=tuple(Grade(name=label.name, code=label.code, probability=value) for label, value in grades),
            slice_weights=slice_weights(answer.package, answer.reading), regions=deciding_tiles(answer),
        )
    ]  # fmt: skip


def _of_cumulative(answer: Answer, beyond: Numbers) -> Numbers:
    """The probability of each step, from those of lying beyond it: they fall from step to step."""
    steps = -np.diff(np.concatenate([[1.0], beyond, [0.0]]))
    if steps.min() < -TOLERANCE:
        raise Unreadable(f"{answer.where}: the probability of lying beyond a grade rises from one grade to the next")
    return np.clip(steps, 0.0, 1.0)
