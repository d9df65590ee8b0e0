"""The two networks of chest_opacity's recipe: patches read one by one, and the same backbone on whole images."""

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

PATCH = 32  # of the halved image, so 64 of the image as given
GRID = 8


def _block(inputs: int, outputs: int, stride: int, size: int = 3) -> nn.Sequential:
    """Convolution, normalisation, rectifier."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class Backbone(nn.Module):
    """Features (n, 96, h / 8, w / 8) of a halved image (n, 1, h, w)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(_block(1, 32, 2, 5), _block(32, 48, 2), _block(48, 64, 1), _block(64, 96, 2))

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image * 4 - 2)


class Head(nn.Module):
    """One logit (n,) from features: mean and maximum over the places, then two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(192, 48), nn.ReLU(inplace=True), nn.Linear(48, 1))

    def forward(self, features: Tensor) -> Tensor:
        pooled = torch.cat([features.mean((2, 3)), features.amax((2, 3))], dim=1)
        return self.layers(pooled)[:, 0]


class PatchNetwork(nn.Module):
    """Image (n, 1, 512, 512) to logit (n, 1) and patch logits (n, 8, 8), whose mean is the logit.

    After MedicalPatchNet: each patch is read alone, and the logits are averaged. `scale` and `shift` calibrate the
    patch logits linearly, so the sum stays exact.
    """

    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.head = Backbone(), Head()
        self.register_buffer("scale", torch.tensor(8.0))
        self.register_buffer("shift", torch.tensor(0.0))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        return self.read(avg_pool2d(image, 2))

    def read(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The same from an image halved already, (n, 1, 256, 256)."""
        tiles = image.reshape(-1, GRID, PATCH, GRID, PATCH).permute(0, 1, 3, 2, 4).reshape(-1, 1, PATCH, PATCH)
        patch_logits = self.head(self.backbone(tiles)).reshape(-1, GRID, GRID) * self.scale + self.shift
        return patch_logits.mean((1, 2)).unsqueeze(1), patch_logits


class WholeNetwork(nn.Module):
    """The same backbone and head on the whole image: image (n, 1, 512, 512) to logit (n, 1) and its features."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.head = Backbone(), Head()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        return self.read(avg_pool2d(image, 2))

    def read(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The same from an image halved already, (n, 1, 256, 256)."""
        features = self.backbone(image)
        return self.head(features).unsqueeze(1), features
