"""Measures slice_transformer on phantoms kept out: does it tell them apart, and do its weights point right?"""

import numpy as np
import torch
from network import SliceTransformer
from numpy.typing import NDArray
from pool import Scan, labels
from scipy.special import expit
from training import batch, predict

from shared.packages.validation.figures import auroc, figures_of, platt
from shared.packages.validation.predictions import Prediction

THRESHOLD = 0.5
COUNTS, RADII_MM = ((8, 15), (16, 30), (31, 60)), ((5, 7), (7, 9), (9, 12))
Weights = list[NDArray[np.float32]]


def calibrate(network: SliceTransformer, scans: list[Scan]) -> None:
    """Fold Platt's slope and intercept into the logit."""
    slope, intercept = platt(labels(scans), predict(network, scans)[0])
    with torch.no_grad():
        network.scale.mul_(slope)
        network.shift.mul_(slope).add_(intercept)


def cases(scans: list[Scan], logits: NDArray[np.float64], first_seed: int) -> list[Prediction]:
    """What was true and what was said of each phantom, with the strata of the report."""
    return [
        Prediction("nodule", str(first_seed + n), float(scan.positive), float(said), _strata_of(scan))
        for n, (scan, said) in enumerate(zip(scans, expit(logits), strict=True))
    ]


def _strata_of(scan: Scan) -> dict[str, str]:
    low, high = next(ends for ends in COUNTS if len(scan.slices) <= ends[1])
    strata = {"slices": f"{low:02d} to {high}"}
    if scan.positive:
        largest = float(scan.radii.max())
        strata["largest_radius"] = next(f"{low:02d} to {high} mm" for low, high in RADII_MM if largest <= high)
    return strata


def measure(network: SliceTransformer, scans: list[Scan]) -> dict[str, float]:
    """Figures of the package on `scans`."""
    logits, weights = predict(network, scans)
    return {
        **figures_of(cases(scans, logits, 0), THRESHOLD),
        **_pointing(scans, weights, logits),
        **_by_stratum(scans, logits),
        **_invariance(network, scans),
    }


def _pointing(scans: list[Scan], weights: Weights, logits: NDArray[np.float64]) -> dict[str, float]:
    """Where the weights of series with nodules lie, against slices taken blindly."""
    rows = [n for n, scan in enumerate(scans) if scan.positive]
    shows = [scans[n].shows for n in rows]
    hits = np.array([show[weights[n].argmax()] for show, n in zip(shows, rows, strict=True)])
    around = [np.convolve(show, [1, 1, 1], "same") > 0 for show in shows]
    return {
        "top_slice_hit": float(hits.mean()),
        "top_slice_hit_by_chance": float(np.mean([show.mean() for show in shows])),
        "top_slice_hit_where_found": float(hits[logits[rows] >= 0].mean()),
        "top_slice_within_one": float(np.mean([a[weights[n].argmax()] for a, n in zip(around, rows, strict=True)])),
        "weight_on_nodule_slices": float(
            np.mean([weights[n][show].sum() for show, n in zip(shows, rows, strict=True)])
        ),
    }


def _by_stratum(scans: list[Scan], logits: NDArray[np.float64]) -> dict[str, float]:
    """AUROC by the number of slices, and by the largest nodule's radius against all series without."""
    truth, counts = labels(scans), np.array([len(scan.slices) for scan in scans])
    radii = np.array([max(scan.radii, default=0.0) for scan in scans])
    parts = {f"auroc_{low}_to_{high}_slices": (counts >= low) & (counts <= high) for low, high in COUNTS} | {
        f"auroc_radius_{low}_to_{high}_mm": (truth < 0.5) | ((radii > low) & (radii <= high)) for low, high in RADII_MM
    }
    return {name: auroc(truth[rows], logits[rows]) for name, rows in parts.items()}


def _invariance(network: SliceTransformer, scans: list[Scan]) -> dict[str, float]:
    """The largest change that padding makes, and the largest difference of the weights' sum from one."""
    changed, sums = [], []
    network.eval()
    with torch.no_grad():
        for scan in scans[:20]:
            slices, mask = batch([scan])
            padding = torch.rand(1, 1, 9, *slices.shape[3:])
            logit, weight = network(slices, mask)
            padded = network(torch.cat([slices, padding], 2), torch.cat([mask, torch.zeros(1, 9)], 1))
            changed += [float((padded[0] - logit).abs()), float((padded[1][:, : mask.shape[1]] - weight).abs().max())]
            sums.append(abs(float(weight.double().sum()) - 1))
    return {"padding_error": max(changed), "weight_sum_error": max(sums)}
