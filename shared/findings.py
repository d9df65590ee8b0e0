"""What a package found: the one typed model between infer (or gate) and report; every result object is made from it.

A region is kept in source pixels, `(column, row)` as DICOM's SCOORD counts them (PS3.3 C.18.6.1.1): the top left corner
of the top left pixel is 0\\0, its centre 0.5\\0.5.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class Frozen(BaseModel):
    """A value: compared by content, never changed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Code(Frozen):
    """A coded concept (PS3.3 8.8)."""

    value: str
    scheme: str
    meaning: str


class SourceImage(Frozen):
    """An instance, or one frame of it, that a finding rests on."""

    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    frame: int | None = None  # 1-based, as DICOM counts frames; None for a single-frame instance


class Region(Frozen):
    """A place on one source image: a closed polyline, a line, or a point.

    Where it lies in the patient follows from the image's plane; of a point beside it `in_patient` says it in mm.
    """

    image: SourceImage
    graphic_type: Literal["POLYLINE", "POINT"]
    points: tuple[tuple[float, float], ...]  # (column, row) in source pixels; a closed polyline repeats its first point
    label: str = ""  # what this one is, where a finding has several: "upper end plate"
    confidence: float | None = None
    in_patient: tuple[float, float, float] | None = None
    window: bool = False  # the part that a number is of, no outline of what was found: it has no area of its own


class ArrayFile(Frozen):
    """Pixels that are too many for the book: a file in the results folder (shared.arrays)."""

    path: str  # below the data folder
    digest: str  # sha256:<hex> of the file
    shape: tuple[int, ...]
    dtype: str


class Placed(Frozen):
    """An array on its source images: `array` is (images, rows, columns).

    `boxes` tell where each plane lies on its image, as left, top, right, bottom in source pixels; empty where every
    plane has the grid of its image.
    """

    array: ArrayFile
    images: tuple[SourceImage, ...]
    boxes: tuple[tuple[float, float, float, float], ...] = ()


class InstanceScore(Frozen):
    """A score of one instance (or frame) of a series."""

    image: SourceImage
    score: float


class PatchMap(Frozen):
    """Additive explanation: the mean of `logits` is the image's logit.

    `box` is where it lies on the image, as left, top, right, bottom in source pixels; beyond it where it was padded.
    """

    image: SourceImage
    logits: tuple[tuple[float, ...], ...]  # rows of columns
    box: tuple[float, float, float, float]


class SliceWeight(Frozen):
    """How much one slice counted."""

    image: SourceImage
    weight: float


class SliceWeights(Frozen):
    """Explanation by slices: the weights sum to one."""

    weights: tuple[SliceWeight, ...]


class Contribution(Frozen):
    """What one concept added to the logit."""

    name: str
    code: Code
    value: float


class Concepts(Frozen):
    """Explanation by concepts: `bias` and the contributions sum to the logit."""

    contributions: tuple[Contribution, ...]
    bias: float = 0.0


class Site(Frozen):
    """Where in the body: an anatomic structure, and its side where it has one (PS3.16 TID 1501, CID 244)."""

    code: Code
    laterality: Literal["", "left", "right", "bilateral"] = ""

    @property
    def in_words(self) -> str:
        return ", ".join(filter(None, [self.code.meaning, self.laterality]))


class _Finding(Frozen):
    name: str
    code: Code
    site: Site | None = None
    package: str
    version: str
    weights: str = ""  # SHA-256 of the network: a version number can be given twice
    use_mark: str = "not-for-clinical-use"
    sources: tuple[SourceImage, ...] = ()
    confidence: float | None = None  # of what is said, where the package tells it
    missing: tuple[str, ...] = ()  # inputs that the package can do without, and did


class QualityScore(_Finding):
    """How fit a series is to be read."""

    kind: Literal["quality_score"] = "quality_score"
    series_instance_uid: str
    value: float
    unit: str  # UCUM
    range: tuple[float, float] | None = None
    verdict: Literal["pass", "warn", "hold"]
    warn_below: float | None = None
    hold_below: float | None = None
    flag_above: float | None = None  # images that score so high are those to look at
    instances: tuple[InstanceScore, ...] = ()  # in the order of the slices

    def flagged(self) -> tuple[SourceImage, ...]:
        """The images that are flagged, in the order of the slices."""
        limit = float("inf") if self.flag_above is None else self.flag_above
        return tuple(scored.image for scored in self.instances if scored.score >= limit)


