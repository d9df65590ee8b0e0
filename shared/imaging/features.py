"""Numbers from header and order that a model takes beside the pixels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from shared.dicom.once import read_part10
from shared.imaging.frames import Frame
from shared.imaging.headers import snake_case
from shared.packages.input_tables import Feature

OrderValues = Mapping[str, Sequence[str]]
"""What an order says, by the names of shared.packages.input_tables: of several the first that is of use counts."""
NO_ORDER: OrderValues = {}

_YEARS = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}  # of an Age String (PS3.5 6.2)

_LARGEST = float(np.finfo(np.float32).max)


class NoFeature(ValueError):
    """Header or order do not say what the model can't do without; the text is the reason in words."""


@dataclass
class FeatureReader:
    """Reads the features of one input tensor; each file's header once, whatever frames it has."""

    features: Sequence[Feature]
    order: OrderValues = field(default_factory=dict)
    _headers: dict[Path, Dataset] = field(default_factory=dict)

    def read(self, frame: Frame | None) -> tuple[NDArray[np.float32], tuple[str, ...]]:
        """The features' numbers (n,) for a frame, None where its series is missing; and the names of those that are
        missing and were stood in for.

        Raises:
            NoFeature: one is missing for which the manifest gives nothing to stand in.
        """
        said = [self._said(feature, frame) for feature in self.features]
        missing = [f for f, number in zip(self.features, said, strict=True) if number is None]
        if without := [feature for feature in missing if feature.missing is None]:
            raise NoFeature(_in_words(without))
        numbers = [f.missing if number is None else number for f, number in zip(self.features, said, strict=True)]
        return np.array(numbers, np.float32), tuple(feature.name for feature in missing)

    def _said(self, feature: Feature, frame: Frame | None) -> float | None:
        if feature.order:
            numbers = [_number(feature, text) for text in self.order.get(feature.order, ())]
            return next((number for number in numbers if number is not None), None)
        return None if frame is None else _number(feature, self._value(feature, frame))

    def _value(self, feature: Feature, frame: Frame) -> Any:
        """The frame's own value where it has functional groups, else the instance's."""
        name = snake_case(feature.tag)
        try:
            return frame.header[name] if name in frame.header else self._header(frame.path).get(feature.tag)
        except (TypeError, ValueError, OverflowError, NotImplementedError):  # a value that breaks its own VR
            return None

    def _header(self, path: Path) -> Dataset:
        if path not in self._headers:
            self._headers[path] = read_part10(path, [feature.tag for feature in self.features if feature.tag])[0]
        return self._headers[path]


def _in_words(without: Sequence[Feature]) -> str:
    """What does not say what, and what the model can't do without."""
    images = [feature.name for feature in without if not feature.order]
    orders = [feature.name for feature in without if feature.order]
    said = [
        f"{who} does not say {', '.join(names)}"
        for who, names in (("the image", images), ("the order", orders))
        if names
    ]
    return f"{' and '.join(said)} in a way that the model can read"


def _number(feature: Feature, value: Any) -> float | None:
    """What a value stands for; None where it says nothing of use."""
    several = isinstance(value, Sequence) and not isinstance(value, str)
    first = (value[0] if len(value) else None) if several else value
    if first is None:
        return None
    if feature.values:
        said = {text.upper(): number for text, number in feature.values.items()}
        return said.get(str(first).strip().upper())
    try:
        number = _years(first) if feature.vr == "AS" else float(first)
    except (KeyError, TypeError, ValueError):
        return None
    number = (number - feature.subtract) / feature.divide
    return number if abs(number) <= _LARGEST else None


def _years(age: Any) -> float:
    text = str(age).strip().upper()
    return int(text[:-1]) * _YEARS[text[-1:]]
