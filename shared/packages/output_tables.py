"""[[outputs]] of a package's manifest: what each output of the model means, with its labels, code and unit."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared.findings import Code, Site
from shared.packages.codes import check_code, check_unit

OUTPUT_NAME = r"^[a-z][a-z0-9_]{0,47}$"

OutputKind = Literal[
    "binary", "multilabel", "ordinal", "regression", "segment", "landmark", "measurement", "embedding", "image"
]
CODED_LABELS: frozenset[str] = frozenset({"multilabel", "ordinal", "segment"})
AREAS = {"mm2": 1.0, "cm2": 1e-2}
VOLUMES = {"mm3": 1.0, "cm3": 1e-3, "mL": 1e-3, "ml": 1e-3, "L": 1e-6, "l": 1e-6}
"""UCUM units of a measurement `of` a segment, and how many of them are one mm² or mm³."""
_MOST_LABELS = 255  # the pixels of a segmentation have 8 bits
POINTS_OF_GEOMETRY = {"length": 2, "angle": 4}
"""How many points a measurement's geometry takes; an area takes any number from three on."""


class Table(BaseModel):
    """A table of package.toml: no other keys, no infinite numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Coded(Table):
    """A table with a code."""

    code: Code

    @model_validator(mode="after")
    def _known(self) -> Self:
        check_code(self.code)
        return self


class Calibration(Table):
    """[outputs.calibration], or of a label: a logit becomes slope · logit + intercept before the activation (Platt)."""

    slope: float = 1.0
    intercept: float = 0.0


class Label(Coded):
    """[[outputs.labels]]: one label, grade or segment; `threshold` stands in for the output's, `calibration` is of a
    multilabel's."""

    name: Annotated[str, Field(pattern=OUTPUT_NAME)]
    threshold: Annotated[float, Field(gt=0, lt=1)] | None = None
    calibration: Calibration | None = None
    colour: Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")] | None = None  # of a segment, as viewers draw it


class Output(Coded):
    """[[outputs]]: what one output of the model means.

    A measurement with a `geometry` takes its points from the tensor, and its number from the points once they are back
    on the source image; one `of` a segment is that segment's volume or area; one with neither is the tensor's number.
    """

    name: Annotated[str, Field(pattern=OUTPUT_NAME)]
    tensor: str
    kind: OutputKind
    unit: str = "1"
    range: tuple[float, float] | None = None
    threshold: Annotated[float, Field(gt=0, lt=1)] | None = None  # of a probability
    activation: Literal["none", "sigmoid", "softmax"] = "none"
    calibration: Calibration | None = None
    labels: list[Label] = []
    series: str = ""  # of a study: on which of [[grouping.series]] it lies; the first unless it is said
    site: Site | None = None  # where in the body it is, of every study alike
    geometry: Literal["length", "angle", "area"] | None = None
    of: str = ""  # the segment output that is measured, or one of its labels: output.label
    fractional: bool = False  # a segment of one label is kept as probabilities
    confidence_tensor: str = ""
    minimum_confidence: Annotated[float, Field(ge=0, le=1)] | None = None  # below it, the output says nothing

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        check_unit(self.unit)
        if self.site:
            check_code(self.site.code)
        if self.kind in CODED_LABELS and not self.labels:
            raise ValueError(f'kind = "{self.kind}" names its labels: add [[outputs.labels]] with name and code')
        if self.labels and self.kind not in CODED_LABELS:
            raise ValueError(f'kind = "{self.kind}" has no labels: remove them, or change the kind')
        if self.activation == "softmax" and not self.labels:
            raise ValueError(
                'activation = "softmax" is of several labels: write "sigmoid", or fold it into the network'
            )
        if self.calibration and (self.labels or self.geometry or self.kind in ("landmark", "embedding", "image")):
            raise ValueError("calibration is of a single number: fold it into the network, or remove it")
        self._check_labels()
        self._check_measured()
        if self.fractional and (self.kind != "segment" or len(self.labels) != 1 or self.threshold is not None):
            raise ValueError('fractional is for kind = "segment" with one label, and without a threshold')
        if self.minimum_confidence is not None and not self.confidence_tensor:
            raise ValueError("minimum_confidence needs a confidence_tensor that tells the confidence")
        return self

    def _check_measured(self) -> None:
        if (self.geometry or self.of) and self.kind != "measurement":
            raise ValueError('geometry and of are for kind = "measurement"')
        if self.geometry and self.of:
            raise ValueError("a measurement has a geometry, or is of a segment; not both")
        if self.of and self.unit not in {**AREAS, **VOLUMES}:
            raise ValueError(f"a measurement of a segment has a unit of {', '.join({**AREAS, **VOLUMES})}")

    def _check_labels(self) -> None:
        names = [label.name for label in self.labels]
        if len(names) != len(set(names)):
            raise ValueError("two labels have one name: each result is told by it")
        if len(names) > _MOST_LABELS:
            raise ValueError(f"at most {_MOST_LABELS} labels")
        if self.kind == "ordinal" and len(names) < 2:
            raise ValueError('kind = "ordinal" is a scale of two grades or more, the least first')
        if self.kind != "multilabel" and any(label.calibration for label in self.labels):
            raise ValueError('a label has a calibration only where kind = "multilabel"')
        if self.activation == "softmax" and any(label.calibration for label in self.labels):
            raise ValueError('a calibration is of a logit of its own: fold it into the network, or write "sigmoid"')