class Classification(_Finding):
    """Whether something is there."""

    kind: Literal["classification"] = "classification"
    present: bool
    probability: float
    threshold: float
    regions: tuple[Region, ...] = ()
    patch_map: PatchMap | None = None
    slice_weights: SliceWeights | None = None
    concepts: Concepts | None = None


class Grade(Frozen):
    """One step of an ordinal scale."""

    name: str
    code: Code
    probability: float


class OrdinalGrade(_Finding):
    """Which step of a scale: `grades` are in their order, `grade` is the index of the one that holds."""

    kind: Literal["ordinal_grade"] = "ordinal_grade"
    grade: int
    grades: tuple[Grade, ...]
    regions: tuple[Region, ...] = ()
    slice_weights: SliceWeights | None = None


class Measurement(_Finding):
    """A number with its unit; recomputable from `regions` by `geometry`, or from the segment that it is `of`."""

    kind: Literal["measurement"] = "measurement"
    value: float
    unit: str  # UCUM
    regions: tuple[Region, ...] = ()
    geometry: Literal["", "length", "angle", "area", "volume"] = ""
    of: str = ""  # the name of the segmentation
    slice_weights: SliceWeights | None = None


class Landmark(_Finding):
    """Points, or lines, that stand for an anatomical place; each region is one of them."""

    kind: Literal["landmark"] = "landmark"
    regions: tuple[Region, ...]


class Segment(Frozen):
    """What one value of a segmentation's array stands for."""

    number: int  # the value, from 1
    name: str
    code: Code
    colour: str = ""  # #rrggbb
    volume_mm3: float | None = None  # where the slices have places
    area_mm2: float | None = None  # of a single image, where its pixels have a size
    areas_mm2: tuple[float, ...] = ()  # of each image of a stack that was segmented image by image


COUNTS_FROM = 0.5
"""From this probability on a pixel of a fractional segment counts: in its size, and as a mask where one is drawn."""


class Segmentation(_Finding):
    """Which pixels are what: `placed` holds labels (uint8), or one segment's probability (float32, fractional)."""

    kind: Literal["segmentation"] = "segmentation"
    segments: tuple[Segment, ...]
    placed: Placed
    fractional: bool = False
    frame_of_reference_uid: str = ""


class HeatMap(_Finding):
    """Where the score comes from: values on a grid of their own over the source images."""

    kind: Literal["heat_map"] = "heat_map"
    placed: Placed  # float32
    unit: str = "1"  # UCUM
    range: tuple[float, float] | None = None
    explains: str = ""  # the name of the finding


class KeyImage(_Finding):
    """An image to look at, and why."""

    kind: Literal["key_image"] = "key_image"
    image: SourceImage
    weight: float | None = None
    explains: str = ""  # the name of the finding


class DerivedImage(_Finding):
    """Images made from the source's, on their grid."""

    kind: Literal["derived_image"] = "derived_image"
    placed: Placed  # float32
    unit: str = "1"  # UCUM
    range: tuple[float, float] | None = None
    description: str = ""


class Embedding(_Finding):
    """A vector that stands for an image or a series: for whoever searches or compares, and in no result object."""

    kind: Literal["embedding"] = "embedding"
    array: ArrayFile  # float32, (values,)


class NotSure(_Finding):
    """The package looked and does not say: its confidence is below what its manifest asks for."""

    kind: Literal["not_sure"] = "not_sure"
    minimum_confidence: float


Finding = Annotated[
    QualityScore | Classification | OrdinalGrade | Measurement | Landmark | Segmentation | HeatMap | KeyImage
    | DerivedImage | Embedding | NotSure,
    Field(discriminator="kind"),
]  # fmt: skip

_ADAPTER: TypeAdapter[list[Finding]] = TypeAdapter(list[Finding])


def load_findings(rows: list[dict[str, object]]) -> list[Finding]:
    """Findings from the JSON that the book keeps.

    Raises:
        pydantic.ValidationError: the JSON is of another shape.
    """
    return _ADAPTER.validate_python(rows)


def dump_findings(findings: list[Finding]) -> list[dict[str, object]]:
    """Findings as the JSON that the book keeps."""
    return [finding.model_dump(mode="json") for finding in findings]
