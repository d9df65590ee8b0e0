"""A picture of an output's figures: ROC and calibration of a probability, agreement and residuals of a number."""

from pathlib import Path
from typing import Any

import numpy as np

from shared.packages.validation.figures import Numbers, arrays, auroc, reliability, roc
from shared.packages.validation.judged import Judged

SMALLEST = 1e-38  # of FP32


def draw(one: Judged, path: Path) -> None:
    """Writes a PNG.

    Raises:
        ImportError: matplotlib is not installed: it comes with the `train` extra.
        OSError: it can't be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), dpi=90, layout="constrained")
    left, right = figure.subplots(1, 2)
    drawn = {"probability": _draw_probabilities, "number": _draw_numbers, "fitness": _draw_fitness}
    drawn[one.way](one, left, right)
    figure.savefig(path, metadata={"Software": None})


def _draw_roc(truth: Numbers, score: Numbers, axes: Any) -> None:
    false, true = roc(truth, score)
    axes.plot(false, true, color="#0072b2", label=f"AUROC {auroc(truth, score):.3f}")
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=0.8)
    axes.set(xlabel="1 − specificity", ylabel="sensitivity", title=f"ROC, {len(truth)} cases", aspect="equal")
    axes.legend(loc="lower right")


def _draw_probabilities(one: Judged, left: Any, right: Any) -> None:
    truth, score = arrays(one.cases)
    _draw_roc(truth, score, left)
    tenths = reliability(truth, score)
    right.plot([0, 1], [0, 1], color="0.7", linewidth=0.8)
    right.scatter(
        [said for said, _, _ in tenths], [found for _, found, _ in tenths],
        s=[20 + 300 * n / len(truth) for _, _, n in tenths], color="#d55e00", alpha=0.8,
    )  # fmt: skip
    right.set(xlabel="probability said", ylabel="share that is so", title="calibration", xlim=(-0.05, 1.05))


def _draw_fitness(one: Judged, left: Any, right: Any) -> None:
    truth, score = arrays(one.cases)
    _draw_roc(truth, score, left)
    left.set(xlabel="share of the unfit that passes", ylabel="share of the fit that passes")
    lowest = max(float(score.min()), SMALLEST)
    spread = lowest < 1e-3 * float(score.max())  # what is unlike anything known may score by powers of ten less
    places = np.log10(np.maximum(score, lowest)) if spread else score
    bins = np.linspace(float(places.min()), float(places.max()), 41)
    for called, colour, label in ((truth < 0.5, "#d55e00", "not fit"), (truth > 0.5, "#0072b2", "fit")):
        right.hist(places[called], bins=bins, color=colour, alpha=0.6, label=label)
    if one.threshold:
        line = float(np.log10(one.threshold)) if spread else one.threshold
        right.axvline(line, color="0.2", linewidth=0.8, linestyle="--", label=f"warns below {one.threshold:g}")
    right.set(xlabel="score, power of ten" if spread else "score", ylabel="cases", title=one.meaning)
    right.legend(loc="upper left")


def _draw_numbers(one: Judged, left: Any, right: Any) -> None:
    truth, score = arrays(one.cases)
    unit = "" if one.unit == "1" else f" ({one.unit})"
    ends = [min(truth.min(), score.min()), max(truth.max(), score.max())]
    left.plot(ends, ends, color="0.7", linewidth=0.8)
    left.scatter(truth, score, s=6, color="#0072b2", alpha=0.5)
    left.set(xlabel=f"true{unit}", ylabel=f"predicted{unit}", title=f"{one.meaning}, {len(truth)} cases")
    residual, middle = score - truth, (score + truth) / 2
    mean, spread = float(residual.mean()), 1.96 * float(residual.std(ddof=1) if len(residual) > 1 else 0.0)
    right.scatter(middle, residual, s=6, color="#d55e00", alpha=0.5)
    for level in (mean - spread, mean, mean + spread):
        right.axhline(level, color="0.4", linewidth=0.8, linestyle="-" if level == mean else "--")
    right.set(xlabel=f"mean of both{unit}", ylabel="predicted − true", title="Bland and Altman, 95 % limits")
    right.set_ylim(*(np.array([-1.1, 1.1]) * max(float(np.abs(residual).max()), 1e-9)))
