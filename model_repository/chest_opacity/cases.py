"""What chest_opacity said of each phantom kept out beside what was planted, with the strata of the report."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pool import SIZE, Opacity, Pool
from scipy.special import expit

from shared.packages.validation.predictions import Prediction

THRESHOLD = 0.5
CONTRASTS_CM = {"1 to 2 cm of water": 2.0, "2 to 3 cm of water": 3.0, "3 to 5 cm of water": np.inf}
DEPTHS_CM = {"18 to 20 cm": 20.0, "20 to 22.5 cm": 22.5, "22.5 to 25 cm": np.inf}


def cases(pool: Pool, logits: NDArray[np.float64], first_seed: int) -> list[Prediction]:
    """A line an image of `pool`, named by its seed; `logits` (n,) are calibrated."""
    rows = zip(pool.opacities, pool.people, expit(logits), strict=True)
    return [
        Prediction(
            "opacity",
            str(first_seed + n),
            float(bool(planted)),
            float(said),
            _person(*map(float, person)) | _seen(planted),
        )
        for n, (planted, person, said) in enumerate(rows)
    ]


def _person(depth_cm: float, breast_cm: float) -> dict[str, str]:
    """What makes any chest harder to read: its depth, and a breast's shadow over the lower lung."""
    return {"chest_depth": _up_to(depth_cm, DEPTHS_CM), "breast_shadow": "yes" if breast_cm else "no"}


def _seen(planted: Sequence[Opacity]) -> dict[str, str]:
    """How many opacities there are, the plainest one's contrast, and on which side of the patient they lie."""
    if not planted:
        return {}
    sides = {"left" if opacity.column >= SIZE / 2 else "right" for opacity in planted}
    return {
        "opacities": str(len(planted)),
        "highest_contrast": _up_to(max(opacity.contrast for opacity in planted), CONTRASTS_CM),
        "side": "both" if len(sides) > 1 else sides.pop(),
    }


def _up_to(value: float, names: dict[str, float]) -> str:
    return next(name for name, end in names.items() if value <= end)
