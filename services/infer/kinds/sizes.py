"""A measurement `of` a segment: its volume or its area."""

from collections.abc import Sequence

from services.infer.answer import Answer
from shared.findings import Finding, Measurement, NotSure, Segment, Segmentation
from shared.inference import Unreadable
from shared.outputs import ranged
from shared.packages.output_tables import AREAS, VOLUMES


def size_of_segment(answer: Answer, said: Sequence[Finding]) -> list[Measurement | NotSure]:
    """The segment's size in the output's unit; `said` is what the segment's output says, of which it may be not sure.

    Raises:
        Unreadable: the segment has no such size here, or it is out of the range that the manifest declares.
    """
    of, _, label = answer.output.of.partition(".")
    silent = next((finding for finding in said if isinstance(finding, NotSure)), None)
    if silent:
        unsure = {"confidence": silent.confidence}
        return [NotSure(**answer.identity() | unsure, minimum_confidence=silent.minimum_confidence)]
    found = [(finding, part) for finding in said if isinstance(finding, Segmentation) for part in finding.segments]
    segmentation, segment = next((pair for pair in found if label in ("", pair[1].name)), (None, None))
    if segmentation is None or segment is None:
        raise Unreadable(f"{answer.where}: {of} says nothing that could be measured")
    return [
        Measurement(
            **answer.identity() | {"confidence": segmentation.confidence}, value=_size(answer, segment),
            unit=answer.output.unit, of=segmentation.name, geometry="area" if answer.output.unit in AREAS else "volume",
        )
    ]  # fmt: skip


def _size(answer: Answer, segment: Segment) -> float:
    unit = answer.output.unit
    size, factor = (segment.area_mm2, AREAS[unit]) if unit in AREAS else (segment.volume_mm3, VOLUMES[unit])
    if size is None:
        what = "an area is of a single image with a pixel spacing" if unit in AREAS else "a volume is of an even stack"
        raise Unreadable(f"{answer.where} can't be measured in {unit}: {what}")
    return ranged(answer.package, answer.output, size * factor)
