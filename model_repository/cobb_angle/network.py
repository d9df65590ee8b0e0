"""The two networks of cobb_angle: one finds the 17 vertebrae on the whole film, one outlines each in its own frame."""

import torch
from frames import PATCH
from pool import LEVELS
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, softplus

GRID = (64, 32)  # cells of the finder's maps
CELL = 16  # pixels of the input in one cell


def _block(inputs: int, outputs: int, stride: int = 1, size: int = 3, dilation: int = 1) -> nn.Sequential:
    """Convolution, normalisation, rectifier."""
    padding = dilation * (size // 2)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, padding, dilation, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def _enlarged(features: Tensor) -> Tensor:
    return interpolate(features, scale_factor=2.0, mode="nearest")


class Finder(nn.Module):
    """Where each of T1 to L5 lies on a film shrunk to (n, 1, 256, 128), in pixels of the full input.

    Each level has a map and, beside its cells, one more place: "not on this film".
    """

    def __init__(self) -> None:
        super().__init__()
        self.first = _block(1, 16, 2, 5)
        self.second = nn.Sequential(_block(16, 32, 2), _block(32, 32))
        self.third = nn.Sequential(_block(32, 48, 2), _block(48, 48))
        self.fourth = nn.Sequential(_block(48, 64, 2), _block(64, 64), _block(64, 64, dilation=2))
        self.around = nn.Linear(64, 64)
        self.up_third = _block(64 + 48, 48)
        self.up_second = _block(48 + 32, 48)
        self.maps = nn.Conv2d(48, LEVELS, 1)
        self.absent = nn.Linear(64, LEVELS)
        rows, columns = torch.meshgrid(torch.arange(GRID[0]) + 0.5, torch.arange(GRID[1]) + 0.5, indexing="ij")
        self.register_buffer("places", torch.stack([columns.flatten(), rows.flatten()], 1) * CELL)

    def forward(self, small: Tensor) -> Tensor:
        """Log-probabilities (n, 17, 64 · 32 + 1)."""
        second = self.second(self.first(small * 4 - 2))
        third = self.third(second)
        fourth = self.fourth(third)
        pooled = fourth.mean((2, 3))
        fourth = fourth + self.around(pooled)[:, :, None, None]
        maps = self.maps(self.up_second(torch.cat([_enlarged(self.up_third(
            torch.cat([_enlarged(fourth), third], 1))), second], 1)))  # fmt: skip
        logits = torch.cat([maps.flatten(2), self.absent(fourth.amax((2, 3)))[:, :, None]], 2)
        return logits.log_softmax(2)

    def locate(self, logs: Tensor) -> tuple[Tensor, Tensor]:
        """Centres (n, 17, 2) as column, row of the full input, and how surely each is on the film (n, 17)."""
        return logs[:, :, :-1].softmax(2) @ self.places, 1 - logs[:, :, -1].exp()


class Outliner(nn.Module):
    """Corners of the vertebra in the middle of a patch (n, 1, 72, 56), and whether there is one.

    In units of the patch's frame: (-1, -1) its top left corner, (1, 1) its bottom right. Each end plate is a line
    through the places that its columns vote for, which is surer than its two corners alone.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first = _block(1, 16)
        self.second = nn.Sequential(_block(16, 24, 2), _block(24, 24))
        self.third = nn.Sequential(_block(24, 40, 2), _block(40, 40))
        self.fourth = nn.Sequential(_block(40, 64, 2), _block(64, 64))
        self.up_third = _block(64 + 40, 40)
        self.up_second = _block(40 + 24, 32)
        self.out = nn.Conv2d(32, 8, 1)  # two plates, their two weights, four corners
        self.present = nn.Sequential(nn.Linear(128, 32), nn.ReLU(inplace=True), nn.Linear(32, 1))
        rows, columns = PATCH[0] // 2, PATCH[1] // 2
        self.register_buffer("v", (torch.arange(rows) + 0.5) / rows * 2 - 1)
        self.register_buffer("u", (torch.arange(columns) + 0.5) / columns * 2 - 1)

    def forward(self, patch: Tensor) -> tuple[Tensor, Tensor]:
        """Corners (n, 4, 2) ordered upper left, upper right, lower left, lower right; logit (n,)."""
        mean = patch.mean((2, 3), keepdim=True)
        spread = (patch - mean).pow(2).mean((2, 3), keepdim=True).sqrt()
        second = self.second(self.first((patch - mean) / (spread + 0.02)))
        third = self.third(second)
        fourth = self.fourth(third)
        up = self.up_third(torch.cat([_enlarged(fourth), third], 1))
        out = self.out(self.up_second(torch.cat([_enlarged(up), second], 1)))
        logit = self.present(torch.cat([fourth.mean((2, 3)), fourth.amax((2, 3))], 1))[:, 0]
        return self._corners(out), logit

    def _corners(self, out: Tensor) -> Tensor:
        heights = (out[:, 0:2].softmax(2) * self.v[:, None]).sum(2)  # (n, 2, columns)
        weights = softplus(out[:, 2:4].mean(2)) + 1e-4
        weights = weights / weights.sum(2, keepdim=True)
        middle_u = (weights * self.u).sum(2, keepdim=True)
        middle_v = (weights * heights).sum(2, keepdim=True)
        along = self.u - middle_u
        slope = (weights * along * (heights - middle_v)).sum(2, keepdim=True) / (
            (weights * along**2).sum(2, keepdim=True) + 1e-3
        )
        marginal = out[:, 4:8].flatten(2).softmax(2).reshape(-1, 4, *out.shape[2:]).sum(2)
        u = (marginal * self.u).sum(2).reshape(-1, 2, 2)  # plate, side
        return torch.stack([u, middle_v + slope * (u - middle_u)], 3).flatten(1, 2)


def shrunk(image: Tensor) -> Tensor:
    """What the finder reads of an input (n, 1, 1024, 512)."""
    return avg_pool2d(image, 4)
