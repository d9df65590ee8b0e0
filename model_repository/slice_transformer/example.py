"""Draws what slice_transformer's card shows: one series with the weights of its slices."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from network import SliceTransformer
from pool import SIZE, Scan
from scipy.special import expit
from training import predict

SHOWN = 8


def draw_example(network: SliceTransformer, scans: list[Scan], path: Path) -> None:
    """Slices of the first series of 16 to 24 slices in which one nodule was found, and the weights of all of them."""
    logits, weights = predict(network, scans)
    row = next(n for n, s in enumerate(scans) if len(s.radii) == 1 and 16 <= len(s.slices) <= 24 and logits[n] > 0)
    scan, weight = scans[row], weights[row]
    figure = plt.figure(figsize=(11, 4.2), dpi=80)
    grid = figure.add_gridspec(2, SHOWN, height_ratios=[1, 1.1])
    first = int(np.clip(weight.argmax() - SHOWN // 2, 0, len(weight) - SHOWN))
    for place, number in enumerate(range(first, first + SHOWN)):
        axes = figure.add_subplot(grid[0, place])
        axes.imshow(scan.slices[number], cmap="gray", vmin=0, vmax=255)
        axes.set_title(f"{number + 1}: {weight[number]:.2f}", fontsize=9)
        axes.axis("off")
        if scan.shows[number]:
            centre = scan.places[0, 2], scan.places[0, 1]
            axes.add_patch(plt.Circle(centre, 1.6 * scan.radii[0] * SIZE / 350, fill=False, color="cyan"))
    axes = figure.add_subplot(grid[1, :])
    numbers = np.arange(1, len(weight) + 1)
    axes.bar(numbers, weight, color=np.where(scan.shows, "tab:cyan", "lightgrey"), edgecolor="grey", linewidth=0.5)
    axes.set(xlabel="slice (cyan: shows the planted nodule)", ylabel="weight", xlim=(0.4, len(weight) + 0.6))
    axes.set_title(f"probability {expit(logits[row]):.2f}", fontsize=10)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)
