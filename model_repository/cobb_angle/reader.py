"""The whole graph of cobb_angle: find, outline in rounds, take the two vertebrae most tilted apart."""

import numpy as np
import torch
from frames import from_frame, patches
from network import Finder, Outliner, shrunk
from numpy.typing import NDArray
from pool import COLUMNS, LEVELS
from torch import Tensor, nn

ROUNDS = 3  # the outliner's; each starts from the frames that the one before it found
CLOSER, WIDER = 0.94, 1.06  # the last round looks twice, so that the patch's own grid counts less
HALF_LINE = 0.9  # of an end plate's width: how far a drawn line reaches from its middle


def local_fit(at: NDArray[np.float64], known: NDArray[np.float64], reach: float, slope: bool = False) -> Tensor:
    """The matrix (at, known) that gives a smooth curve's value, or slope, at `at` from values at `known`.

    A parabola around each place, in which values count less the further off they are (Savitzky and Golay 1964, with
    Gaussian weights of standard deviation `reach`).
    """
    rows = []
    for place in at:
        away = known - place
        powers = np.stack([np.ones_like(away), away, away**2], 1)
        weighted = powers * np.exp(-((away / reach) ** 2) / 2)[:, None]
        rows.append(np.linalg.solve(weighted.T @ powers, weighted.T)[1 if slope else 0])
    return torch.from_numpy(np.stack(rows)).float()


class CobbNetwork(nn.Module):
    """Image (n, 1, 1024, 512) to landmarks (n, 68, 3), lines (n, 4, 2), confidence (n, 1), all in its pixels.

    Everything is read a second time mirrored, and averaged: a mirrored film gives the mirrored answer.
    """

    def __init__(self, finder: Finder, outliner: Outliner) -> None:
        super().__init__()
        self.finder, self.outliner = finder, outliner
        level = np.arange(LEVELS, dtype=np.float64)
        self.register_buffer("smooth", local_fit(level, level, 1.2))
        self.register_buffer("slope", local_fit(level, level, 1.2, slope=True))
        self.register_buffer("below", torch.triu(torch.ones(LEVELS, LEVELS), 1))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Landmarks hold column, row and confidence of upper left, upper right, lower left, lower right, T1 first."""
        corners, seen = self.outlined(image)
        lines = self.lines(corners)
        return (
            torch.cat([corners.flatten(1, 2), seen.repeat_interleave(4, 1)[:, :, None]], 2),
            lines,
            self.sure(corners, seen),
        )

    def outlined(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Corners (n, 17, 4, 2) and the confidence of each vertebra (n, 17)."""
        centres, on_film = self._found(image)
        turn = None
        for _ in range(ROUNDS - 1):
            corners, _ = self._both_ways(image, *self._frames(centres, turn))
            centres = corners.mean(2)
            step = corners[:, :, (1, 3)] - corners[:, :, (0, 2)]
            turn = torch.atan2(step[..., 1].sum(2), step[..., 0].sum(2)) @ self.smooth.T
        centres, turn, steps = self._frames(centres, turn)
        corners, logit = self._both_ways(image, centres, turn, steps * CLOSER)
        corners_too, logit_too = self._both_ways(image, centres, turn, steps * WIDER)
        return (corners + corners_too) / 2, on_film * ((logit + logit_too) / 2).sigmoid()

    def _found(self, image: Tensor) -> tuple[Tensor, Tensor]:
        small = shrunk(image)
        centres, seen = self.finder.locate(self.finder(small))
        mirrored, seen_too = self.finder.locate(self.finder(small.flip(3)))
        back = mirrored * torch.tensor([-1.0, 1.0]) + torch.tensor([float(COLUMNS), 0.0])
        return (centres + back) / 2, (seen + seen_too) / 2

    def _frames(self, centres: Tensor, turn: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Centre, tilt and step of each vertebra, from a smooth line through the centres."""
        along = self.slope @ centres
        steps = along.norm(dim=2).clamp(8.0, 120.0)
        if turn is None:
            return self.smooth @ centres, torch.atan2(-along[..., 0], along[..., 1]), steps
        return centres, turn, steps

    def _both_ways(self, image: Tensor, *frame: Tensor) -> tuple[Tensor, Tensor]:
        """Corners (n, 17, 4, 2) on the film and logits (n, 17), each patch read as it is and mirrored."""
        read = patches(image, *frame)
        flat, logit = self.outliner(read)
        mirrored, logit_too = self.outliner(read.flip(3))
        back = mirrored[:, (1, 0, 3, 2)] * torch.tensor([-1.0, 1.0])
        corners = from_frame(((flat + back) / 2).reshape(-1, LEVELS, 4, 2), *frame)
        return corners, ((logit + logit_too) / 2).reshape(-1, LEVELS)

    def lines(self, corners: Tensor) -> Tensor:
        """Ends (n, 4, 2) of the upper end vertebra's upper line and of the lower one's lower line, left to right."""
        step = corners[:, :, (1, 3)] - corners[:, :, (0, 2)]
        tilt = torch.atan2(step[..., 1], step[..., 0])
        between = (tilt[:, :, None, 0] - tilt[:, None, :, 1]).abs() * self.below
        pair = between.flatten(1).argmax(1)
        ends = torch.stack([pair // LEVELS, pair % LEVELS + LEVELS], 1)  # of the 34 plates
        middle = (corners[:, :, (1, 3)] + corners[:, :, (0, 2)]) / 2
        middle, step = (part.transpose(1, 2).flatten(1, 2) for part in (middle, step))  # upper plates, then lower ones
        middle, step = (part.gather(1, ends[:, :, None].expand(-1, -1, 2)) for part in (middle, step))
        return torch.stack([middle - HALF_LINE * step, middle + HALF_LINE * step], 2).flatten(1, 2)

    def sure(self, corners: Tensor, seen: Tensor) -> Tensor:
        """Confidence (n, 1): the least sure vertebra's, less where two bodies overlap."""
        centres = corners.mean(2)
        down = centres[:, 1:] - centres[:, :-1]
        gap = (corners[:, 1:, :2].mean(2) - corners[:, :-1, 2:].mean(2)) * down
        height = (corners[:, :, 2:].mean(2) - corners[:, :, :2].mean(2)).norm(dim=2)
        apart = gap.sum(2) / (down.norm(dim=2).clamp_min(1.0) * height[:, 1:].clamp_min(1.0))
        ordered = ((apart + 0.15) / 0.04).sigmoid()
        return torch.minimum(seen.amin(1), ordered.amin(1))[:, None]
