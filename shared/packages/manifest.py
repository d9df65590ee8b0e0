"""A package's manifest, `model_repository/<name>/package.toml`, schema 2: what it reads, needs, does and claims.

One pydantic model; every mistake is told with file, line and what to write (shared.toml_lines). Older schemas are
brought here by shared.packages.migrations.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared.findings import Code, Site
from shared.packages.codes import check_code, check_unit
from shared.result_profiles import DICOM_KINDS, DicomKind

SCHEMA = 2

NAME = r"^[a-z][a-z0-9_]{1,47}$"
OUTPUT_NAME = r"^[a-z][a-z0-9_]{0,47}$"
VERSION = r"^\d+\.\d+\.\d+$"
DIGEST = r"^sha256:[0-9a-f]{64}$"

OutputKind = Literal[
    "binary", "multilabel", "ordinal", "regression", "segment", "landmark", "measurement", "embedding", "image"
]
CODED_LABELS: frozenset[str] = frozenset({"multilabel", "ordinal", "segment"})
POINTS_OF_GEOMETRY = {"length": 2, "angle": 4}
"""How many points a measurement's geometry takes; an area takes any number from three on."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class PackageTable(_Table):
    """[package]: identity and intended use."""

    name: Annotated[str, Field(pattern=NAME)]
    version: Annotated[str, Field(pattern=VERSION)]
    kind: Literal["gate", "reader"]
    title: str
    intended_use: str
    use_mark: str = "not-for-clinical-use"


class PaperTable(_Table):
    """[paper]: what the package implements."""

    seed: str = ""
    title: str = ""
    claims: str = ""


class SelectorTable(_Table):
    """[selector]: which series the package reads; all given keys must hold."""

    modality: list[str] = []
    body_part: list[str] = []
    sop_class: list[str] = []
    view_position: list[str] = []
    minimum_instances: int = 1

    def takes_view(self, view_position: str) -> bool:
        """Whether an image of this View Position (0018,5101) is read; one that says none is taken as it is."""
        return not (self.view_position and view_position) or view_position.upper() in self.view_position


class GroupingTable(_Table):
    """[grouping]: what one row of the model's input is made of, and what a row may lack."""

    by: Literal["image", "series", "study"] = "image"
    optional: list[str] = []  # named inputs that may be missing: a result then says so


class Step(BaseModel):
    """[[preprocess]]: a named step and its parameters."""

    model_config = ConfigDict(extra="allow", frozen=True)
    step: str

    @property
    def parameters(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class Tensor(_Table):
    """A tensor that goes into the model, without the batch dimension; -1 is any size.

    `source` says what fills it: the prepared pixels ([channels, rows, columns] by image, [channels, slices, rows,
    columns] by series or study), a mask of real slices ([slices]), or features ([n]) that steps took from the header.
    """

    name: str
    dtype: Literal["FP32"] = "FP32"
    shape: list[int]
    source: Literal["pixels", "slice_mask", "features"] = "pixels"


class TensorsTable(_Table):
    """[tensors]: what goes in."""

    inputs: Annotated[list[Tensor], Field(min_length=1)]

    @model_validator(mode="after")
    def _one_of_pixels(self) -> Self:
        if [tensor.source for tensor in self.inputs].count("pixels") != 1:
            raise ValueError('exactly one input has source = "pixels"')
        return self

    @property
    def pixels(self) -> Tensor:
        """The input that holds the pixels."""
        return next(tensor for tensor in self.inputs if tensor.source == "pixels")


class _Coded(_Table):
    code: Code

    @model_validator(mode="after")
    def _known(self) -> Self:
        check_code(self.code)
        return self


class Label(_Coded):
    """[[outputs.labels]]: one label, grade or segment; `threshold` stands in for the output's."""

    name: Annotated[str, Field(pattern=OUTPUT_NAME)]
    threshold: Annotated[float, Field(gt=0, lt=1)] | None = None
    colour: Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")] | None = None  # of a segment, as viewers draw it


class Calibration(_Table):
    """[outputs.calibration]: a logit becomes slope · logit + intercept before the activation (Platt)."""

    slope: float = 1.0
    intercept: float = 0.0


class Output(_Coded):
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
    site: Site | None = None  # where in the body it is, of every study alike
    geometry: Literal["length", "angle", "area"] | None = None
    of: str = ""  # the segment output that is measured
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
        if (self.geometry or self.of) and self.kind != "measurement":
            raise ValueError('geometry and of are for kind = "measurement"')
        if self.geometry and self.of:
            raise ValueError("a measurement has a geometry, or is of a segment; not both")
        if self.minimum_confidence is not None and not self.confidence_tensor:
            raise ValueError("minimum_confidence needs a confidence_tensor that tells the confidence")
        return self


class Concept(_Coded):
    """[[explanation.concepts]]: what one value of the explanation's tensor stands for."""

    name: Annotated[str, Field(pattern=OUTPUT_NAME)]


class ExplanationTable(_Table):
    """[explanation]: what shows why, of one of four kinds, each of which can be checked.

    additive_patches: a map whose mean is the logit. concepts: contributions whose sum, with `bias`, is the logit.
    slice_weights: one a slice, which sum to one over the real slices. attribution_map: values on the input's grid;
    hiding the places that it marks moves the score.
    """

    kind: Literal["none", "additive_patches", "concepts", "slice_weights", "attribution_map"] = "none"
    tensor: str = ""
    region_fraction: Annotated[float, Field(ge=0, le=1)] = 0.5  # regions outline patches from this part of the highest
    concepts: list[Concept] = []
    bias: float = 0.0

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.kind == "none") != (not self.tensor):
            raise ValueError('an explanation has a kind and the tensor that holds it; without one, kind = "none"')
        if (self.kind == "concepts") != bool(self.concepts):
            raise ValueError('kind = "concepts" names its [[explanation.concepts]], and only it')
        return self


