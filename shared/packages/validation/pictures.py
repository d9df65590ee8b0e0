"""A picture of an output's figures: ROC and calibration of a probability, agreement and residuals of a number."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from shared.packages.output_tables import Output
from shared.packages.validation.figures import arrays, auroc, reliability, roc
from shared.packages.validation.predictions import Prediction
from shared.packages.validation.report import threshold_of


def draw(output: Output, predictions: Sequence[Prediction], path: Path) -> None:
    """Writes a PNG.

    Raises:
        ImportError: matplotlib is not installed: it comes with the `train` extra.
        OSError: it can't be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), dpi=90, layout="constrained")
    left, right = figure.subplots(1, 2)
    if threshold_of(output) is None:
        _draw_numbers(output, predictions, left, right)
    else:
        _draw_probabilities(predictions, left, right)
    figure.savefig(path, metadata={"Software": None})


def _draw_probabilities(predictions: Sequence[Prediction], left: Any, right: Any) -> None:
    truth, score = arrays(predictions)
    false, true = roc(truth, score)
    left.plot(false, true, color="#0072b2", label=f"AUROC {auroc(truth, score):.3f}")
    left.plot([0, 1], [0, 1], color="0.7", linewidth=0.8)
    left.set(xlabel="1 − specificity", ylabel="sensitivity", title=f"ROC, {len(truth)} cases", aspect="equal")
    left.legend(loc="lower right")
    tenths = reliability(truth, score)
    right.plot([0, 1], [0, 1], color="0.7", linewidth=0.8)
    right.scatter(
        [said for said, _, _ in tenths], [found for _, found, _ in tenths],
        s=[20 + 300 * n / len(truth) for _, _, n in tenths], color="#d55e00", alpha=0.8,
    )  # fmt: skip
    right.set(xlabel="probability said", ylabel="share that is so", title="calibration", xlim=(-0.05, 1.05))


def _draw_numbers(output: Output, predictions: Sequence[Prediction], left: Any, right: Any) -> None:
    truth, score = arrays(predictions)
    unit = "" if output.unit == "1" else f" ({output.unit})"
    ends = [min(truth.min(), score.min()), max(truth.max(), score.max())]
    left.plot(ends, ends, color="0.7", linewidth=0.8)
    left.scatter(truth, score, s=6, color="#0072b2", alpha=0.5)
    left.set(xlabel=f"true{unit}", ylabel=f"predicted{unit}", title=f"{output.code.meaning}, {len(truth)} cases")
    residual, middle = score - truth, (score + truth) / 2
    mean, spread = float(residual.mean()), 1.96 * float(residual.std(ddof=1) if len(residual) > 1 else 0.0)
    right.scatter(middle, residual, s=6, color="#d55e00", alpha=0.5)
    for level in (mean - spread, mean, mean + spread):
        right.axhline(level, color="0.4", linewidth=0.8, linestyle="-" if level == mean else "--")
    right.set(xlabel=f"mean of both{unit}", ylabel="predicted − true", title="Bland and Altman, 95 % limits")
    right.set_ylim(*(np.array([-1.1, 1.1]) * max(float(np.abs(residual).max()), 1e-9)))
