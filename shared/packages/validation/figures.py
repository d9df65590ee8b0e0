"""Figures of predictions: how well probabilities part and how true they are, how far off numbers lie."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from shared.packages.validation.predictions import Prediction

Figures = dict[str, float]
Numbers = NDArray[np.float64]
BINS = 10
RESAMPLES = 1000


def arrays(predictions: Sequence[Prediction]) -> tuple[Numbers, Numbers]:
    """Truth and score, (n,) each."""
    return np.array([p.truth for p in predictions], np.float64), np.array([p.score for p in predictions], np.float64)


def figures_of(predictions: Sequence[Prediction], threshold: float | None) -> Figures:
    """The figures of one output's predictions: of a probability with its `threshold`, of a number without."""
    truth, score = arrays(predictions)
    return _of_numbers(truth, score) if threshold is None else _of_probabilities(truth, score, threshold)


def figures_of_fitness(predictions: Sequence[Prediction], warn_below: float | None) -> Figures:
    """How well a gate's number tells cases that are fit (truth 1) from those that are not; NaN without a threshold."""
    truth, score = arrays(predictions)
    fit = truth > 0.5
    passed = score >= (np.nan if warn_below is None else warn_below)
    low, high = interval(auroc, truth, score)
    told = warn_below is not None
    return {
        "cases": len(truth),
        "fit": int(fit.sum()),
        "auroc": auroc(truth, score),
        "auroc_low": low,
        "auroc_high": high,
        "fit_passed": _share(passed[fit]) if told else float("nan"),
        "unfit_warned": _share(~passed[~fit]) if told else float("nan"),
    }


def auroc(truth: Numbers, score: Numbers) -> float:
    """Area under the ROC curve by ranks (Mann-Whitney); NaN where only one class is there."""
    positive = truth > 0.5
    n, m = int(positive.sum()), int((~positive).sum())
    if not n or not m:
        return float("nan")
    ranks = stats.rankdata(score)
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * m))


def interval(
    statistic: Callable[[Numbers, Numbers], float], truth: Numbers, score: Numbers, seed: int = 0
) -> tuple[float, float]:
    """The middle 95 % of `statistic` over 1,000 resamples of the cases with replacement (percentile bootstrap)."""
    generator = np.random.default_rng(seed)
    drawn = (generator.integers(0, len(truth), len(truth)) for _ in range(RESAMPLES))
    values = [statistic(truth[rows], score[rows]) for rows in drawn]
    if np.isnan(values).all():
        return float("nan"), float("nan")
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)


def roc(truth: Numbers, score: Numbers) -> tuple[Numbers, Numbers]:
    """False and true positive rate at every threshold, from none called to all."""
    order = np.argsort(-score, kind="stable")
    positive = truth[order] > 0.5
    last = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)  # equal scores are called together
    rates = [np.cumsum(side)[last] / max(1, side.sum()) for side in (~positive, positive)]
    return np.append(0.0, rates[0]), np.append(0.0, rates[1])


def reliability(truth: Numbers, score: Numbers) -> list[tuple[float, float, int]]:
    """Mean probability, share that is true, and cases, of each tenth of the scale that holds any."""
    bins = np.clip((score * BINS).astype(int), 0, BINS - 1)
    found = [(score[bins == b], truth[bins == b]) for b in range(BINS)]
    return [(float(s.mean()), float(t.mean()), len(s)) for s, t in found if len(s)]


def platt(truth: Numbers, logits: Numbers) -> tuple[float, float]:
    """Slope and intercept that make the likeliest probabilities of logits (Platt 1999)."""
    spread = float(np.std(logits)) or 1.0

    def loss(line: Numbers) -> float:
        return float(np.mean(np.logaddexp(0, (1 - 2 * truth) * (line[0] * logits / spread + line[1]))))

    slope, intercept = optimize.minimize(loss, np.array([1.0, 0.0])).x
    return float(slope / spread), float(intercept)


def _of_probabilities(truth: Numbers, score: Numbers, threshold: float) -> Figures:
    positive, called = truth > 0.5, score >= threshold
    low, high = interval(auroc, truth, score)
    tenths = reliability(truth, score)
    both = 0 < int(positive.sum()) < len(truth)  # of one class alone, sure and right is all there is to be
    return {
        "cases": len(truth),
        "positives": int(positive.sum()),
        "auroc": auroc(truth, score),
        "auroc_low": low,
        "auroc_high": high,
        "sensitivity": _share(called[positive]),
        "specificity": _share(~called[~positive]),
        "brier": float(np.mean((score - truth) ** 2)) if both else float("nan"),
        "calibration_error": sum(n * abs(s - t) for s, t, n in tenths) / len(truth) if both else float("nan"),
    }


def _of_numbers(truth: Numbers, score: Numbers) -> Figures:
    residual = score - truth
    several = len(truth) > 1
    return {
        "cases": len(truth),
        "residual_mean": float(residual.mean()),
        "residual_sigma": float(residual.std(ddof=1)) if several else float("nan"),
        "mean_absolute_error": float(np.abs(residual).mean()),
        "largest_error": float(np.abs(residual).max()),
        "pearson": _correlation(stats.pearsonr, truth, score),
        "spearman": _correlation(stats.spearmanr, truth, score),
        "icc": icc(truth, score) if several else float("nan"),
    }


def icc(truth: Numbers, score: Numbers) -> float:
    """ICC(2,1): two-way random effects, absolute agreement, single rater (Shrout and Fleiss 1979)."""
    table = np.column_stack([truth, score])
    n, k = table.shape
    total = table.mean()
    rows = k * float(((table.mean(1) - total) ** 2).sum()) / (n - 1)
    raters = n * float(((table.mean(0) - total) ** 2).sum()) / (k - 1)
    rest = table - table.mean(1, keepdims=True) - table.mean(0, keepdims=True) + total
    error = float((rest**2).sum()) / ((n - 1) * (k - 1))
    spread = rows + (k - 1) * error + k * (raters - error) / n
    return (rows - error) / spread if spread else float("nan")


def _share(called: NDArray[np.bool_]) -> float:
    return float(called.mean()) if len(called) else float("nan")


def _correlation(of: Callable[[Numbers, Numbers], object], truth: Numbers, score: Numbers) -> float:
    if len(truth) < 3 or np.ptp(truth) == 0 or np.ptp(score) == 0:
        return float("nan")
    return float(of(truth, score).statistic)  # type: ignore[attr-defined]
