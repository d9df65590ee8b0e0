"""A package's manifest, `model_repository/<name>/package.toml`, schema 2: what it reads, needs, does and claims.

One pydantic model; every mistake is told with file, line and what to write (shared.toml_lines). Older schemas are
brought here by shared.packages.migrations.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared.packages.input_tables import Feature
from shared.packages.output_tables import OUTPUT_NAME, Coded, Output, Table
from shared.packages.selector_tables import GroupingTable, SelectorTable
from shared.packages.series_checks import wrong_series
from shared.packages.tile_tables import TilesTable, check_tiles
from shared.result_profiles import DICOM_KINDS, DicomKind

SCHEMA = 2

NAME = r"^[a-z][a-z0-9_]{1,47}$"
VERSION = r"^\d+\.\d+\.\d+$"
DIGEST = r"^sha256:[0-9a-f]{64}$"


class PackageTable(Table):
    """[package]: identity and intended use."""

    name: Annotated[str, Field(pattern=NAME)]
    version: Annotated[str, Field(pattern=VERSION)]
    kind: Literal["gate", "reader"]
    title: str
    intended_use: str
    use_mark: str = "not-for-clinical-use"


class PaperTable(Table):
    """[paper]: what the package implements."""

    seed: str = ""
    title: str = ""
    claims: str = ""


class Step(BaseModel):
    """[[preprocess]]: a named step and its parameters; with `series` it is of these alone."""

    model_config = ConfigDict(extra="allow", frozen=True)
    step: str
    series: list[str] = []

    @property
    def parameters(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class Tensor(Table):
    """A tensor that goes into the model, without the batch dimension; -1 is any size.

    `source` says what fills it: the prepared pixels ([channels, rows, columns] by image, [channels, slices, rows,
    columns] by series, either of these of a series in a study), a mask of real slices ([slices]), features ([n]) from
    header and order, or which of a study's series are there ([series]). Of what is missing it holds zeros.
    """

    name: str
    dtype: Literal["FP32"] = "FP32"
    shape: list[int]
    source: Literal["pixels", "slice_mask", "features", "present"] = "pixels"
    series: str = ""  # of a study: which of [[grouping.series]] it is of; features: the first unless it is said
    features: list[Feature] = []

    @model_validator(mode="after")
    def _one_place_a_feature(self) -> Self:
        if self.features and self.source != "features":
            raise ValueError('features are of an input with source = "features"')
        if self.features and self.shape != [len(self.features)]:
            raise ValueError(f"{len(self.features)} features fill shape = [{len(self.features)}], not {self.shape}")
        return self


class TensorsTable(Table):
    """[tensors]: what goes in."""

    inputs: Annotated[list[Tensor], Field(min_length=1)]

    @model_validator(mode="after")
    def _one_of_pixels(self) -> Self:
        of = [tensor.series for tensor in self.inputs if tensor.source == "pixels"]
        if not of or len(of) != len(set(of)):
            raise ValueError('exactly one input has source = "pixels"; where a study is read, one of each series')
        return self

    @property
    def pixels(self) -> Tensor:
        """The input that holds the pixels, of several the first."""
        return next(tensor for tensor in self.inputs if tensor.source == "pixels")

    def pixels_of(self, series: str) -> Tensor:
        """The input that holds the pixels of a named series; of the only one, whose name is empty."""
        return next(tensor for tensor in self.inputs if tensor.source == "pixels" and tensor.series == series)


SCORES = ("binary", "multilabel", "ordinal", "regression", "measurement")
"""Kinds whose numbers an attribution map may be of."""


class Concept(Coded):
    """[[explanation.concepts]]: what one value of the explanation's tensor stands for."""

    name: Annotated[str, Field(pattern=OUTPUT_NAME)]


