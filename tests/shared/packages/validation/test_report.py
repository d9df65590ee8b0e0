"""Figures against scikit-learn's and SciPy's own, and the report in the card."""

import warnings
from copy import copy
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from shared.packages.folder import load_package
from shared.packages.output_tables import Label
from shared.packages.validation.figures import arrays, auroc, figures_of, icc, platt, reliability, roc
from shared.packages.validation.judged import Judged, judged, measured
from shared.packages.validation.predictions import Prediction, read_predictions, write_predictions
from shared.packages.validation.report import put_into_card, report

metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is in the dev extra only")


def cases(n=200, seed=0):
    """Probabilities that part well, with ties, and two strata."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, 2, n)
    score = np.round(np.clip(0.5 + 0.25 * (2 * truth - 1) + generator.normal(0, 0.25, n), 0, 1), 2)
    return [
        Prediction("opacity", str(i), float(t), float(s), {"sex": "FM"[i % 2], "vendor": "A" if i else "B"})
        for i, (t, s) in enumerate(zip(truth, score, strict=True))
    ]


def test_figures_of_probabilities_are_those_of_scikit_learn():
    truth, score = arrays(cases())
    found = figures_of(cases(), 0.5)
    assert found["auroc"] == pytest.approx(metrics.roc_auc_score(truth, score))
    assert found["brier"] == pytest.approx(metrics.brier_score_loss(truth, score))
    assert found["sensitivity"] == pytest.approx(metrics.recall_score(truth, score >= 0.5))
    assert found["auroc_low"] < found["auroc"] < found["auroc_high"]
    false, true = roc(truth, score)
    assert metrics.auc(false, true) == pytest.approx(found["auroc"])


def test_one_class_alone_has_no_auroc():
    assert np.isnan(auroc(np.ones(5), np.arange(5.0)))
    with warnings.catch_warnings(action="error"):
        assert np.isnan(figures_of([line for line in cases() if line.truth], 0.5)["auroc_low"])


def test_reliability_is_the_share_in_each_tenth():
    assert reliability(np.array([0.0, 1, 1]), np.array([0.05, 0.92, 0.98])) == [(0.05, 0.0, 1), (0.95, 1.0, 2)]


def test_platt_finds_the_line_that_made_the_labels():
    generator = np.random.default_rng(2)
    logits = generator.normal(0, 2, 20_000)
    truth = (generator.random(20_000) < 1 / (1 + np.exp(0.4 - 0.7 * logits))).astype(float)
    assert platt(truth, logits) == (pytest.approx(0.7, abs=0.04), pytest.approx(-0.4, abs=0.06))


def test_figures_of_numbers():
    truth = np.linspace(0, 60, 50)
    score = truth + np.random.default_rng(1).normal(1.0, 2.0, 50)
    found = figures_of([Prediction("angle", "", t, s) for t, s in zip(truth, score, strict=True)], None)
    assert found["mean_absolute_error"] == pytest.approx(metrics.mean_absolute_error(truth, score))
    assert found["residual_sigma"] == pytest.approx(np.std(score - truth, ddof=1))
    assert found["spearman"] == pytest.approx(stats.spearmanr(truth, score).statistic)


def test_icc_is_that_of_the_published_example():
    """Shrout and Fleiss 1979, table 2, for two of the raters, beside the formula by analysis of variance."""
    one, other = np.array([9.0, 6, 8, 7, 10, 6]), np.array([2.0, 1, 4, 1, 5, 2])
    n, total = 6, np.concatenate([one, other])
    rows, raters = 2 * np.var((one + other) / 2) * n, n * np.var([one.mean(), other.mean()]) * 2
    error = total.var() * 2 * n - rows - raters
    msr, msc, mse = rows / (n - 1), raters, error / (n - 1)
    assert icc(one, other) == pytest.approx((msr - mse) / (msr + mse + 2 * (msc - mse) / n))


def test_predictions_come_back(tmp_path):
    write_predictions(tmp_path / "validation.csv", cases(5))
    assert read_predictions(tmp_path / "validation.csv") == cases(5)


@pytest.mark.parametrize(
    ("text", "said"),
    [("output,case,score\n", "no column truth"), ("output,case,truth,score\na,1,yes,0.5\n", ":2: truth is no number")],
)
def test_predictions_that_are_none_are_told(tmp_path, text, said):
    (tmp_path / "validation.csv").write_text(text)
    with pytest.raises(ValueError, match=said):
        read_predictions(tmp_path / "validation.csv")


def test_the_report_stands_once_in_the_card_and_the_author_s_text_stays(tmp_path, pytestconfig):
    package = load_package(pytestconfig.rootpath / "model_repository" / "chest_opacity")
    card = tmp_path / "README.md"
    card.write_text("# A card\n\nWritten by hand.\n")
    for seed in (0, 1):
        put_into_card(card, report(package, cases(seed=seed), "made-up cases", {"opacity": "curves.png"}))
    text = card.read_text()
    assert text.count("## Validation report, version 1.0.0") == 1
    assert "Written by hand." in text
    assert "| sex F | 100 |" in text
    assert "| vendor B | 1 | too few |" in text
    assert "(curves.png)" in text


def test_one_class_alone_has_no_calibration():
    of_positives = figures_of([line for line in cases() if line.truth], 0.5)
    assert np.isnan(of_positives["calibration_error"])
    assert np.isnan(of_positives["brier"])
    assert of_positives["sensitivity"] > 0.5


def test_a_gate_s_number_is_judged_by_what_it_lets_pass_and_warns_of(pytestconfig):
    gate = load_package(pytestconfig.rootpath / "model_repository" / "sage_chest_opacity")
    lines = [
        Prediction("similarity", str(n), float(n < 6), score) for n, score in enumerate([0.9, 0.6, 0.5, 0.3, 0.04])
    ]
    lines += [Prediction("similarity", str(n), float(n < 6), score) for n, score in ((5, 0.2), (6, 0.07), (7, 1e-20))]
    lines += [Prediction("knn", "0", 1.0, 0.5), Prediction("knn", "1", 0.0, 0.4)]
    found = measured(gate, lines)
    assert (found["similarity"]["fit_passed"], found["similarity"]["unfit_warned"]) == (5 / 6, 1 / 2)
    assert found["similarity"]["auroc"] == pytest.approx(11 / 12)
    assert found["knn"]["auroc"] == 1.0
    assert np.isnan(found["knn"]["fit_passed"]), "no threshold is of this one"


def test_each_label_of_several_has_figures_of_its_own(pytestconfig):
    package = load_package(pytestconfig.rootpath / "model_repository" / "chest_opacity")
    output = package.manifest.outputs[0]
    labels = [Label(name=name, code=output.code, threshold=at) for name, at in (("left", 0.9), ("right", None))]
    several = output.model_copy(update={"kind": "multilabel", "labels": labels})
    package = copy(package)
    package.manifest = package.manifest.model_copy(update={"outputs": [several]})
    found = judged(package, [replace(line, output=f"opacity.{side}") for line in cases() for side in ("left", "right")])
    assert [(one.name, one.threshold, len(one.cases)) for one in found] == [
        ("opacity.left", 0.9, 200),
        ("opacity.right", 0.5, 200),
    ]
    assert found[0].figures(found[0].cases)["sensitivity"] < found[1].figures(found[1].cases)["sensitivity"]


@pytest.mark.parametrize("way", ["probability", "number", "fitness"])
def test_pictures_are_drawn(tmp_path, way):
    pytest.importorskip("matplotlib", reason="matplotlib is in the train extra only")
    from shared.packages.validation.pictures import draw

    draw(Judged("opacity", "Opacity", "1", way, 0.5, cases()), tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
