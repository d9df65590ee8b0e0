"""What training does to the drawn spines: turned, mirrored, scaled and cut films, and patches cut a little off."""

import numpy as np
import torch
from pool import COLUMNS, ROWS
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate


def moved_films(small: Tensor, centres: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Films (n, 1, 256, 128) turned, mirrored, scaled and shifted, and where the centres (n, 17, 2) came to lie.

    A third is shifted or enlarged until vertebrae leave the film.
    """
    count = len(small)
    cut = rng.random(count) < 0.33
    turn = np.radians(rng.uniform(-14, 14, count))
    scale = np.where(cut, rng.uniform(0.8, 2.0, count), rng.uniform(0.72, 1.12, count))
    flip = rng.choice([-1.0, 1.0], count)
    shift = np.where(
        cut[:, None], rng.uniform(-1, 1, (count, 2)) * [90, 500], rng.uniform(-1, 1, (count, 2)) * [60, 60]
    )
    there = np.stack(
        [np.stack([np.cos(turn) * flip, -np.sin(turn)], 1), np.stack([np.sin(turn) * flip, np.cos(turn)], 1)], 1
    )
    there = torch.from_numpy(there * scale[:, None, None]).float()  # from the film's middle to the new film's
    middle, size = torch.tensor([COLUMNS / 2, ROWS / 2]), torch.tensor([COLUMNS, ROWS])
    offset = torch.from_numpy(shift).float() + middle
    back = torch.linalg.inv(there)
    rows, columns = small.shape[2:]
    y, x = torch.meshgrid((torch.arange(rows) + 0.5) * 4, (torch.arange(columns) + 0.5) * 4, indexing="ij")
    wanted = torch.stack([x, y], 2)[None] - offset[:, None, None]
    source = torch.einsum("nij,nrcj->nrci", back, wanted) + middle
    moved = grid_sample(small, source / size * 2 - 1, align_corners=False, padding_mode="zeros")
    return moved, torch.einsum("nij,nkj->nki", there, centres - middle) + offset[:, None]


def regreyed(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Other exposure: gamma, gain and noise of each image (n, 1, rows, columns), clipped to [0, 1]."""
    count = len(images)
    gamma, gain, noise = (
        torch.from_numpy(values).float()[:, None, None, None]
        for values in (np.exp(rng.normal(0, 0.25, count)), rng.uniform(0.8, 1.25, count), rng.uniform(0, 0.05, count))
    )
    return (images.clamp_min(0) ** gamma * gain + noise * torch.randn_like(images)).clamp(0, 1)


def resampled(image: Tensor, rng: np.random.Generator) -> Tensor:
    """The same film at another resolution, as a turned or rescaled one has it, (n, 1, rows, columns) again."""
    factor = rng.uniform(0.6, 1.3)
    return interpolate(image, scale_factor=factor, mode="bilinear", antialias=True)


def missed(centres: Tensor, tilts: Tensor, steps: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Frames (n, 17, …) that have no vertebra in their middle: half a step off, beside the spine, or anywhere."""
    shape = tuple(steps.shape)
    kind = torch.from_numpy(rng.integers(0, 3, shape))
    along = torch.from_numpy(rng.choice([-1.0, 1.0], shape) * rng.uniform(0.42, 0.58, shape)).float()
    aside = torch.from_numpy(rng.choice([-1.0, 1.0], shape) * rng.uniform(0.7, 3.0, shape)).float()
    u, v = torch.where(kind == 1, aside, 0.0) * steps, torch.where(kind == 0, along, 0.0) * steps
    cos, sin = torch.cos(tilts), torch.sin(tilts)
    off = centres + torch.stack([u * cos - v * sin, u * sin + v * cos], 2)
    anywhere = torch.from_numpy(rng.uniform(0, 1, (*shape, 2)) * [COLUMNS, ROWS]).float()
    far = (anywhere[:, :, None] - centres[:, None]).norm(dim=3).amin(2) > 60
    off = torch.where(((kind == 2) & far)[:, :, None], anywhere, off)
    good = (kind != 2) | far
    return off, tilts, torch.where(good, steps, -1.0)
