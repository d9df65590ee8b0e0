"""The supervised autoencoder, and the graph that is served: input tensor in, similarity and its parts out."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, softplus

SIDE = 64  # of what is encoded and rebuilt
BLOCK = 4  # pixels a side from which one place's mean and grain are taken
VIEW = SIDE * BLOCK
LATENT = 48
NEIGHBOURS = 5
_GRAIN_FLOOR = 0.02  # of the pool's deviation: below it, grain is rounding


def resized(image: Tensor) -> Tensor:
    """(n, c, rows, columns) to (n, c, 256, 256), linear; from 512 x 512 each is the mean of four."""
    return interpolate(image, size=(VIEW, VIEW), mode="bilinear", align_corners=False)


class Views(nn.Module):
    """(n, c, 256, 256) to (n, 2 c, 64, 64): each place's mean and the logarithm of its grain, the deviation within it.

    Means alone would be blind to noise and blur. Both are standardised by the pool's own `mean` and `deviation`.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("spread", torch.ones(1))
        self.register_buffer("mean", torch.zeros(2 * channels, 1, 1))
        self.register_buffer("deviation", torch.ones(2 * channels, 1, 1))

    def raw(self, image: Tensor) -> Tensor:
        """The same before it is standardised."""
        mean = avg_pool2d(image, BLOCK)
        variance = (avg_pool2d(image * image, BLOCK) - mean * mean).clamp(min=0)
        return torch.cat([mean, torch.log(torch.sqrt(variance + 1e-12) + _GRAIN_FLOOR * self.spread)], dim=1)

    def forward(self, image: Tensor) -> Tensor:
        return (self.raw(image) - self.mean) / self.deviation

    def fit(self, images: Tensor) -> None:
        """Take mean and deviation from a sample of the pool (n, c, 256, 256)."""
        self.spread.copy_(images.std().reshape(1) + 1e-6)
        raw = self.raw(images)
        self.mean.copy_(raw.mean((0, 2, 3))[:, None, None])
        self.deviation.copy_(raw.std((0, 2, 3))[:, None, None] + 1e-6)


def _down(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.SiLU())


def _up(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Upsample(scale_factor=2, mode="nearest"),
        nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.SiLU(),
    )


