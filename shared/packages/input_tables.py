"""[[tensors.inputs.features]]: which numbers from header and order a model takes beside the pixels."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, model_validator
from pydicom.datadict import dictionary_VR, tag_for_keyword

from shared.packages.output_tables import Table

NUMBERS = frozenset({"AS", "DS", "FD", "FL", "IS", "SL", "SS", "UL", "US"})
TEXTS = frozenset({"CS", "LO", "SH"})
OrderValue = Literal[
    "patient_age", "patient_class", "patient_sex", "priority", "reason_for_study", "requested_procedure"
]
ORDER_NUMBERS = frozenset({"patient_age", "priority"})
"""Values of an order that are numbers; the others are codes."""


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
    """[[tensors.inputs.features]]: one number, from the header of the image (`tag`; of a series from its first) or
    from the order.

    A number becomes (number - subtract) / divide, an age in years likewise; a text becomes what `values` gives for it.
    `missing` stands in where nothing of use is said, and the result then names the feature as missing; without it
    such an image is not read.
    """

    tag: Annotated[str, AfterValidator(_keyword)] = ""
    order: OrderValue | None = None
    values: dict[str, float] = {}
    subtract: float = 0.0
    divide: Annotated[float, AfterValidator(_not_zero)] = 1.0
    missing: float | None = None

    @property
    def name(self) -> str:
        """What it is called where it is missing."""
        return self.order or self.tag

    @property
    def vr(self) -> str:
        """The value representation (PS3.6) by which it is read; an order's numbers are decimal strings, too."""
        if self.order:
            return "DS" if self.order in ORDER_NUMBERS else "CS"
        return sorted(_vrs(self.tag))[0]

    @model_validator(mode="after")
    def _readable(self) -> Self:
        if bool(self.tag) == bool(self.order):
            raise ValueError("a feature is from the header or from the order: write tag or order, one of both")
        if self.vr in TEXTS and not self.values:
            raise ValueError(f"{self.name} is text: write values, as values = {{ M = 0.0, F = 1.0 }}")
        if self.values and (self.subtract != 0 or self.divide != 1):
            raise ValueError("values are what the model takes: without subtract and divide")
        return self
