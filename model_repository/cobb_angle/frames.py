"""Each vertebra's own frame: its centre, its tilt and the step to the next one; to patches and back to the film."""

import torch
from pool import COLUMNS, ROWS
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample

PATCH = (72, 56)  # rows and columns of a patch as the outliner reads it
REACH = (0.9, 1.15)  # half height and half width of a patch, in steps from one vertebra to the next


def frames_of(corners: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Centre (n, 17, 2), tilt in radians and step to the next vertebra in pixels, each (n, 17), of true corners."""
    centres = corners.mean(2)
    across = corners[:, :, 1] - corners[:, :, 0] + corners[:, :, 3] - corners[:, :, 2]
    steps = (centres[:, 1:] - centres[:, :-1]).norm(dim=2)
    steps = torch.cat([steps[:, :1], (steps[:, 1:] + steps[:, :-1]) / 2, steps[:, -1:]], 1)
    return centres, torch.atan2(across[..., 1], across[..., 0]), steps


def patches(image: Tensor, centres: Tensor, tilts: Tensor, steps: Tensor) -> Tensor:
    """Patches (n · k, 1, 72, 56) of images (n, 1, rows, columns), each upright in its own frame: (n, k, …) of them.

    Two samples share a column: a patch is coarser along the end plates than across them.
    """
    rows, columns = PATCH[0], PATCH[1] * 2
    v = ((torch.arange(rows) + 0.5) / rows * 2 - 1)[:, None] * REACH[0]
    u = ((torch.arange(columns) + 0.5) / columns * 2 - 1)[None, :] * REACH[1]
    cos, sin = (turn(tilts)[:, :, None, None] * steps[:, :, None, None] for turn in (torch.cos, torch.sin))
    x = centres[:, :, 0, None, None] + u * cos - v * sin
    y = centres[:, :, 1, None, None] + u * sin + v * cos
    size = torch.tensor([COLUMNS, ROWS])
    grid = (torch.stack([x, y], 4) / size * 2 - 1).flatten(1, 2)
    sampled = grid_sample(image, grid, align_corners=False, padding_mode="zeros")
    return avg_pool2d(sampled.reshape(-1, 1, rows, columns), (1, 2))


def into_frame(points: Tensor, centres: Tensor, tilts: Tensor, steps: Tensor) -> Tensor:
    """Points (n, k, 4, 2) of the film in units of each patch's frame."""
    away = (points - centres[:, :, None]) / steps[:, :, None, None]
    cos, sin = torch.cos(tilts)[:, :, None], torch.sin(tilts)[:, :, None]
    u, v = away[..., 0] * cos + away[..., 1] * sin, away[..., 1] * cos - away[..., 0] * sin
    return torch.stack([u / REACH[1], v / REACH[0]], 3)


def from_frame(corners: Tensor, centres: Tensor, tilts: Tensor, steps: Tensor) -> Tensor:
    """The inverse of `into_frame`."""
    u, v = corners[..., 0] * REACH[1], corners[..., 1] * REACH[0]
    cos, sin = torch.cos(tilts)[:, :, None], torch.sin(tilts)[:, :, None]
    away = torch.stack([u * cos - v * sin, u * sin + v * cos], 3)
    return centres[:, :, None] + away * steps[:, :, None, None]
