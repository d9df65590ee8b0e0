"""A package that segments image by image, on a series whose slices lie evenly: its segments become those of the series.

Each was told of its image alone. Put together they have a volume, make one segmentation object, and a measurement `of`
them may be a volume; the areas of the images stay with them.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.infer.answer import Answer, Keep
from services.infer.handlers import findings_of
from services.infer.kinds.sizes import size_of_segment
from shared.findings import ArrayFile, Finding, NotSure, Placed, Segment, Segmentation
from shared.imaging.frames import Frame
from shared.imaging.grid import NoVolume, SourceStack
from shared.inference import Reading
from shared.packages.folder import Package
from shared.packages.output_tables import VOLUMES, Output

MOST_BYTES = 2 << 30
"""Of arrays that are held until the last slice is read; larger ones stay image by image."""


def stack_of(package: Package, frames: Sequence[Frame]) -> SourceStack | None:
    """The stack that the images make of which the package segments each; None where there is nothing to put together:
    no segments, images without even places, a gate that left some out, or more than can be held.
    """
    manifest = package.manifest
    segments = [output for output in manifest.outputs if output.kind == "segment"]
    if manifest.grouping.by != "image" or manifest.grouping.flagged_by or not segments or len(frames) < 2:
        return None
    size = sum(frame.rows * frame.columns for frame in frames)
    if size * sum(4 if output.fractional else max(1, len(output.labels)) for output in segments) > MOST_BYTES:
        return None
    try:
        stack = SourceStack.of(frames)
    except NoVolume:
        return None
    return stack if stack.to_patient is not None else None


def findings_of_slices(package: Package, stack: SourceStack, readings: Iterable[Reading], keep: Keep) -> list[Finding]:
    """What the package says of the images of `stack`, in their order; first what is said of them together.

    An output that is not sure of an image stays image by image: a volume without that slice would be wrong.

    Raises:
        Unreadable: as `findings_of`.
    """
    held = _Held(package, keep)
    volumes = [output for output in package.manifest.outputs if output.of and output.unit in VOLUMES]
    told: list[tuple[Reading, list[Finding]]] = []
    for reading in readings:
        apart = Reading(reading.grid, reading.blank, {}, reading.missing)  # its tensors are not held
        told.append((apart, findings_of(package, reading, held.keep, {output.name for output in volumes})))
    found = [finding for _, findings in told for finding in findings]
    names = [name for name in held.names if _everywhere(name, found, stack)]
    together: list[Finding] = [held.together(name, found, stack) for name in names]
    alone = [held.by_itself(finding) for finding in found if finding.name not in names]
    missing = tuple(dict.fromkeys(tag for reading, _ in told for tag in reading.missing))
    together += [size for output in volumes for size in _sizes(package, output, told[0][0], [*together, *alone])]
    whole = {"sources": stack.images, "missing": missing}
    return [*(finding.model_copy(update=whole) for finding in together), *alone]


def _everywhere(name: str, found: Sequence[Finding], stack: SourceStack) -> bool:
    own = [finding for finding in found if finding.name == name and isinstance(finding, Segmentation)]
    return len(own) == len(stack.images)


def _sizes(package: Package, output: Output, reading: Reading, said: Sequence[Finding]) -> Sequence[Finding]:
    """The output's volume, of what was put together; not sure where that is."""
    segmented = package.manifest.segmented(output).name
    own = [f for f in said if f.name.partition(".")[0] == segmented and isinstance(f, Segmentation | NotSure)]
    return size_of_segment(Answer(package, output, reading), own)


class _Held:
    """Segments' arrays, until it is known whether they are put together; other arrays are kept at once."""

    def __init__(self, package: Package, keep: Keep) -> None:
        self._keep = keep
        self._arrays: dict[str, NDArray[Any]] = {}
        segments = [output for output in package.manifest.outputs if output.kind == "segment"]
        each = [f"{output.name}.{label.name}" for output in segments for label in output.labels]
        self.names = [*(output.name for output in segments), *each]

    def keep(self, name: str, array: NDArray[Any]) -> ArrayFile:
        if name not in self.names:
            return self._keep(name, array)
        place = f"{name} {len(self._arrays)}"
        self._arrays[place] = array
        return ArrayFile(path=place, digest="", shape=array.shape, dtype=str(array.dtype))

    def by_itself(self, finding: Finding) -> Finding:
        """With its array in a file of its own."""
        if not isinstance(finding, Segmentation):
            return finding
        file = self._keep(finding.name, self._arrays.pop(finding.placed.array.path))
        return finding.model_copy(update={"placed": finding.placed.model_copy(update={"array": file})})

    def together(self, name: str, found: Sequence[Finding], stack: SourceStack) -> Segmentation:
        """The findings of that name as one of the whole stack; it is as sure as the least sure of them."""
        own = [finding for finding in found if finding.name == name and isinstance(finding, Segmentation)]
        array = np.concatenate([self._arrays.pop(finding.placed.array.path) for finding in own])
        sure = [finding.confidence for finding in own if finding.confidence is not None]
        parts = zip(*(finding.segments for finding in own), strict=True)
        return own[0].model_copy(
            update={
                "placed": Placed(array=self._keep(name, array), images=stack.images),
                "segments": tuple(_of_stack(part, stack) for part in parts), "confidence": min(sure, default=None),
            }
        )  # fmt: skip


def _of_stack(parts: Sequence[Segment], stack: SourceStack) -> Segment:
    """One segment of each image as that of the stack."""
    step = stack.spacing[0] if stack.spacing else None
    areas = tuple(part.area_mm2 for part in parts if part.area_mm2 is not None)
    known = step is not None and len(areas) == len(parts)
    return parts[0].model_copy(
        update={
            "area_mm2": None, "volume_mm3": sum(areas) * step if known and step else None,
            "areas_mm2": areas if known else (),
        }
    )  # fmt: skip
