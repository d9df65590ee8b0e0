"""Trains the transformer and a 3D ResNet of as many parameters on few series, in the same CPU time."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from network import ResNet3D, SliceTransformer
from pool import Scan, labels
from torch import nn
from training import predict, train
from warm_up import warm_up

from shared.packages.validation.figures import auroc

FEW = 80
MINUTES, WARM_UP_MINUTES, PATIENCE = 2.0, 0.75, 3


def compare_on_few(scans: list[Scan], held_out: list[Scan], out: Path, seeds: int) -> dict[str, float]:
    """AUROC of both on `held_out` after FEW of `scans`, over `seeds` seeds: mean and standard deviation.

    With the first seed also: the transformer without its warm-up, and the 3D ResNet for PATIENCE times as long.
    """
    few, figures = scans[:FEW], {"few_series": float(FEW)}
    found: dict[str, list[float]] = {"few_transformer": [], "few_resnet_3d": []}
    for seed in range(seeds):
        found["few_transformer"].append(
            _trained(SliceTransformer, few, held_out, out / f"few_transformer_{seed}", seed)
        )
        found["few_resnet_3d"].append(_trained(ResNet3D, few, held_out, out / f"few_resnet_3d_{seed}", seed))
    for name, areas in found.items():
        figures[f"{name}_auroc"] = float(np.mean(areas))
        figures[f"{name}_auroc_sd"] = float(np.std(areas, ddof=1)) if seeds > 1 else 0.0
    cold, patient = "few_transformer_without_warm_up", f"few_resnet_3d_{PATIENCE}_times_as_long"
    figures[f"{cold}_auroc"] = _trained(SliceTransformer, few, held_out, out / cold, 0, warm=0.0)
    figures[f"{patient}_auroc"] = _trained(ResNet3D, few, held_out, out / patient, 0, minutes=PATIENCE * MINUTES)
    return figures


def _trained(
    kind: Callable[[], nn.Module],
    few: list[Scan],
    held_out: list[Scan],
    path: Path,
    seed: int,
    *,
    minutes: float = MINUTES,
    warm: float = WARM_UP_MINUTES,
) -> float:
    """AUROC on `held_out` after `minutes` of CPU, of which a transformer spends `warm` on its warm-up."""
    torch.manual_seed(1000 + seed)
    network = kind()
    if isinstance(network, SliceTransformer) and warm:
        warm_up(network, few, path.with_name(f"{path.name}_warm_up.pt"), 1000 + seed, warm)
        minutes -= warm
    train(network, few, path.with_name(f"{path.name}.pt"), 1000 + seed, minutes)
    area = auroc(labels(held_out), predict(network, held_out)[0])
    print(f"{path.name}: AUROC {area:.3f}", flush=True)
    return area
