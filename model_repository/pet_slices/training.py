"""Trains the network of pet_slices for so many CPU minutes, resumably, and asks it."""

import math
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pool import Slices
from torch import Tensor, nn

from shared.packages.checkpoint import resume, save

BATCH = 64
PEAK_RATE = 2e-3


def train(network: nn.Module, slices: Slices, checkpoint: Path, seed: int, minutes: float) -> int:
    """Trains in place for so many CPU minutes, counted over all sessions; returns the steps. Half of a batch shows a
    lesion. Goes on from `checkpoint`.
    """
    optimiser = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], PEAK_RATE, weight_decay=1e-3)
    spent, step = resume(network, optimiser, checkpoint)
    rng = np.random.default_rng((seed, step))
    loss_function = nn.BCEWithLogitsLoss()
    with_lesion, without = np.flatnonzero(slices.shows), np.flatnonzero(~slices.shows)
    network.train()
    started, smooth, reported = time.process_time() - spent, 0.7, spent
    while (elapsed := time.process_time() - started) < 60 * minutes:
        progress = elapsed / (60 * minutes)
        for group in optimiser.param_groups:
            group["lr"] = PEAK_RATE * min(1.0, progress / 0.05 + 0.02) * 0.5 * (1 + math.cos(math.pi * progress))
        rows = np.concatenate([rng.choice(part, BATCH // 2) for part in (with_lesion, without)])
        truth = torch.from_numpy(slices.shows[rows].astype(np.float32))
        loss = loss_function(network(_augmented(slices.pixels[rows], rng))[:, 0], truth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        step, smooth = step + 1, 0.98 * smooth + 0.02 * loss.item()
        if elapsed - reported > 20:
            reported = elapsed
            left = minutes - elapsed / 60
            print(f"{checkpoint.stem}: step {step}, loss {smooth:.3f}, {left:.1f} CPU minutes left", flush=True)
            save(network, optimiser, checkpoint, elapsed, step)
    save(network, optimiser, checkpoint, elapsed, step)
    network.eval()
    return step


def _augmented(pixels: NDArray[np.uint8], rng: np.random.Generator) -> Tensor:
    """As the network takes them: mirrored, shifted, and with the uptake changed as a whole."""
    images = torch.from_numpy(pixels.astype(np.float32) / 255)[:, None]
    gains = torch.from_numpy(np.exp(rng.normal(0, 0.15, (len(images), 1, 1, 1))).astype(np.float32))
    shift = tuple(int(step) for step in rng.integers(-6, 7, 2))
    moved = torch.roll(images, shift, (2, 3))
    if rng.random() < 0.5:
        moved = moved.flip(3)
    return (moved * gains).clamp(0, 1)


def predict(network: nn.Module, slices: Slices) -> NDArray[np.float64]:
    """The logits, (n,)."""
    network.eval()
    with torch.no_grad():
        parts = [
            network(torch.from_numpy(slices.pixels[n : n + 256].astype(np.float32) / 255)[:, None])[:, 0].numpy()
            for n in range(0, len(slices.pixels), 256)
        ]
    return np.concatenate(parts).astype(np.float64)
