"""Findings of a package's own outputs, made by hand over any images: for packages that would not select them."""

from collections.abc import Sequence

from shared.findings import (
    Classification,
    Finding,
    Grade,
    Landmark,
    Measurement,
    OrdinalGrade,
    QualityScore,
    Region,
    SliceWeight,
    SliceWeights,
    SourceImage,
)
from shared.geometry import angle_between_lines, area, in_mm, length
from shared.imaging.frames import Frame
from shared.packages.manifest import Manifest
from shared.packages.output_tables import Output
from tests.services.report.findings_by_hand import Made, heat_map, segmentation

Points = tuple[tuple[float, float], ...]
LINES: tuple[Points, Points] = ((5.0, 6.0), (25.0, 9.0)), ((5.0, 20.0), (25.0, 14.0))
BOX: Points = ((4.0, 4.0), (20.5, 4.0), (20.5, 12.0), (4.0, 12.0))


def findings_of(manifest: Manifest, made: Made, frames: list[Frame], spacing: tuple[float, float] | None) -> None:
    """Adds to `made` what the package could say of `frames`; `spacing` is (row, column) in mm, as the report has it.

    Raises:
        NotImplementedError: an output is of a kind that nothing here makes.
    """
    about = _About(manifest, made, frames, spacing)
    for output in manifest.outputs:
        made.findings += about.said(output)
    if manifest.explanation.kind == "attribution_map":
        made.findings.append(heat_map(made, frames))


class _About:
    def __init__(
        self, manifest: Manifest, made: Made, frames: list[Frame], spacing: tuple[float, float] | None
    ) -> None:
        self.manifest, self.made, self.frames, self.spacing = manifest, made, frames, spacing
        self.images = tuple(frame.source for frame in frames)
        self.image: SourceImage = self.images[len(frames) // 2]

    def said(self, output: Output) -> Sequence[Finding]:
        if self.manifest.package.kind == "gate":
            return [self._score(output)]
        match output.kind:
            case "binary":
                return [self._present(output.name, output, output.threshold or 0.5)]
            case "multilabel":
                return [self._present(f"{output.name}_{o.name}", o, o.threshold or 0.5) for o in output.labels]
            case "ordinal":
                return [self._grade(output)]
            case "regression" | "measurement":
                return [self._number(output)] if self.spacing or output.geometry in (None, "angle") else []
            case "landmark":
                return [Landmark(regions=(self._region(BOX[:1], "POINT"),), **self._common(output.name, output))]
            case "segment":
                return [segmentation(self.made, self.frames, self.spacing)]
        raise NotImplementedError(f"{output.kind}: a matrix over every package needs a finding of this kind here")

    def _common(self, name: str, output: object) -> dict[str, object]:
        package = self.manifest.package
        code, site = getattr(output, "code"), getattr(output, "site", None)  # noqa: B009
        return {
            "name": name, "code": code, "site": site, "sources": self.images, "package": package.name,
            "version": package.version, "use_mark": package.use_mark,
        }  # fmt: skip

    def _region(self, points: Points, graphic_type: str = "POLYLINE") -> Region:
        return Region(image=self.image, graphic_type=graphic_type, points=points)

    def _weights(self) -> SliceWeights | None:
        share = 1 / len(self.images)
        weights = tuple(SliceWeight(image=image, weight=share) for image in self.images)
        return SliceWeights(weights=weights) if self.manifest.explanation.kind == "slice_weights" else None

    def _score(self, output: Output) -> QualityScore:
        series = self.images[0].series_instance_uid
        return QualityScore(
            series_instance_uid=series, value=0.875, unit=output.unit, range=output.range, verdict="warn",
            warn_below=0.9, **self._common(output.name, output),
        )  # fmt: skip

    def _present(self, name: str, output: object, threshold: float) -> Classification:
        weights = self._weights()
        return Classification(
            present=True, probability=0.96875, threshold=threshold, slice_weights=weights,
            regions=() if weights else (self._region(BOX),), **self._common(name, output),
        )  # fmt: skip

    def _grade(self, output: Output) -> OrdinalGrade:
        rest = 0.25 / max(len(output.labels) - 1, 1)
        grades = tuple(
            Grade(name=label.name, code=label.code, probability=0.75 if n == 0 else rest)
            for n, label in enumerate(output.labels)
        )
        return OrdinalGrade(grade=0, grades=grades, **self._common(output.name, output))

    def _number(self, output: Output) -> Measurement:
        lines = {"angle": LINES, "length": LINES[:1], "area": (BOX,)}.get(output.geometry or "", ())
        mm = [in_mm(points, self.spacing or (1.0, 1.0)) for points in lines]
        computed = {
            "angle": lambda: angle_between_lines(*mm),
            "length": lambda: length(mm[0]),
            "area": lambda: area(mm[0]),
        }
        value = computed[output.geometry]() if output.geometry else 12.5
        return Measurement(
            value=value, unit=output.unit, geometry=output.geometry or "",
            regions=tuple(self._region(points) for points in lines), **self._common(output.name, output),
        )  # fmt: skip
