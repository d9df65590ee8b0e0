"""The figures agree with SciPy's and with what can be worked out by hand."""

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import mannwhitneyu

from shared.packages.statistics import (
    auroc,
    binary_figures,
    bootstrap_interval,
    brier,
    calibration_error,
    platt,
    reliability,
    roc,
)

RNG = np.random.default_rng(5)
LABELS = (RNG.random(400) < 0.4).astype(float)
SCORES = np.round(LABELS * 1.2 + RNG.standard_normal(400), 1)  # rounded: ties


def test_auroc_is_mann_whitney_s_u_and_the_area_under_the_curve() -> None:
    u = mannwhitneyu(SCORES[LABELS > 0.5], SCORES[LABELS < 0.5]).statistic
    assert auroc(LABELS, SCORES) == pytest.approx(u / ((LABELS > 0.5).sum() * (LABELS < 0.5).sum()))
    alarms, hits = roc(LABELS, SCORES)
    assert np.trapezoid(hits, alarms) == pytest.approx(auroc(LABELS, SCORES))
    assert (alarms[0], hits[0], alarms[-1], hits[-1]) == (0, 0, 1, 1)
    assert auroc(np.array([0.0, 1.0, 1.0]), np.array([0.0, 1.0, 2.0])) == 1
    assert np.isnan(auroc(np.ones(3), np.arange(3.0)))


def test_the_interval_holds_the_figure_and_narrows_with_more_cases() -> None:
    low, high = bootstrap_interval(auroc, LABELS, SCORES, rounds=400)
    few_low, few_high = bootstrap_interval(auroc, LABELS[:60], SCORES[:60], rounds=400)
    assert low < auroc(LABELS, SCORES) < high
    # Hanley and McNeil's standard error of an area near 0.8 with 160 and 240 cases is 0.022
    assert 0.06 < high - low < 0.12
    assert few_high - few_low > 1.8 * (high - low)
    assert bootstrap_interval(auroc, LABELS, SCORES, rounds=400) == (low, high)


def test_platt_finds_the_line_that_made_the_labels() -> None:
    logits = RNG.normal(0, 2, 20_000)
    drawn = (RNG.random(20_000) < expit(0.7 * logits - 0.4)).astype(float)
    slope, intercept = platt(drawn, logits)
    assert slope == pytest.approx(0.7, abs=0.04)
    assert intercept == pytest.approx(-0.4, abs=0.06)
    assert calibration_error(drawn, expit(slope * logits + intercept)) < 0.02
    assert calibration_error(drawn, expit(3 * logits)) > 0.05


def test_brier_and_reliability_by_hand() -> None:
    labels, said = np.array([0.0, 1.0, 1.0, 0.0]), np.array([0.1, 0.12, 1.0, 0.95])
    assert brier(labels, said) == pytest.approx((0.01 + 0.88**2 + 0 + 0.95**2) / 4)
    assert reliability(labels, said) == [(pytest.approx(0.11), 0.5, 2), (pytest.approx(0.975), 0.5, 2)]


def test_what_a_binary_reader_states() -> None:
    figures = binary_figures(LABELS, SCORES * 2 - 1.2)
    assert figures["auroc_low"] < figures["auroc"] < figures["auroc_high"]
    assert figures["sensitivity"] == (SCORES[LABELS > 0.5] >= 0.6).mean()
    assert figures["specificity"] == (SCORES[LABELS < 0.5] < 0.6).mean()
