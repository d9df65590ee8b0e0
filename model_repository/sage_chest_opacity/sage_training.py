"""Trains the supervised autoencoder for so many processor minutes, resumably, and takes the reference statistics."""

import math
import time
from pathlib import Path

import numpy as np
import torch
from sage_network import Sage, SupervisedAutoencoder, Views, supervised_loss
from sage_pool import Pool, Target
from torch import Tensor, nn
from torch.nn.functional import affine_grid, grid_sample, smooth_l1_loss

from shared.packages.checkpoint import resume, save

BATCH = 32
PEAK_RATE = 2e-3
TASK_WEIGHT = 0.5


def build(target: Target, training: Pool, calibration: Pool, checkpoint: Path, seed: int, minutes: float) -> Sage:
    """The served graph with everything in it: trained, with references and distributions."""
    torch.manual_seed(seed)
    channels, values = training.views.shape[1], training.answers.shape[1]
    views, network = Views(channels), SupervisedAutoencoder(channels, values)
    rows = np.linspace(0, len(training.views) - 1, min(200, len(training.views))).astype(int)
    views.fit(_images(training, rows))
    sage = Sage(channels, network, views, target.gives_probabilities)
    _train(sage, training, checkpoint, seed, minutes)
    with torch.no_grad():
        _fit_references(sage, training, seed)
        _fit_distributions(sage, calibration)
    return sage


def _train(sage: Sage, pool: Pool, checkpoint: Path, seed: int, minutes: float) -> None:
    optimiser = torch.optim.AdamW(sage.network.parameters(), PEAK_RATE, weight_decay=1e-3)
    spent, step = resume(sage.network, optimiser, checkpoint)
    rng = np.random.default_rng((seed, step))
    numbers, unit = _taught(sage, pool)
    with torch.no_grad():
        raw = torch.cat([sage.views.raw(_images(pool, rows)) for rows in _shares(pool)])
    sage.network.train().to(memory_format=torch.channels_last)  # much faster on a processor
    started, began, smooth, reported = time.process_time() - spent, time.monotonic(), float("nan"), spent
    while (elapsed := time.process_time() - started) < 60 * minutes:  # a busy machine must not mean fewer steps
        progress = elapsed / (60 * minutes)
        for group in optimiser.param_groups:
            group["lr"] = PEAK_RATE * min(1.0, progress / 0.03 + 0.02) * 0.5 * (1 + math.cos(math.pi * progress))
        rows = rng.choice(len(pool.views), min(BATCH, len(pool.views)), replace=False)
        with torch.no_grad():
            seen = (_varied(raw[rows], rng) - sage.views.mean) / sage.views.deviation
        _, rebuilt, number, log_error = sage.network(seen.contiguous(memory_format=torch.channels_last))
        labels = (torch.from_numpy(pool.labels[rows])[:, None] - unit[0]) / unit[1]
        task = supervised_loss(number, log_error, numbers[rows], labels, sage.probabilities)
        loss = smooth_l1_loss(rebuilt, seen) + TASK_WEIGHT * task
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(sage.network.parameters(), 2.0)
        optimiser.step()
        step, smooth = step + 1, loss.item() if math.isnan(smooth) else 0.98 * smooth + 0.02 * loss.item()
        if elapsed - reported > 15:
            reported = elapsed
            left = (minutes - elapsed / 60) * (time.monotonic() - began) / (elapsed - spent)
            print(f"step {step}, loss {smooth:.3f}, {left:.1f} minutes left", flush=True)
            save(sage.network, optimiser, checkpoint, elapsed, step)
    save(sage.network, optimiser, checkpoint, elapsed, step)
    sage.eval().to(memory_format=torch.contiguous_format)


def _taught(sage: Sage, pool: Pool) -> tuple[Tensor, tuple[float, float]]:
    """The package's answers as the head is taught them, and the unit (mean, deviation) that numbers are put into."""
    if sage.probabilities:
        return torch.from_numpy(pool.answers), (0.0, 1.0)
    unit = float(pool.answers.mean()), float(pool.answers.std()) + 1e-6
    return torch.from_numpy((pool.answers - unit[0]) / unit[1]), unit


def _images(pool: Pool, rows: np.ndarray) -> Tensor:
    return torch.from_numpy(pool.views[rows].astype(np.float32))


