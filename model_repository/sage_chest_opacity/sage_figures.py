"""Two small plots for the card: what is gained by rejecting low scores, and how the score falls."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sage_deformations import STRENGTHS
from sage_pool import Target
from sage_validation import SHARES, Scored, rejection, together

FLOOR = 1e-30  # of FP32, about
_STYLE = {
    "similarity": ("black", 2.5),
    "knn": ("#0072b2", 1.2),
    "reconstruction": ("#d55e00", 1.2),
    "confidence": ("#009e73", 1.2),
}


def draw_rejection(target: Target, held_out: Scored, stairs: dict[str, list[Scored]], path: Path) -> None:
    """The package's performance on what is kept, by each part and by all, on images kept out and on a mixture."""
    mixed = together([held_out, *(step for steps in stairs.values() for step in steps[1:])])
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), dpi=80, sharex=True)
    for axis, scored, title in (
        (axes[0], mixed, "kept out and spoilt together"),
        (axes[1], held_out, "kept out, as they are"),
    ):
        for part, (colour, width) in _STYLE.items():
            values = [value for _, value, _ in rejection(target, scored, part)]
            axis.plot(100 * SHARES, values, color=colour, linewidth=width, label=part)
        axis.set_title(title)
        axis.set_xlabel("lowest scores rejected, %")
        axis.grid(alpha=0.3)
    word = "accuracy" if target.gives_probabilities else "mean absolute error"
    axes[0].set_ylabel(f"{word} of {target.package.name}")
    axes[0].legend(frameon=False)
    _save(figure, path)


def draw_deformation(stairs: dict[str, list[Scored]], path: Path) -> None:
    """Similarity by strength: median and quartiles over the same images."""
    figure, axes = plt.subplots(2, 3, figsize=(9, 5), dpi=80, sharex=True, sharey=True)
    for axis, (name, steps) in zip(axes.flat, stairs.items(), strict=True):
        table = np.exp(np.stack([step.log["similarity"] for step in steps])).clip(FLOOR)
        low, middle, high = np.percentile(table, [25, 50, 75], axis=1)
        axis.fill_between(STRENGTHS, low, high, color="#0072b2", alpha=0.25)
        axis.plot(STRENGTHS, middle, color="#0072b2", marker="o", markersize=4)
        axis.axhline(0.05, color="#d55e00", linewidth=1, linestyle="--")
        axis.set_yscale("log")
        axis.set_title(name)
        axis.grid(alpha=0.3)
    for axis in axes[1]:
        axis.set_xlabel("strength")
    for axis in axes[:, 0]:
        axis.set_ylabel("similarity")
    _save(figure, path)


def _save(figure: plt.Figure, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)
