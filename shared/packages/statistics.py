"""The figures that recipes and validations state, each worked out in this one place."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import rankdata

Values = NDArray[np.floating]


def auroc(labels: Values, scores: Values) -> float:
    """Area under the ROC curve by ranks (Mann-Whitney; ties count half); NaN where one of the classes is missing."""
    positive = labels > 0.5
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not positives or not negatives:
        return float("nan")
    ranks = rankdata(scores)
    return float((ranks[positive].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def roc(labels: Values, scores: Values) -> tuple[Values, Values]:
    """False and true positive rates, from (0, 0) to (1, 1), a point for each distinct score."""
    order = np.argsort(-scores, kind="stable")
    positive = labels[order] > 0.5
    last = np.append(np.diff(scores[order]) != 0, True)  # where the next score is another
    hits, alarms = np.cumsum(positive)[last], np.cumsum(~positive)[last]
    return np.append(0, alarms / max(alarms[-1], 1)), np.append(0, hits / max(hits[-1], 1))


def bootstrap_interval(
    figure: Callable[[Values, Values], float],
    labels: Values,
    scores: Values,
    *,
    seed: int = 0,
    rounds: int = 2000,
    level: float = 0.95,
) -> tuple[float, float]:
    """Between which values `figure(labels, scores)` lies in `level` of the draws of as many cases with replacement."""
    rng = np.random.default_rng(seed)
    drawn = (rng.integers(len(labels), size=len(labels)) for _ in range(rounds))
    found = [figure(labels[rows], scores[rows]) for rows in drawn]
    low, high = np.nanquantile(found, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)


def brier(labels: Values, probabilities: Values) -> float:
    """Mean squared difference of probability and label."""
    return float(np.mean((probabilities - labels) ** 2))


def reliability(labels: Values, probabilities: Values, bins: int = 10) -> list[tuple[float, float, int]]:
    """For each bin of equal width that holds any: mean probability, share of positives, number of cases."""
    place = np.minimum((probabilities * bins).astype(int), bins - 1)
    held = [place == number for number in range(bins) if (place == number).any()]
    return [(float(probabilities[rows].mean()), float(labels[rows].mean()), int(rows.sum())) for rows in held]


def calibration_error(labels: Values, probabilities: Values, bins: int = 10) -> float:
    """Expected calibration error: |mean probability - share of positives|, each bin weighted by its cases."""
    rows = reliability(labels, probabilities, bins)
    return float(sum(count * abs(mean - share) for mean, share, count in rows) / len(labels))


def platt(labels: Values, logits: Values) -> tuple[float, float]:
    """Slope and intercept that make the likeliest probabilities of logits (Platt 1999), by maximum likelihood."""
    spread = float(np.std(logits)) or 1.0

    def loss(line: NDArray[np.float64]) -> float:
        return float(np.mean(np.logaddexp(0, (1 - 2 * labels) * (line[0] * logits / spread + line[1]))))

    slope, intercept = minimize(loss, np.array([1.0, 0.0])).x
    return float(slope / spread), float(intercept)


def binary_figures(labels: Values, logits: Values, threshold: float = 0.5) -> dict[str, float]:
    """What a binary reader states: AUROC with its 95 % interval, sensitivity and specificity, calibration."""
    probabilities, positive = expit(logits), labels > 0.5
    low, high = bootstrap_interval(auroc, labels, logits)
    return {
        "auroc": auroc(labels, logits),
        "auroc_low": low,
        "auroc_high": high,
        "sensitivity": float((probabilities[positive] >= threshold).mean()),
        "specificity": float((probabilities[~positive] < threshold).mean()),
        "brier": brier(labels, probabilities),
        "calibration_error": calibration_error(labels, probabilities),
    }
