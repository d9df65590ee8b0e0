"""Measures the exported motion gate on subjects that training never saw, and writes the figures of the card."""

import json
import time
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import onnxruntime
from motion_cases import cases
from motion_pairs import HELD_OUT, Pair, Series, draw_severity, load_series, make_pair, phantom_series, read_slice
from numpy.typing import NDArray
from scipy.stats import spearmanr

from shared.packages.validation.predictions import write_predictions

STAIRS = (0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
"""Severities through which each slice is taken for the rank correlation."""
DRAWS = 6
"""Moved versions of each held-out slice."""
CLIMBERS = 40
"""At most about so many slices of a group climb the stairs."""
HELD_OUT_HEADS = range(9000, 9004)
PAPER = {"mean": -0.0009, "sigma": 0.0139, "accuracy_3": 0.97, "accuracy_5": 0.95, "accuracy_10": 0.89}
Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Scored:
    """What one group of held-out slices gave."""

    name: str
    truth: Vector
    predicted: Vector
    still: Vector
    pairs: list[Pair]
    spearman: float
    spearman_pooled: float


def open_model(path: Path) -> onnxruntime.InferenceSession:
    """The exported network on two threads of the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def predict(model: onnxruntime.InferenceSession, pairs: list[Pair], batch: int = 16) -> Vector:
    """Scores of pairs that may differ in size, in their order."""
    scores = np.zeros(len(pairs))
    for shape in {p.image.shape for p in pairs}:
        places = [i for i, p in enumerate(pairs) if p.image.shape == shape]
        for first in range(0, len(places), batch):
            some = places[first : first + batch]
            stack = np.stack([pairs[i].image for i in some])[:, None].astype(np.float32)
            scores[some] = np.asarray(model.run(["ssim"], {"image": stack})[0])[:, 0]
    return scores


def generator_of(series: list[Series], name: str) -> np.random.Generator:
    """What draws the motion of a group: the same group is always moved alike."""
    return np.random.default_rng([17, len(name), sum(len(s.slices) for s in series)])


def score_series(model: onnxruntime.InferenceSession, series: list[Series], name: str, draws: int) -> Scored:
    """Residuals on random motion, scores of the still slices, and rank correlation on growing motion."""
    rng = generator_of(series, name)
    clean = [one for s in series for one in s.slices]
    pairs = [make_pair(one, draw_severity(rng), rng) for one in clean for _ in range(draws)]
    still = [make_pair(one, 0.0, rng) for one in clean]
    climbers = clean[:: max(1, len(clean) // CLIMBERS)]
    stairs = [make_pair(one, s, np.random.default_rng(i)) for i, one in enumerate(climbers) for s in STAIRS]
    climbed = predict(model, stairs).reshape(len(climbers), len(STAIRS))
    each = [spearmanr(-np.array(STAIRS), row).statistic for row in climbed]
    pooled = spearmanr(np.tile(-np.array(STAIRS), len(climbers)), climbed.ravel()).statistic
    truth = np.array([p.ssim for p in pairs])
    said = predict(model, pairs), predict(model, still)
    return Scored(name, truth, *said, pairs, float(np.mean(each)), float(pooled))


def figures(scored: Scored) -> dict[str, float]:
    """The card's row: residual (predicted − true) mean and sigma, class accuracies, rank correlations."""
    residual = scored.predicted - scored.truth
    row = {"slices": len(residual), "mean": residual.mean(), "sigma": residual.std()}
    row |= {"mean_absolute": np.abs(residual).mean(), "correlation": np.corrcoef(scored.truth, scored.predicted)[0, 1]}
    row |= {f"accuracy_{n}": accuracy(scored.truth, scored.predicted, n) for n in (3, 5, 10)}
    row |= {"spearman": scored.spearman, "spearman_pooled": scored.spearman_pooled}
    row |= {"still_mean": scored.still.mean(), "still_p10": np.percentile(scored.still, 10)}
    return {key: round(float(value), 4) for key, value in row.items()}


def accuracy(truth: Vector, predicted: Vector, classes: int) -> float:
    """Share of slices whose predicted SSIM lies in the true one's class: `classes` equal parts of 0 to 1."""
    edges = np.linspace(0, 1, classes + 1)[1:-1]
    return float((np.digitize(truth, edges) == np.digitize(predicted, edges)).mean())


def merged(parts: list[Scored], name: str) -> Scored:
    """Several groups as one; rank correlations averaged by number of slices."""
    weights = [len(p.still) for p in parts]
    return Scored(
        name,
        np.concatenate([p.truth for p in parts]),
        np.concatenate([p.predicted for p in parts]),
        np.concatenate([p.still for p in parts]),
        [pair for p in parts for pair in p.pairs],
        float(np.average([p.spearman for p in parts], weights=weights)),
        float(np.average([p.spearman_pooled for p in parts], weights=weights)),
    )


def seconds_for(model: onnxruntime.InferenceSession, slices: int = 170) -> float:
    """Seconds to score a series of 256×256 slices in batches of 16."""
    image = np.random.default_rng(0).random((16, 1, 256, 256), np.float32)
    model.run(None, {"image": image})
    began = time.perf_counter()
    for first in range(0, slices, 16):
        model.run(None, {"image": image[: min(16, slices - first)]})
    return round(time.perf_counter() - began, 2)


def validate(model_path: Path, data: Path, out: Path, look: Path | None) -> dict[str, object]:
    """Write validation.csv and .json, a table for the card (validation.md) and residuals.png below `out`."""
    model = open_model(model_path)
    people = [s for s in load_series(data) if s.subject in HELD_OUT]
    rows = [score_series(model, [s], s.name, DRAWS) for s in people]
    told = [cases(one, row.pairs, row.predicted) for one, row in zip(people, rows, strict=True)]
    write_predictions(out / "validation.csv", chain.from_iterable(told))
    real = merged(rows, "all people kept out")
    heads = [phantom_series(seed) for seed in HELD_OUT_HEADS]
    generated = score_series(model, heads, "generated heads", 2)
    shown = [*rows, real, generated]
    if look is not None:
        slices = [one for path in sorted(look.iterdir()) for one in read_slice(path)]
        shown.append(score_series(model, [Series(look.name, "look", "people", slices)], f"{look.name} (final look)", 2))
    table = {s.name: figures(s) for s in shown}
    result: dict[str, object] = {"paper": PAPER, "series": table, "seconds_170_slices": seconds_for(model)}
    (out / "validation.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (out / "validation.md").write_text(as_table(table), encoding="utf-8")
    draw(real, shown[-1], out / "residuals.png")
    print(as_table(table), f"170 slices: {result['seconds_170_slices']} s", flush=True)
    return result


def as_table(table: dict[str, dict[str, float]]) -> str:
    """The figures as a Markdown table."""
    keys = list(next(iter(table.values())))
    lines = ["| slices of | " + " | ".join(keys) + " |", "| --- |" + " --- |" * len(keys)]
    lines += [f"| {name} | " + " | ".join(f"{row[k]:g}" for k in keys) + " |" for name, row in table.items()]
    return "\n".join(lines) + "\n"


def draw(real: Scored, other: Scored, path: Path) -> None:
    """Predicted against true SSIM and the residuals, as a picture of less than 200 kB."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 4), dpi=90)
    for scored, colour in ((real, "#1f6f8b"), (other, "#d9822b")):
        left.plot(scored.truth, scored.predicted, ".", ms=2, alpha=0.5, color=colour, label=scored.name)
        residual = scored.predicted - scored.truth
        label = f"mean {residual.mean():+.4f}, sigma {residual.std():.4f}"
        right.hist(residual, bins=np.linspace(-0.15, 0.15, 61), density=True, alpha=0.5, color=colour, label=label)
    left.plot([0.2, 1], [0.2, 1], color="black", lw=0.6)
    left.set(xlabel="true SSIM", ylabel="predicted SSIM", xlim=(0.2, 1.01), ylim=(0.2, 1.01))
    right.set(xlabel="residual (predicted − true)", ylabel="density")
    for axes in (left, right):
        axes.legend(fontsize=7, markerscale=4, frameon=False)
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)
