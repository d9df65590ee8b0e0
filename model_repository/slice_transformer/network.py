"""The two networks of slice_transformer's recipe: a transformer over slices, and a 3D ResNet of as many parameters."""

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

SIZE = 96
WIDTH, HEADS = 64, 4
SLOPES = (1.0, 0.25, 0.0625, 0.0)  # of the heads: how fast attention falls with the distance in slices
DEPTH = 32  # slices of the 3D ResNet
FAR = -1e9  # a score whose softmax is exactly 0 in float32


class SliceEncoder(nn.Module):
    """Tokens (n, WIDTH) of single slices (n, 1, SIZE, SIZE) in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(_block(1, 16, 2, 5), _block(16, 32, 2), _block(32, 48, 1), _block(48, 96, 2))
        self.token = nn.Linear(2 * 96, WIDTH)

    def forward(self, image: Tensor) -> Tensor:
        features = self.layers(image * 4 - 2)
        return self.token(torch.cat([features.mean((2, 3)), features.amax((2, 3))], dim=1))


def _block(inputs: int, outputs: int, stride: int, size: int = 3) -> nn.Sequential:
    """Convolution, normalisation, rectifier."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class TransformerLayer(nn.Module):
    """Attention among slices, then two linear layers on each; both added to the tokens (pre-norm).

    The place of a slice enters only by its distance to the others (ALiBi, Press et al. 2022, both ways): any number of
    slices is like any other, and a series read from the other end gives the same.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first_norm, self.second_norm = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.query_key_value, self.mixed = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.wide, self.narrow = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)
        self.dropout = nn.Dropout(0.1)
        for last in (self.mixed, self.narrow):  # slices begin alone, and learn to look at each other
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, tokens: Tensor, bias: Tensor) -> Tensor:
        """`tokens` (n, slices, WIDTH); `bias` (n, HEADS, slices, slices) added to the scores."""
        tokens = tokens + self.dropout(self._attend(self.first_norm(tokens), bias))
        return tokens + self.dropout(self.narrow(relu(self.wide(self.second_norm(tokens)))))

    def _attend(self, tokens: Tensor, bias: Tensor) -> Tensor:
        parts = self.query_key_value(tokens).unflatten(2, (3, HEADS, WIDTH // HEADS)).permute(2, 0, 3, 1, 4)
        query, key, value = parts[0], parts[1], parts[2]
        scores = query @ key.transpose(2, 3) * (WIDTH // HEADS) ** -0.5 + bias
        return self.mixed((scores.softmax(3) @ value).transpose(1, 2).flatten(2))


class SliceTransformer(nn.Module):
    """Slices (n, 1, slices, SIZE, SIZE) in [0, 1] and their mask (n, slices), 1 real and 0 padding, to the logit (n, 1)
    and the weights (n, slices), which sum to one over the real slices and are 0 on padding.

    After the Medical Slice Transformer, with another pooling: a slice's score decides both how much it weighs (softmax)
    and what it says, so that weight can't lie where nothing is said. `scale` and `shift` are learned, then calibrated.
    """

    def __init__(self, layers: int = 1) -> None:
        super().__init__()
        self.encoder = SliceEncoder()
        self.transformer = nn.ModuleList(TransformerLayer() for _ in range(layers))
        self.norm = nn.LayerNorm(WIDTH)
        self.score = nn.Linear(WIDTH, 1)
        self.scale, self.shift = nn.Parameter(torch.tensor(1.0)), nn.Parameter(torch.tensor(0.0))
        self.register_buffer("slopes", torch.tensor(SLOPES))

    def forward(self, slices: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        tokens = self.encoder(slices.transpose(1, 2).flatten(0, 1)).reshape(slices.shape[0], -1, WIDTH)
        return self.read(tokens, mask)

    def train_on(self, slices: Tensor, mask: Tensor) -> Tensor:
        """Logits (n,) of the same, whose encoder and its normalisation see the real slices only."""
        real = mask > 0.5
        found = self.encoder(slices[:, 0][real][:, None].contiguous(memory_format=torch.channels_last))
        tokens = torch.zeros(*mask.shape, WIDTH).masked_scatter(real[:, :, None], found)
        return self.read(tokens, mask)[0][:, 0]

    def read(self, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Logit and weights from tokens (n, slices, WIDTH)."""
        place = mask.cumsum(1)  # counts the real slices, wherever padding lies
        distance = (place[:, None, :] - place[:, :, None]).abs()
        hidden = (1 - mask)[:, None, None, :] * FAR
        bias = hidden - self.slopes[None, :, None, None] * distance[:, None]
        for layer in self.transformer:
            tokens = layer(tokens, bias)
        scores = self.score(self.norm(tokens))[:, :, 0]
        weights = (scores + (1 - mask) * FAR).softmax(1) * mask
        return (weights * scores).sum(1, keepdim=True) * self.scale + self.shift, weights


class _Residual(nn.Module):
    """Two 3D convolutions past which the input goes on."""

    def __init__(self, inputs: int, outputs: int, stride: tuple[int, int, int]) -> None:
        super().__init__()
        self.first = nn.Conv3d(inputs, outputs, 3, stride, 1, bias=False)
        self.second = nn.Conv3d(outputs, outputs, 3, 1, 1, bias=False)
        self.first_norm, self.second_norm = nn.BatchNorm3d(outputs), nn.BatchNorm3d(outputs)
        self.past = nn.Sequential(nn.Conv3d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm3d(outputs))

    def forward(self, volume: Tensor) -> Tensor:
        inner = relu(self.first_norm(self.first(volume)))
        return relu(self.second_norm(self.second(inner)) + self.past(volume))


class ResNet3D(nn.Module):
    """The opponent: a 3D ResNet with the transformer's number of parameters; mean and maximum over the places.

    It needs volumes of one size: each is resampled along the slices to DEPTH of them, as the paper does.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv3d(1, 16, (3, 5, 5), (1, 2, 2), (1, 2, 2), bias=False),
            nn.BatchNorm3d(16),
            nn.ReLU(inplace=True),
            _Residual(16, 20, (1, 2, 2)),
            _Residual(20, 28, (2, 2, 2)),
            _Residual(28, 32, (2, 2, 2)),
        )
        self.head = nn.Linear(64, 1)

    def forward(self, slices: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """As SliceTransformer, with equal weights; padding must lie at the end."""
        return self.train_on(slices, mask)[:, None], mask / mask.sum(1, keepdim=True)

    def train_on(self, slices: Tensor, mask: Tensor) -> Tensor:
        """Logits (n,)."""
        sized = [
            interpolate(one[None, :, : int(real.sum())], (DEPTH, SIZE, SIZE), mode="trilinear")
            for one, real in zip(slices, mask, strict=True)
        ]
        features = self.layers(torch.cat(sized).contiguous(memory_format=torch.channels_last_3d) * 4 - 2)
        return self.head(torch.cat([features.mean((2, 3, 4)), features.amax((2, 3, 4))], dim=1))[:, 0]