class SupervisedAutoencoder(nn.Module):
    """Encoder, decoder and task head over one latent space.

    Most of the latent is laid out over places, the rest sees means and maxima over places, for findings that may lie
    anywhere. The head gives, per value of the package's answer, a number (a logit, for probabilities) and the
    logarithm of its expected error.
    """

    def __init__(self, channels: int, values: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(_down(2 * channels, 24), _down(24, 48), _down(48, 64))
        self.thin = nn.Sequential(nn.Conv2d(64, 16, 1, bias=False), nn.BatchNorm2d(16), nn.SiLU())
        self.places = nn.Linear(16 * 64, LATENT - 16)
        self.anywhere = nn.Linear(128, 16)
        self.head = nn.Sequential(nn.Linear(LATENT, 32), nn.SiLU(), nn.Linear(32, 2 * values))
        self.seed = nn.Sequential(nn.Linear(LATENT, 16 * 64), nn.SiLU())
        self.decoder = nn.Sequential(
            _up(16, 48), _up(48, 32), nn.Conv2d(32, 8 * channels, 3, 1, 1), nn.PixelShuffle(2)
        )  # fmt: skip

    def encode(self, views: Tensor) -> Tensor:
        """(n, 2 c, 64, 64) to (n, 48)."""
        features = self.encoder(views)
        pooled = torch.cat([features.mean((2, 3)), features.amax((2, 3))], dim=1)
        return torch.cat([self.places(self.thin(features).flatten(1)), self.anywhere(pooled)], dim=1)

    def decode(self, latent: Tensor) -> Tensor:
        """(n, 48) to (n, 2 c, 64, 64)."""
        return self.decoder(self.seed(latent).reshape(-1, 16, 8, 8))

    def forward(self, views: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        latent = self.encode(views)
        number, log_error = self.head(latent).chunk(2, dim=1)
        return latent, self.decode(latent), number, log_error


class Survival(nn.Module):
    """ln P(X >= x) of values seen on calibration images: their empirical distribution, linear between quantiles.

    Beyond the largest value the tail goes on exponentially with the mean excess over the 90th percentile (peaks over
    threshold), so that what is further out is always less likely, however far.
    """

    def __init__(self, knots: int = 65) -> None:
        super().__init__()
        self.register_buffer("knots", torch.linspace(0, 1, knots))
        self.register_buffer("mass", torch.full((knots - 1,), 1 / knots))
        self.register_buffer("excess", torch.ones(1))

    def fit(self, values: Tensor) -> None:
        """From the calibration images' values (n,); n + 1 shares, so that the largest value has 1 / (n + 1)."""
        count, place = len(values), torch.linspace(0, 1, len(self.knots), dtype=torch.float64)
        levels = 1 - (1 - place) ** 2  # closer together towards the tail, where verdicts are made
        knots = torch.quantile(values.double(), levels)
        steps = torch.diff(knots).clamp(min=1e-6 * float(values.double().std()) + 1e-12)
        self.knots.copy_(torch.cat([knots[:1], knots[:1] + torch.cumsum(steps, 0)]).float())
        self.mass.copy_((torch.diff(levels) * count / (count + 1)).float())
        high = torch.quantile(values.double(), 0.9)
        self.excess.copy_((values.double()[values.double() >= high] - high).mean().clamp(min=1e-9).float().reshape(1))

    def forward(self, value: Tensor) -> Tensor:
        """(n, 1) to (n, 1)."""
        passed = ((value - self.knots[:-1]) / (self.knots[1:] - self.knots[:-1])).clamp(0, 1)
        body = torch.log(1 - (passed * self.mass).sum(1, keepdim=True))
        return body - (value - self.knots[-1:]).clamp(min=0) / self.excess


class Sage(nn.Module):
    """What is served: a row of the package's input (n, c, rows, columns) to similarity and its parts, each (n, 1).

    `similarity` is the share of calibration images that are at least as unlike the training data: the survival of
    T = - (ln p_knn + ln p_reconstruction + ln p_confidence), Fisher's combination of the three parts.
    """

    def __init__(self, channels: int, network: SupervisedAutoencoder, views: Views, probabilities: bool) -> None:
        super().__init__()
        self.views, self.network, self.probabilities = views, network, probabilities
        self.register_buffer("references", torch.zeros(512, LATENT))
        self.register_buffer("residual", torch.ones(2 * channels, SIDE, SIDE))
        self.knn, self.reconstruction, self.confidence, self.combined = (Survival() for _ in range(4))

    def measures(self, view: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(n, c, 256, 256) to kNN distance, reconstruction error and confidence, each (n, 1), before any distribution.

        The distance is the mean to the five nearest references, in the latent's own deviations; the error the mean
        square, each place in its own deviation on the training images; the confidence the mean |2 p - 1| of the head's
        probabilities or, for numbers in a unit, minus the logarithm of their expected error.
        """
        seen = self.views(view)
        latent, rebuilt, number, log_error = self.network(seen)
        apart = ((latent[:, None] - self.references[None]) ** 2).mean(2)
        nearest = torch.topk(apart, NEIGHBOURS, dim=1, largest=False).values
        distance = torch.sqrt(nearest + 1e-12).mean(1, keepdim=True)
        error = (((seen - rebuilt) / self.residual) ** 2).mean((1, 2, 3)).unsqueeze(1)
        sure = (2 * torch.sigmoid(number) - 1).abs() if self.probabilities else -log_error
        return distance, torch.log(error + 1e-12), sure.mean(1, keepdim=True)

    def score(self, distance: Tensor, error: Tensor, confidence: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The four outputs from the three measures."""
        parts = self.knn(distance), self.reconstruction(error), self.confidence(-confidence)
        similarity = torch.exp(self.combined(-sum(parts)))
        return similarity, *(torch.exp(part) for part in parts)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.score(*self.measures(resized(image)))


def supervised_loss(number: Tensor, log_error: Tensor, answer: Tensor, label: Tensor, probabilities: bool) -> Tensor:
    """How far the head is from the package's answer (n, values) and the truth (n, 1).

    Probabilities are taught the mean of answer and truth, so that what the package gets wrong draws the head to the
    middle and its confidence down. Numbers are taught the answer, and their error as Laplace's distribution has it.
    """
    if probabilities:
        taught = 0.5 * (answer + label) if answer.shape[1] == 1 else answer
        return nn.functional.binary_cross_entropy_with_logits(number, taught)
    error = (answer.mean(1, keepdim=True) - label).abs()
    doubt = log_error + error * torch.exp(-log_error)
    return softplus((number - answer).abs()).mean() - math.log(2) + 0.3 * doubt.mean()
