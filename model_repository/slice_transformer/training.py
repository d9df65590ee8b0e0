"""Trains either network of slice_transformer from the series' label alone, for so many CPU minutes, resumably."""

import math
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pool import Scan, labels
from torch import Tensor, nn
from torch.nn.functional import affine_grid, grid_sample

from shared.packages.checkpoint import resume, save

BATCH = 8
PEAK_RATE = 1e-3


def train(network: nn.Module, scans: list[Scan], checkpoint: Path, seed: int, minutes: float) -> tuple[int, float]:
    """Train in place for so many CPU minutes, counted over all sessions; returns the steps and the CPU minutes.

    `scans` are people with their pair, without and with nodules; both come in one batch.
    Saves at `checkpoint` now and then, and goes on from there.
    """
    optimiser = torch.optim.AdamW(network.parameters(), PEAK_RATE, weight_decay=1e-2)
    spent, step = resume(network, optimiser, checkpoint)
    rng = np.random.default_rng((seed, step))
    torch.manual_seed(seed * 1_000_003 + step)
    loss_function, truth = nn.BCEWithLogitsLoss(), torch.from_numpy(labels(scans))
    network.train()
    started, smooth, reported = time.process_time() - spent, 0.7, spent
    while True:
        elapsed = time.process_time() - started
        progress = elapsed / (60 * minutes)
        if progress >= 1:
            break
        for group in optimiser.param_groups:
            group["lr"] = _rate(progress)
        people = rng.choice(len(scans) // 2, BATCH // 2, replace=False)
        chosen = np.stack([2 * people, 2 * people + 1], axis=1).ravel()
        loss = loss_function(network.train_on(*batch([scans[n] for n in chosen], rng)), truth[chosen])
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 2.0)
        optimiser.step()
        step, smooth = step + 1, 0.98 * smooth + 0.02 * loss.item()
        if elapsed - reported > 20:
            reported = elapsed
            left = elapsed * (1 / progress - 1) / 60
            print(f"{checkpoint.stem}: step {step}, loss {smooth:.3f}, {left:.1f} CPU minutes left", flush=True)
            save(network, optimiser, checkpoint, elapsed, step)
    save(network, optimiser, checkpoint, elapsed, step)
    network.eval()
    return step, elapsed / 60


def _rate(progress: float) -> float:
    """Warm-up over the first twentieth, then a cosine to zero."""
    return PEAK_RATE * min(1.0, progress / 0.05 + 0.02) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def batch(scans: list[Scan], rng: np.random.Generator | None = None) -> tuple[Tensor, Tensor]:
    """Slices (n, 1, most slices, SIZE, SIZE) in [0, 1], padded with 0 at the end, and their mask; changed by `rng`."""
    volumes = [torch.from_numpy(scan.slices.astype(np.float32) / 255) for scan in scans]
    if rng is not None:
        seeds = rng.integers(1 << 32, size=len(volumes) // 2).repeat(2)  # a pair is changed alike
        volumes = [augment(volume, np.random.default_rng(s)) for volume, s in zip(volumes, seeds, strict=True)]
    most = max(len(volume) for volume in volumes)
    slices, mask = torch.zeros(len(volumes), 1, most, *volumes[0].shape[1:]), torch.zeros(len(volumes), most)
    for n, volume in enumerate(volumes):
        slices[n, 0, : len(volume)], mask[n, : len(volume)] = volume, 1
    return slices, mask


def augment(volume: Tensor, rng: np.random.Generator) -> Tensor:
    """Mirrored, turned end to end, turned, zoomed, shifted, re-scaled in grey and with noise; every slice alike."""
    turn, zoom = rng.uniform(-0.15, 0.15), np.exp(rng.uniform(-0.12, 0.12))
    mirror = rng.choice([-1.0, 1.0])
    move = rng.uniform(-0.1, 0.1, 2)
    rows = [
        [mirror * zoom * np.cos(turn), -zoom * np.sin(turn), move[0]],
        [mirror * zoom * np.sin(turn), zoom * np.cos(turn), move[1]],
    ]
    grid = affine_grid(torch.tensor([rows], dtype=torch.float32), [1, 1, *volume.shape[1:]], align_corners=False)
    moved = grid_sample(volume[None], grid, padding_mode="border", align_corners=False)[0]
    if rng.random() < 0.5:
        moved = moved.flip(0)
    gamma, gain = np.exp(rng.normal(0, 0.12)), rng.uniform(0.92, 1.08)
    noise = rng.uniform(0, 0.03) * rng.standard_normal(volume.shape, np.float32)
    return (moved.clamp(0, 1) ** gamma * gain + torch.from_numpy(noise.astype(np.float32))).clamp(0, 1)


def predict(network: nn.Module, scans: list[Scan]) -> tuple[NDArray[np.float64], list[NDArray[np.float32]]]:
    """The logits (n,) and, for each phantom, the weights of its slices."""
    network.eval()
    found, weights = [], []
    with torch.no_grad():
        for scan in scans:
            logit, weight = network(*batch([scan]))
            found.append(float(logit[0, 0]))
            weights.append(weight[0].numpy())
    return np.array(found, np.float64), weights
