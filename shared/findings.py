"""What a package found: the one typed model between infer (or gate) and report; every result object is made from it.

A region is kept in source pixels, 0-based `(column, row)` with 0.5 at the centre of the first pixel's extent excluded:
integer values are pixel centres shifted by half, as DICOM's SCOORD counts them (PS3.3 C.18.6.1.1: the top left corner
of the top left pixel is 0\\0).
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
    """A place on one source image: a closed polyline, or a point."""

    image: SourceImage
    graphic_type: Literal["POLYLINE", "POINT"]
    points: tuple[tuple[float, float], ...]  # (column, row) in source pixels; a closed polyline repeats its first point


class InstanceScore(Frozen):
    """A score of one instance (or frame) of a series."""

    image: SourceImage
    score: float


class PatchMap(Frozen):
    """Additive explanation: the mean of `logits` is the image's logit.

    `box` is where the grid lies on the source image, as left, top, right, bottom in source pixels; it may reach beyond
    the image where the image was padded.
    """

    image: SourceImage
    logits: tuple[tuple[float, ...], ...]  # rows of columns
    box: tuple[float, float, float, float]


class _Finding(Frozen):
    name: str
    code: Code
    package: str
    version: str
    weights: str = ""  # SHA-256 of the network: a version number can be given twice
    use_mark: str = "not-for-clinical-use"
    sources: tuple[SourceImage, ...] = ()


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
    instances: tuple[InstanceScore, ...] = ()  # in the order of the slices


class Classification(_Finding):
    """Whether something is there."""

    kind: Literal["classification"] = "classification"
    present: bool
    probability: float
    threshold: float
    regions: tuple[Region, ...] = ()
    patch_map: PatchMap | None = None


class Measurement(_Finding):
    """A number with its unit; recomputable from `regions` where it has any."""

    kind: Literal["measurement"] = "measurement"
    value: float
    unit: str  # UCUM
    regions: tuple[Region, ...] = ()


Finding = Annotated[QualityScore | Classification | Measurement, Field(discriminator="kind")]

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
