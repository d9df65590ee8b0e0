"""Trains the finder and the outliner of cobb_angle, each for so many minutes, resumably."""

import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from augmentation import missed, moved_films, regreyed, resampled
from frames import REACH, frames_of, into_frame, patches
from network import CELL, GRID, Finder, Outliner, shrunk
from pool import Pool
from strangers import strange_films
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, smooth_l1_loss

from shared.packages.checkpoint import resume, save

PEAK_RATE = 2e-3
FILMS, SPINES = 16, 6  # in a batch of the finder and of the outliner
SPREAD = 0.7  # of a target's blot, in cells

Batch = Callable[[np.random.Generator], Tensor]


def train_finder(network: Finder, pool: Pool, checkpoint: Path, seed: int, minutes: float) -> int:
    """Train in place until so many minutes are spent, over all sessions; returns the steps done."""
    small = torch.cat([shrunk(torch.from_numpy(part).float()[:, None] / 255) for part in _parts(pool.images)])
    centres = torch.from_numpy(pool.corners).mean(2)
    strange = shrunk(torch.from_numpy(strange_films(seed, 90)).float()[:, None] / 255)

    def loss(rng: np.random.Generator) -> Tensor:
        rows = rng.choice(len(small), FILMS, replace=False)
        films, places = moved_films(small[rows], centres[rows], rng)
        others = torch.from_numpy(rng.choice(len(strange), 2, replace=False))
        films = regreyed(torch.cat([films, strange[others]]), rng)
        places = torch.cat([places, torch.full((2, *places.shape[1:]), -1e4)])
        logs = network(films)
        target, seen = _blots(places)
        found, _ = network.locate(logs)
        near = smooth_l1_loss(found / CELL, places / CELL, reduction="none", beta=0.2).sum(2)
        return -(target * logs).sum(2).mean() + 0.3 * (near * seen).sum() / seen.sum().clamp_min(1)

    return _train(network, loss, checkpoint, seed, minutes)


def train_outliner(network: Outliner, pool: Pool, checkpoint: Path, seed: int, minutes: float) -> int:
    """Train in place until so many minutes are spent, over all sessions; returns the steps done."""
    corners = torch.from_numpy(pool.corners)

    def loss(rng: np.random.Generator) -> Tensor:
        rows = rng.choice(len(corners), SPINES, replace=False)
        films = resampled(torch.from_numpy(pool.images[rows]).float()[:, None] / 255, rng)
        true = frames_of(corners[rows])
        frames = _jittered(true, rng)
        off = missed(*true, rng)
        chosen = torch.from_numpy(rng.choice(17, 5, replace=False))
        off = tuple(part[:, chosen] for part in off)
        read = torch.cat([patches(films, *frames), patches(films, *off)])
        target = into_frame(corners[rows], *frames).flatten(0, 1)
        flip = torch.from_numpy(rng.random(len(read)) < 0.5)
        read = torch.where(flip[:, None, None, None], read.flip(3), read)
        read = regreyed(read, rng).contiguous(memory_format=torch.channels_last)
        known = len(target)
        mirrored = target[:, (1, 0, 3, 2)] * torch.tensor([-1.0, 1.0])
        target = torch.where(flip[:known, None, None], mirrored, target)
        found, logit = network(read)
        label = torch.cat([torch.ones(known), torch.zeros(len(logit) - known)])
        counts = torch.cat([torch.ones(known), (off[2] > 0).float().flatten()])
        present = binary_cross_entropy_with_logits(logit, label, counts)
        return outline_loss(found[:known], target) + 0.1 * present

    return _train(network, loss, checkpoint, seed, minutes)


def outline_loss(found: Tensor, target: Tensor) -> Tensor:
    """How far corners (n, 4, 2) are off in steps, those across the end plates weighing more, and the tilts most."""
    scale = torch.tensor([REACH[1], REACH[0]])
    away = smooth_l1_loss(found * scale, target * scale, reduction="none", beta=0.02).mean((0, 1))
    tilts = smooth_l1_loss(_slopes(found), _slopes(target), beta=0.02)
    return 10 * (0.5 * away[0] + away[1] + 2 * tilts)


def _slopes(corners: Tensor) -> Tensor:
    """Tilt of the two end plates in their frame, as a slope, (n, 2)."""
    step = corners[:, (1, 3)] - corners[:, (0, 2)]
    return step[..., 1] * REACH[0] / (step[..., 0] * REACH[1]).clamp_min(0.2)


def _blots(places: Tensor) -> tuple[Tensor, Tensor]:
    """Target probabilities (n, 17, cells + 1) of centres (n, 17, 2), and which are on the film (n, 17)."""
    rows, columns = torch.arange(GRID[0]) + 0.5, torch.arange(GRID[1]) + 0.5
    x, y = places[..., 0:1] / CELL, places[..., 1:2] / CELL
    seen = ((x > 0.3) & (x < GRID[1] - 0.3) & (y > 0.3) & (y < GRID[0] - 0.3)).float()
    across, down = (torch.exp(-(((axis - at) / SPREAD) ** 2) / 2) for axis, at in ((columns, x), (rows, y)))
    blots = (down[..., :, None] * across[..., None, :]).flatten(2)
    blots = blots / blots.sum(2, keepdim=True).clamp_min(1e-6) * seen
    return torch.cat([blots, 1 - seen], 2), seen[..., 0]


def _jittered(true: tuple[Tensor, Tensor, Tensor], rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Frames as the finder may give them, some of them bad; later rounds start from better ones."""
    centres, tilts, steps = true
    shape = tuple(steps.shape)
    size = np.where(rng.random(shape) < 0.4, 1.0, 0.25)
    off = torch.from_numpy(rng.normal(0, 0.12, (*shape, 2)).clip(-0.28, 0.28) * size[..., None]).float()
    turn = torch.from_numpy(rng.normal(0, 6, shape) * size).float().deg2rad()
    wide = torch.from_numpy(np.exp(rng.normal(0, 0.08, shape))).float()
    return centres + off * steps[:, :, None], tilts + turn, steps * wide


def _train(network: nn.Module, batch_loss: Batch, checkpoint: Path, seed: int, minutes: float) -> int:
    """The loop that both share: AdamW, a cosine over the time, a checkpoint now and then."""
    optimiser = torch.optim.AdamW(network.parameters(), PEAK_RATE, weight_decay=1e-3)
    spent, step = resume(network, optimiser, checkpoint)
    rng = np.random.default_rng((seed, step))
    torch.manual_seed(seed + step)
    network.train().to(memory_format=torch.channels_last)  # much faster on a processor
    started, smooth, reported = time.process_time() - spent, 0.0, spent
    while (elapsed := time.process_time() - started) < 60 * minutes:
        progress = elapsed / (60 * minutes)
        for group in optimiser.param_groups:
            group["lr"] = PEAK_RATE * min(1.0, progress / 0.05 + 0.02) * 0.5 * (1 + math.cos(math.pi * progress))
        loss = batch_loss(rng)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 2.0)
        optimiser.step()
        step += 1
        smooth += (loss.item() - smooth) * max(0.02, 1 / step)
        if elapsed - reported > 15:
            reported = elapsed
            left = minutes - elapsed / 60
            print(f"{checkpoint.stem}: step {step}, loss {smooth:.4f}, {left:.1f} CPU minutes left", flush=True)
            save(network, optimiser, checkpoint, elapsed, step)
    save(network, optimiser, checkpoint, elapsed, step)
    network.eval()
    return step


def _parts(images: np.ndarray) -> list[np.ndarray]:
    return np.array_split(images, max(1, len(images) // 50))