class GateTable(_Table):
    """[gate]: how scores become a verdict (kind = "gate" only)."""

    direction: Literal["higher-is-better"] = "higher-is-better"
    unit: str = "1"
    aggregate: Annotated[str, Field(pattern=r"^(mean|min|percentile:\d{1,2})$")] = "mean"
    warn_below: float
    hold_below: float
    on_failure: Literal["warn", "hold"] = "hold"


class GatesTable(_Table):
    """[gates]: which gates must have spoken before the package reads: plain ones, and gate packages."""

    required: list[str] = ["completeness", "geometry"]


class WeightsTable(_Table):
    """[weights]: the file that was validated; another one is refused."""

    digest: Annotated[str, Field(pattern=DIGEST)] | None = None


class ResourcesTable(_Table):
    """[resources]: what a run of the package may take; `[packages.<name>]` of isocenter.toml overrides it."""

    timeout_seconds: Annotated[float, Field(gt=0, le=3600)] | None = None  # of one request
    concurrency: Annotated[int, Field(ge=1, le=64)] | None = None  # runs at once
    most_attempts: Annotated[int, Field(ge=1, le=1000)] | None = None
    memory_mb: Annotated[int, Field(ge=1)] | None = None  # measured by validate


class ResultsTable(_Table):
    """[results]: which objects may come out; which of them are made is for the destinations to say."""

    dicom: list[DicomKind] = list(DICOM_KINDS)
    hl7: list[Literal["ORU"]] = ["ORU"]


class Limit(_Table):
    """[limits]: what a figure of [validation] must keep to before the package may be promoted."""

    min: float | None = None
    max: float | None = None


class Manifest(_Table):
    """The whole `package.toml`."""

    schema_version: Annotated[Literal[2], Field(alias="schema")]
    package: PackageTable
    paper: PaperTable = PaperTable()
    selector: SelectorTable
    grouping: GroupingTable = GroupingTable()
    preprocess: list[Step] = []
    tensors: TensorsTable
    outputs: Annotated[list[Output], Field(min_length=1)]
    explanation: ExplanationTable = ExplanationTable()
    gate: GateTable | None = None
    gates: GatesTable = GatesTable()
    weights: WeightsTable = WeightsTable()
    resources: ResourcesTable = ResourcesTable()
    results: ResultsTable = ResultsTable()
    training: dict[str, Any] = {}
    validation: dict[str, Any] = {}
    limits: dict[str, Limit] = {}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.package.kind == "gate") != (self.gate is not None):
            raise ValueError('a package of kind "gate" needs a [gate] table, and only such a one may have it')
        if self.gate and any(output.site for output in self.outputs):
            raise ValueError("a gate's score is of a whole series: remove site")
        if self.gate and self.gate.hold_below > self.gate.warn_below:
            raise ValueError("gate.hold_below must not be above gate.warn_below: hold is the stricter verdict")
        if self.explanation.kind in ("additive_patches", "concepts") and any(o.calibration for o in self.outputs):
            raise ValueError("an explanation that sums to the logit needs the calibration folded into the network")
        names = [output.name for output in self.outputs]
        if len(names) != len(set(names)):
            raise ValueError("two outputs have one name: each result is told by it")
        segments = {output.name for output in self.outputs if output.kind == "segment"}
        for output in self.outputs:
            if output.of and output.of not in segments:
                raise ValueError(f"outputs {output.name}: of = {output.of!r} is no segment output of this package")
        return self