class ExplanationTable(Table):
    """[explanation]: what shows why the first output says what it says, of one of four kinds that can be checked.

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


class GateTable(Table):
    """[gate]: how scores become a verdict (kind = "gate" only).

    With `flag_above`, the images that score so high are flagged: those to look at, and those that a reader whose
    `grouping.flagged_by` names this gate reads.
    """

    direction: Literal["higher-is-better"] = "higher-is-better"
    unit: str = "1"
    aggregate: Annotated[str, Field(pattern=r"^(mean|min|max|percentile:\d{1,2})$")] = "mean"
    warn_below: float
    hold_below: float
    on_failure: Literal["warn", "hold"] = "hold"
    flag_above: float | None = None


class GatesTable(Table):
    """[gates]: which gates must have spoken before the package reads: plain ones, and gate packages."""

    required: list[str] = ["completeness", "geometry"]


class WeightsTable(Table):
    """[weights]: the file that was validated; another one is refused."""

    digest: Annotated[str, Field(pattern=DIGEST)] | None = None


class ResourcesTable(Table):
    """[resources]: what a run of the package may take; `[packages.<name>]` of isocenter.toml overrides it."""

    timeout_seconds: Annotated[float, Field(gt=0, le=3600)] | None = None  # of one request
    concurrency: Annotated[int, Field(ge=1, le=64)] | None = None  # runs at once
    most_attempts: Annotated[int, Field(ge=1, le=1000)] | None = None
    memory_mb: Annotated[int, Field(ge=1)] | None = None  # measured by validate


class ResultsTable(Table):
    """[results]: which objects may come out; which of them are made is for the destinations to say."""

    dicom: list[DicomKind] = list(DICOM_KINDS)
    hl7: list[Literal["ORU"]] = ["ORU"]


class Limit(Table):
    """[limits]: what a figure of [validation] must keep to before the package may be promoted."""

    min: float | None = None
    max: float | None = None


class Manifest(Table):
    """The whole `package.toml`."""

    schema_version: Annotated[Literal[2], Field(alias="schema")]
    package: PackageTable
    paper: PaperTable = PaperTable()
    selector: SelectorTable
    grouping: GroupingTable = GroupingTable()
    preprocess: list[Step] = []
    tiles: TilesTable | None = None
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

    @property
    def explained(self) -> Output:
        """The output that [explanation] is about: the first."""
        return self.outputs[0]

    def segmented(self, output: Output) -> Output:
        """The segment that a measurement is `of`."""
        return next(other for other in self.outputs if other.name == output.of.partition(".")[0])

    @property
    def asked_of_the_order(self) -> frozenset[str]:
        """Which of the order's values are among the features."""
        return frozenset(f.order for tensor in self.tensors.inputs for f in tensor.features if f.order)

    def series_of(self, part: Output | Tensor) -> str:
        """Which named series an output or an input is of: the first unless it is said; empty where there are none."""
        return part.series or next(iter(self.grouping.names), "")

    def reads_single_images(self, series: str = "") -> bool:
        """Whether the pixels go in as one image, and not as a volume of slices."""
        if self.grouping.by == "study":
            return len(self.tensors.pixels_of(series).shape) == 3
        return self.grouping.by == "image"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.package.kind == "gate") != (self.gate is not None):
            raise ValueError('a package of kind "gate" needs a [gate] table, and only such a one may have it')
        if self.gate and any(output.site for output in self.outputs):
            raise ValueError("a gate's score is of a whole series: remove site")
        if self.gate and self.gate.hold_below > self.gate.warn_below:
            raise ValueError("gate.hold_below must not be above gate.warn_below: hold is the stricter verdict")
        if self.grouping.flagged_by and self.grouping.flagged_by not in self.gates.required:
            raise ValueError(f'grouping.flagged_by: add "{self.grouping.flagged_by}" to gates.required')
        self._check_explanation()
        if self.tiles:
            shape, why = self.tensors.pixels.shape, self.explanation.kind
            check_tiles(self.tiles, self.grouping.by, shape, self.outputs, why)
        names = [output.name for output in self.outputs]
        if len(names) != len(set(names)):
            raise ValueError("two outputs have one name: each result is told by it")
        self._check_measured()
        for place, words in wrong_series(self):
            raise ValueError(f"{place}: {words}")
        outlined = [self.series_of(output) for output in self.outputs if output.geometry == "area"]
        if not all(self.reads_single_images(series) for series in outlined):
            raise ValueError('geometry = "area" is an outline on one image: group by image, or write kind = "segment"')
        return self

    def _check_measured(self) -> None:
        segments = {o.name: [label.name for label in o.labels] for o in self.outputs if o.kind == "segment"}
        for output in self.outputs:
            name, _, label = output.of.partition(".")
            if output.of and name not in segments:
                raise ValueError(f"outputs {output.name}: of = {output.of!r} is no segment output of this package")
            if output.of and label not in (segments[name] if label or len(segments[name]) > 1 else [""]):
                one = f"{name}.{segments[name][0]}"
                raise ValueError(f"outputs {output.name}: of = {output.of!r} names no label: write {one!r}, or another")

    def _check_explanation(self) -> None:
        if self.explanation.kind in ("additive_patches", "concepts") and any(o.calibration for o in self.outputs):
            raise ValueError("an explanation that sums to the logit needs the calibration folded into the network")
        if self.explanation.kind in ("additive_patches", "concepts") and self.explained.kind != "binary":
            raise ValueError(
                f"an explanation of kind {self.explanation.kind!r} sums to the logit of the first output: that must"
                ' be of kind = "binary"'
            )
        if self.explanation.kind == "attribution_map" and (
            self.explained.kind not in SCORES or self.explained.geometry or self.explained.of
        ):
            raise ValueError(f"an attribution map is of a score: the first output is of kind {', '.join(SCORES)}")
