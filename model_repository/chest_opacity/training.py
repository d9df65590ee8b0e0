"""Trains either network of chest_opacity from image labels alone, for so many minutes, resumably."""

import math
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pool import Pool
from scipy.ndimage import zoom
from torch import Tensor, nn

from shared.packages.checkpoint import resume, save

BATCH = 16
PEAK_RATE = 2e-3


def train(network: nn.Module, pool: Pool, checkpoint: Path, seed: int, *, minutes: float = 0, steps: int = 0) -> int:
    """Train in place for so many minutes or steps, counted over all sessions; returns the steps done.

    Saves at `checkpoint` now and then, and goes on from there.
    """
    optimiser = torch.optim.AdamW(network.parameters(), PEAK_RATE, weight_decay=1e-3)
    spent, step = resume(network, optimiser, checkpoint)
    rng = np.random.default_rng((seed, step))
    pairs = halve(pool.images).reshape(-1, 2, 256, 256)
    labels, loss_function = torch.tensor([0.0, 1.0] * (BATCH // 2)), nn.BCEWithLogitsLoss()
    network.train().to(memory_format=torch.channels_last)  # four times faster on a processor
    started, smooth, reported = time.monotonic() - spent, 0.7, spent
    while True:
        elapsed = time.monotonic() - started
        progress = step / steps if steps else elapsed / (60 * minutes)
        if progress >= 1:
            break
        for group in optimiser.param_groups:
            group["lr"] = _rate(progress)
        people = rng.choice(len(pairs), BATCH // 2, replace=False)
        batch = augment(pairs[people].astype(np.float32) / 255, rng).contiguous(memory_format=torch.channels_last)
        loss = loss_function(network.read(batch)[0][:, 0], labels)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 2.0)
        optimiser.step()
        step, smooth = step + 1, 0.98 * smooth + 0.02 * loss.item()
        if elapsed - reported > 15:
            reported = elapsed
            left = elapsed * (1 / progress - 1) / 60
            print(f"{checkpoint.stem}: step {step}, loss {smooth:.3f}, {left:.1f} minutes left", flush=True)
            save(network, optimiser, checkpoint, elapsed, step)
    save(network, optimiser, checkpoint, elapsed, step)
    network.eval()
    return step


def _rate(progress: float) -> float:
    """Warm-up over the first twentieth, then a cosine to zero."""
    return PEAK_RATE * min(1.0, progress / 0.05 + 0.02) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def augment(images: NDArray[np.float32], rng: np.random.Generator) -> Tensor:
    """Mirrored, re-framed, re-scaled in grey and with noise, (2 n, 1, 256, 256) in [0, 1].

    `images` (n, 2, 256, 256) are people with their pair; both get the same, so that the opacity alone differs.
    """
    rows = []
    for pair in images:
        mirrored = pair[:, :, ::-1] if rng.random() < 0.5 else pair
        framed = _reframe(mirrored, rng)
        gamma, gain = np.exp(rng.normal(0, 0.15)), rng.uniform(0.9, 1.1)
        noise = rng.uniform(0, 0.015) * rng.standard_normal(pair.shape[1:], np.float32)
        narrowed = _portrait(framed, rng) if rng.random() < 0.4 else framed
        rows.append(np.clip(narrowed**gamma * gain + noise, 0, 1))
    return torch.from_numpy(np.concatenate(rows).astype(np.float32))[:, None]


def _reframe(pair: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Enlarged or reduced by up to 12 % and shifted by up to 20 pixels, edges repeated."""
    side, factor = pair.shape[1], rng.uniform(0.88, 1.12)
    sized = zoom(pair, (1, factor, factor), order=1)
    padded = np.pad(sized, ((0, 0), (40, 40), (40, 40)), mode="edge")
    top, left = (padded.shape[1] - side) // 2 + rng.integers(-20, 21, 2)
    return padded[:, top : top + side, left : left + side]


def _portrait(pair: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """As the manifest's steps show a narrower radiograph: scaled by its own percentiles, black at both sides."""
    margin = int(rng.integers(8, 36))
    inner = pair[:, :, margin : pair.shape[2] - margin]
    low, high = np.percentile(inner[0], [1, 99])
    narrowed = np.zeros_like(pair)
    narrowed[:, :, margin : pair.shape[2] - margin] = np.clip((inner - low) / max(high - low, 1e-3), 0, 1)
    return narrowed


def halve(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Means of 2 x 2 pixels, (n, 256, 256), in steps to spare memory."""
    return np.concatenate(
        [
            (part.reshape(len(part), 256, 2, 256, 2).mean((2, 4), dtype=np.float32) + 0.5).astype(np.uint8)
            for part in np.array_split(images, max(1, len(images) // 100))
        ]
    )


def predict(network: nn.Module, images: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Logits (n,) and the network's second output for uint8 images (n, 512, 512)."""
    network.eval()
    logits, extra = [], []
    with torch.no_grad():
        for start in range(0, len(images), 16):
            batch = torch.from_numpy(images[start : start + 16].astype(np.float32) / 255)[:, None]
            logit, second = network(batch)
            logits.append(logit[:, 0].double().numpy())
            extra.append(second.numpy())
    return np.concatenate(logits), np.concatenate(extra)
