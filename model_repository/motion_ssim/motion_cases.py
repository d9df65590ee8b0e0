"""The gate's recorded cases: what it says of real slices of people kept out, moved anew, with the strata of the report.

People and slices have made-up names; what is told of a series is technical.
"""

import re
from collections.abc import Iterator, Sequence

import numpy as np
from motion_pairs import HELD_OUT, Pair, Series
from numpy.typing import NDArray

from shared.packages.validation.predictions import Prediction

MOTION = {"0 (still)": 0.0, "0 to 0.12": 0.12, "0.12 to 0.45": 0.45, "0.45 to 1": 1.0}
TRUTH = {"0.00 to 0.70": 0.70, "0.70 to 0.85": 0.85, "0.85 to 0.95": 0.95, "0.95 to 1.00": np.inf}


def cases(series: Series, pairs: Sequence[Pair], predicted: NDArray[np.float64]) -> Iterator[Prediction]:
    """A line a pair; `pairs` are moved versions of the slices of `series`, equally many of each, in their order."""
    draws = len(pairs) // len(series.slices)
    person = "AB"[HELD_OUT.index(series.subject)]
    sequence = re.sub(r" \(.*", "", series.technique["contrast"])
    told = {
        "person": person,
        "vendor": series.technique["vendor"],
        "field_strength": f"{series.technique['field_T']} T",
        "sequence": sequence,
        "matrix": " × ".join(map(str, series.slices[0].shape)),
    }
    for n, (pair, said) in enumerate(zip(pairs, predicted, strict=True)):
        strata = told | {"motion": _up_to(pair.severity, MOTION), "true_ssim": _up_to(pair.ssim, TRUTH)}
        name = f"{person} {sequence} slice {n // draws + 1} draw {n % draws + 1}"
        yield Prediction("ssim", name, pair.ssim, float(said), strata)


def _up_to(value: float, names: dict[str, float]) -> str:
    return next(name for name, end in names.items() if value <= end)