def _shares(pool: Pool) -> list[np.ndarray]:
    """The rows of a pool in parts that memory holds."""
    return np.array_split(np.arange(len(pool.views)), max(1, len(pool.views) // 64))


def _varied(raw: Tensor, rng: np.random.Generator) -> Tensor:
    """Views slightly shifted, sized, turned and scaled in grey: no such change makes another image. Three in ten stay.

    `raw` (n, 2 c, 64, 64) are means and logarithms of grain: a gain multiplies the former and adds to the latter.
    """
    count, channels = len(raw), raw.shape[1] // 2
    size, turn = rng.uniform(0.95, 1.05, count), rng.uniform(-0.05, 0.05, count)  # radians
    matrix = np.zeros((count, 2, 3), np.float32)
    matrix[:, 0, 0], matrix[:, 0, 1] = size * np.cos(turn), -size * np.sin(turn)
    matrix[:, 1, 0], matrix[:, 1, 1] = size * np.sin(turn), size * np.cos(turn)
    matrix[:, :, 2] = rng.uniform(-0.06, 0.06, (count, 2))  # of half a side
    still = rng.random(count) < 0.3
    matrix[still] = np.array([[1, 0, 0], [0, 1, 0]], np.float32)
    grid = affine_grid(torch.from_numpy(matrix), list(raw.shape), align_corners=False)
    moved = grid_sample(raw, grid, mode="bicubic", padding_mode="border", align_corners=False)
    gain = torch.from_numpy(np.where(still, 1, rng.uniform(0.96, 1.04, count)).astype(np.float32))[:, None, None, None]
    return torch.cat([moved[:, :channels] * gain, moved[:, channels:] + torch.log(gain)], dim=1)


def _fit_references(sage: Sage, pool: Pool, seed: int) -> None:
    """Some training images' latents, drawn at random, in the latent's own deviations; and each place's residual."""
    rng = np.random.default_rng(seed)
    latents, squares = [], torch.zeros_like(sage.residual)
    for rows in _shares(pool):
        seen = sage.views(_images(pool, rows))
        latent, rebuilt, _, _ = sage.network(seen)
        latents.append(latent)
        squares += ((seen - rebuilt) ** 2).sum(0)
    residual = torch.sqrt(squares / len(pool.views))
    sage.residual.copy_(residual + 0.1 * residual.mean())  # where all images are alike, rounding is not a deviation
    every = torch.cat(latents)
    _whiten(sage.network, every)
    chosen = rng.permutation(len(every))[: len(sage.references)]
    sage.references = (every[chosen] - every.mean(0)) / (every.std(0) + 1e-6)


def _whiten(network: SupervisedAutoencoder, latents: Tensor) -> None:
    """Fold the latent's mean and deviation into the network, so that its distances count every direction alike."""
    mean, deviation = latents.mean(0), latents.std(0) + 1e-6
    places = len(network.places.bias)
    for layer, part in ((network.places, slice(0, places)), (network.anywhere, slice(places, None))):
        layer.weight.div_(deviation[part, None])
        layer.bias.sub_(mean[part]).div_(deviation[part])
    for layer in (network.head[0], network.seed[0]):
        layer.bias.add_(layer.weight @ mean)
        layer.weight.mul_(deviation)


def _fit_distributions(sage: Sage, pool: Pool) -> None:
    """What the three measures, and then their combination, are on images that were not trained on."""
    distance, error, confidence = measure(sage, pool.views)
    sage.knn.fit(distance)
    sage.reconstruction.fit(error)
    sage.confidence.fit(-confidence)
    parts = sage.knn(distance[:, None]), sage.reconstruction(error[:, None]), sage.confidence(-confidence[:, None])
    sage.combined.fit(-sum(parts)[:, 0])


def measure(sage: Sage, views: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
    """kNN distance, logarithm of the reconstruction error and confidence of views (n, c, 256, 256), each (n,)."""
    found = []
    with torch.no_grad():
        for part in np.array_split(views, max(1, len(views) // 64)):
            found.append(torch.cat(sage.measures(torch.from_numpy(part.astype(np.float32))), dim=1))
    distance, error, confidence = torch.cat(found).T
    return distance, error, confidence
