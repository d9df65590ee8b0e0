"""[[tensors.inputs.features]]: which numbers from the header a model takes beside the pixels."""

from typing import Annotated, Self

from pydantic import AfterValidator, model_validator
from pydicom.datadict import dictionary_VR, tag_for_keyword

from shared.packages.output_tables import Table

NUMBERS = frozenset({"AS", "DS", "FD", "FL", "IS", "SL", "SS", "UL", "US"})
TEXTS = frozenset({"CS", "LO", "SH"})


def _keyword(tag: str) -> str:
    number = tag_for_keyword(tag)
    if number is None:
        raise ValueError("write a DICOM keyword, as PatientAge")
    if not _vrs(tag) & (NUMBERS | TEXTS):
        raise ValueError(f"{tag} holds {dictionary_VR(number)}: neither a number, an age nor a short text")
    return tag


def _vrs(tag: str) -> set[str]:
    return set(dictionary_VR(tag).split(" or "))


def _not_zero(value: float) -> float:
    if value == 0:
        raise ValueError("nothing can be divided by zero")
    return value


class Feature(Table):
    """[[tensors.inputs.features]]: one number, from the header of the image, of a series from its first.

    A number becomes (number - subtract) / divide, an age in years likewise; a text becomes what `values` gives for it.
    `missing` stands in where the image says nothing of use, and the result then names the tag as missing; without it
    such an image is not read.
    """

    tag: Annotated[str, AfterValidator(_keyword)]
    values: dict[str, float] = {}
    subtract: float = 0.0
    divide: Annotated[float, AfterValidator(_not_zero)] = 1.0
    missing: float | None = None

    @property
    def vr(self) -> str:
        """The value representation (PS3.6) by which it is read."""
        return sorted(_vrs(self.tag))[0]

    @model_validator(mode="after")
    def _readable(self) -> Self:
        if self.vr in TEXTS and not self.values:
            raise ValueError(f"{self.tag} is text: write values, as values = {{ M = 0.0, F = 1.0 }}")
        if self.values and (self.subtract != 0 or self.divide != 1):
            raise ValueError("values are what the model takes: without subtract and divide")
        return self
