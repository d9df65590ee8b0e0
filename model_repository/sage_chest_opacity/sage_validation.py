"""Measures a gate on images kept out of training: does it fall as they are spoilt, and does it help who listens?"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sage_deformations import DEFORMATIONS, STRENGTHS
from sage_network import Sage
from sage_pool import Pool, Target, changed, images, view_of
from sage_training import measure
from scipy.stats import spearmanr

from shared.packages.validation.figures import auroc

SHARES = np.linspace(0, 0.5, 11)
PARTS = ("similarity", "knn", "reconstruction", "confidence")
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Scored:
    """What the gate says of images, as natural logarithms (n,) of similarity and its parts, and the package's answers.

    Logarithms keep apart what the outputs, as FP32 probabilities, round to nothing.
    """

    log: dict[str, Values]
    pool: Pool

    def only(self, rows: NDArray[np.generic]) -> "Scored":
        """The images at `rows`."""
        pool = Pool(self.pool.views[rows], self.pool.answers[rows], self.pool.labels[rows])
        return Scored({name: values[rows] for name, values in self.log.items()}, pool)


def score(sage: Sage, pool: Pool) -> Scored:
    """The gate's word on a pool."""
    with torch.no_grad():
        distance, error, confidence = (values[:, None] for values in measure(sage, pool.views))
        parts = sage.knn(distance), sage.reconstruction(error), sage.confidence(-confidence)
        columns = (sage.combined(-sum(parts)), *parts)
    return Scored({name: one[:, 0].double().numpy() for name, one in zip(PARTS, columns, strict=True)}, pool)


def spoilt(target: Target, data: Path | None, count: int, folder: Path) -> dict[str, list[Pool]]:
    """Images kept out, by change and strength (as STRENGTHS); made once and kept in `folder`."""
    path = folder / f"spoilt_{count}.npz"
    if not path.exists():
        found: dict[str, list[list[object]]] = {}
        for number, (image, label) in enumerate(images(target, data, "held_out", 0, count)):
            for name, change in DEFORMATIONS.items():
                for step, strength in enumerate(STRENGTHS):
                    pixels = change(image.array[0, 0], strength, np.random.default_rng((number, step)))
                    row = target.row(changed(image, pixels))
                    found.setdefault(f"{name}|{step}", []).append([view_of(row), target.answer(row), label])
            if number % 10 == 9:
                print(f"spoilt images: {number + 1} of {count}", flush=True)
        arrays = {
            f"{key}|{what}": np.stack([np.asarray(row[place]) for row in rows])
            for key, rows in found.items()
            for place, what in enumerate(("views", "answers", "labels"))
        }
        np.savez(path, **arrays)
    kept = np.load(path)
    return {
        name: [
            Pool(*(kept[f"{name}|{step}|{what}"] for what in ("views", "answers", "labels")))
            for step in range(len(STRENGTHS))
        ]
        for name in DEFORMATIONS
    }


def above(one: Values, other: Values) -> float:
    """Probability that a value of `one` lies above one of `other`: their AUROC."""
    return auroc(np.repeat([1.0, 0.0], [len(one), len(other)]), np.concatenate([one, other]))


def performance(target: Target, pool: Pool) -> float:
    """The package's accuracy on a pool or, where it gives a number in a unit, its mean absolute error."""
    answers = pool.answers.astype(np.float64)
    if not target.gives_probabilities:
        return float(np.abs(answers.mean(1) - pool.labels).mean())
    if answers.shape[1] > 1:
        return float((answers.argmax(1) == pool.labels).mean())
    return float(((answers[:, 0] >= (target.output.threshold or 0.5)) == (pool.labels > 0.5)).mean())


def discrimination(target: Target, pool: Pool) -> float | None:
    """The package's AUROC on a pool; None where its answer is not one probability, or one class is missing."""
    if not target.gives_probabilities or pool.answers.shape[1] > 1:
        return None
    area = auroc(pool.labels, pool.answers[:, 0])
    return None if np.isnan(area) else area


def rejection(target: Target, scored: Scored, by: str = "similarity") -> list[tuple[float, float, float | None]]:
    """(share rejected, performance, AUROC) of the package on what is kept, the lowest scores rejected first."""
    order = np.argsort(scored.log[by], kind="stable")
    curve = []
    for share in SHARES:
        kept = scored.only(order[int(share * len(order)) :]).pool
        curve.append((float(share), performance(target, kept), discrimination(target, kept)))
    return curve


def together(parts: Sequence[Scored]) -> Scored:
    """Several scored pools as one."""
    log = {name: np.concatenate([part.log[name] for part in parts]) for name in PARTS}
    pools = [part.pool for part in parts]
    fields = ("views", "answers", "labels")
    return Scored(log, Pool(*(np.concatenate([getattr(pool, field) for pool in pools]) for field in fields)))


def monotone(stairs: Sequence[Scored]) -> tuple[float, float]:
    """Spearman's correlation of strength and falling similarity: of the medians, and the mean over single images."""
    table = np.stack([stair.log["similarity"] for stair in stairs])  # (strengths, images)
    each = [spearmanr(STRENGTHS, -column).statistic for column in table.T]
    return float(spearmanr(STRENGTHS, -np.median(table, 1)).statistic), float(np.nan_to_num(each).mean())


def figures(
    target: Target, held_out: Scored, stairs: dict[str, list[Scored]], others: dict[str, Scored]
) -> dict[str, float]:
    """Everything that the card and [validation] state."""
    inside = held_out.log
    found: dict[str, float] = {"images": len(held_out.pool.labels)}
    found |= {
        "share_below_0_05": float((inside["similarity"] < np.log(0.05)).mean()),
        "share_below_0_01": float((inside["similarity"] < np.log(0.01)).mean()),
    }
    for name, steps in stairs.items():
        found[f"spearman_{name}"], found[f"spearman_{name}_each"] = monotone(steps)
    outside = together([step for steps in stairs.values() for step in steps[1:]])
    for part in PARTS:
        found[f"{part}_auroc"] = above(inside[part], outside.log[part])
    mean = {key: np.mean([np.exp(s.log[p]) for p in PARTS[1:]], 0) for key, s in (("in", held_out), ("out", outside))}
    found["auroc_spoilt_mean_of_parts"] = above(mean["in"], mean["out"])
    for name, steps in stairs.items():
        found[f"auroc_{name}_most"] = above(inside["similarity"], steps[-1].log["similarity"])
    for name, scored in others.items():
        found[f"auroc_{name}"] = above(inside["similarity"], scored.log["similarity"])
    mixed = together([held_out, *(step for steps in stairs.values() for step in steps[1:])])
    word = "accuracy" if target.gives_probabilities else "error"
    for name, scored in (("kept_out", held_out), ("mixed", mixed)):
        for share, value, area in rejection(target, scored):
            if round(100 * share) in (0, 10, 20, 50):
                found[f"{word}_{name}_{round(100 * share)}"] = value
                if area is not None:
                    found[f"reader_auroc_{name}_{round(100 * share)}"] = area
    return found
