"""What the numbers of an output tensor mean: calibrated, with their activation, within what the manifest declares."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import special

from shared.inference import Nonsense, Reading, Unreadable
from shared.packages.folder import Package
from shared.packages.output_tables import Calibration, Output
from shared.packages.shapes import ONE_NUMBER, Shape, fitting, in_words

Numbers = NDArray[np.float64]
Values = TypeVar("Values", NDArray[np.float64], NDArray[np.float32])
_ROUNDING = 1e-6  # float32 may put a probability of 1 that far above it


def shaped(
    package: Package, reading: Reading, tensor: str, patterns: Sequence[Shape]
) -> NDArray[np.float32]:  # fmt: skip
    """A row's values of `tensor`, with the axes of the first of `patterns` that they fit (shared.packages.shapes).

    Raises:
        Unreadable: they fit none.
    """
    values = reading.outputs[tensor]
    own = fitting(values.shape, patterns)
    if own is None:
        raise Nonsense(
            f"{package.name}: output {tensor!r} has shape {list(values.shape)} a row; {in_words(patterns)} was due"
        )
    return values.reshape(own)


def scalar(package: Package, reading: Reading, tensor: str) -> float:
    """The one number that `tensor` holds for a row.

    Raises:
        Unreadable: it holds another number of values.
    """
    return float(shaped(package, reading, tensor, ONE_NUMBER))


def number(package: Package, output: Output, reading: Reading) -> float:
    """The number that an output means for a row: calibrated, its activation applied, within the manifest's range.

    Raises:
        Unreadable: it is another number of values, or out of the range.
    """
    value = calibrated(output.calibration, scalar(package, reading, output.tensor))
    return ranged(package, output, float(activated(output, np.array(value))))


def calibrated(calibration: Calibration | None, value: float) -> float:
    """Slope · value + intercept, where there is a calibration (Platt 1999)."""
    return value if calibration is None else calibration.slope * value + calibration.intercept


def activated(output: Output, values: Values) -> Values:
    """`values` with the output's activation; a softmax goes over the first axis, that of the labels."""
    if output.activation == "softmax":
        return special.softmax(values, axis=0)
    return special.expit(values) if output.activation == "sigmoid" else values


def ranged(package: Package, output: Output, value: float) -> float:
    """`value` within the range that the manifest declares.

    Raises:
        Unreadable: it is out of it.
    """
    allowed = (0.0, 1.0) if output.kind == "binary" else output.range
    if allowed and not allowed[0] - _ROUNDING <= value <= allowed[1] + _ROUNDING:
        raise Unreadable(f"{package.name}: {output.name} is {value:g}, outside {allowed[0]:g} to {allowed[1]:g}")
    return min(max(value, allowed[0]), allowed[1]) if allowed else value


def probabilities(package: Package, output: Output, values: Values) -> Values:
    """`values` as probabilities: within rounding of 0 to 1, and then in it.

    Raises:
        Unreadable: one is not.
    """
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        worst = low if low < -_ROUNDING else high
        raise Unreadable(f"{package.name}: a probability of {output.name} is {worst:g}, outside 0 to 1")
    return np.clip(values, 0.0, 1.0)
