"""Warms up the slice encoder without any label of a slice: it learns to tell slices into which a disc was pasted.

Pasted into series that are labelled free, so no place of a real finding is needed; one series gives many examples,
which is what a 2D encoder has over a 3D one.
"""

import time
from pathlib import Path

import numpy as np
import torch
from network import SIZE, SliceTransformer
from numpy.typing import NDArray
from pool import Scan
from scipy.ndimage import gaussian_filter
from torch import nn

from shared.packages.checkpoint import resume, save

BATCH = 48
RATE = 2e-3
RADII_PX = (1.2, 3.6)
LUNG = (0.08, 0.38)  # grey values of the lung in the manifest's window; air around the body is darker


def warm_up(network: SliceTransformer, scans: list[Scan], checkpoint: Path, seed: int, minutes: float) -> None:
    """Train encoder and score in place for so many CPU minutes, as `train` does, with its checkpoints."""
    slices = np.concatenate([scan.slices for scan in scans if not scan.positive])
    parts = (network.encoder, network.norm, network.score)
    optimiser = torch.optim.AdamW([p for part in parts for p in part.parameters()], RATE, weight_decay=1e-2)
    spent, step = resume(network, optimiser, checkpoint)
    rng = np.random.default_rng((seed, step, 7))
    torch.manual_seed(seed * 1_000_003 + step)
    loss_function, started, smooth, reported = nn.BCEWithLogitsLoss(), time.process_time() - spent, 0.7, spent
    network.train()
    truth = torch.tensor([0.0, 1.0] * (BATCH // 2))
    while (elapsed := time.process_time() - started) < 60 * minutes:
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1.0, step / 20 + 0.05) * (1.05 - elapsed / (60 * minutes))
        chosen = slices[rng.integers(len(slices), size=BATCH // 2)].astype(np.float32) / 255
        both = np.stack([both for one in chosen for both in _pair(one, rng)])
        images = torch.from_numpy(both)[:, None].contiguous(memory_format=torch.channels_last)
        loss = loss_function(network.score(network.norm(network.encoder(images)))[:, 0], truth)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 2.0)
        optimiser.step()
        step, smooth = step + 1, 0.98 * smooth + 0.02 * loss.item()
        if elapsed - reported > 15:
            reported = elapsed
            left = minutes - elapsed / 60
            print(f"{checkpoint.stem}: step {step}, loss {smooth:.3f}, {left:.1f} CPU minutes left", flush=True)
            save(network, optimiser, checkpoint, elapsed, step)
    save(network, optimiser, checkpoint, elapsed, step)


def _pair(image: NDArray[np.float32], rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The slice (SIZE, SIZE) in other greys, turned and mirrored, without and with discs in the lung."""
    image = np.rot90(image, rng.integers(4))[:, :: rng.choice([-1, 1])]
    pasted = image.copy()
    smooth = gaussian_filter(image, 1.0)
    rows, columns = np.nonzero((smooth > LUNG[0]) & (smooth < LUNG[1]))
    y, x = np.ogrid[:SIZE, :SIZE]
    for _ in range(int(rng.integers(1, 3)) if len(rows) else 0):
        place, radius = rng.integers(len(rows)), rng.uniform(*RADII_PX)
        distance = np.hypot((y - rows[place]) * rng.uniform(0.85, 1.15), x - columns[place])
        disc = 1 / (1 + np.exp((distance - radius) / rng.uniform(0.25, 0.5)))
        pasted += disc.astype(np.float32) * np.float32(rng.uniform(0.65, 1.0) - pasted[rows[place], columns[place]])
    gain, noise = np.float32(rng.uniform(0.9, 1.1)), rng.uniform(0, 0.03) * rng.standard_normal(image.shape, np.float32)
    one, other = (np.clip(part * gain + noise, 0, 1).astype(np.float32) for part in (image, pasted))
    return one, other
