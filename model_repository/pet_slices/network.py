"""The network of pet_slices: one axial PET slice to the logit that it shows a lesion."""

from torch import Tensor, cat, nn

SIZE = 96


class SliceNetwork(nn.Module):
    """Slices (n, 1, SIZE, SIZE), SUV 0 to 15 as 0 to 1, to logits (n, 1).

    A small residual network in place of the paper's ResNet-18; the mean and the maximum over places, so that a lesion
    of few pixels counts. `platt` is set after training.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(_block(1, 16, 1), _Residual(16, 24), _Residual(24, 40), _Residual(40, 64))
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(128, 1))
        self.platt = nn.Linear(1, 1)
        nn.init.ones_(self.platt.weight)
        nn.init.zeros_(self.platt.bias)
        self.platt.requires_grad_(False)

    def forward(self, slices: Tensor) -> Tensor:
        features = self.layers(slices.sqrt() * 2 - 1)
        return self.platt(self.head(cat([features.mean((2, 3)), features.amax((2, 3))], dim=1)))


def _block(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """Convolution, normalisation, rectifier."""
    convolution = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class _Residual(nn.Module):
    """Half the rows and columns, past which the input goes on."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(_block(inputs, outputs, 2), _block(outputs, outputs, 1))
        self.past = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(inputs, outputs, 1, bias=False))

    def forward(self, features: Tensor) -> Tensor:
        return self.inner(features) + self.past(features)
