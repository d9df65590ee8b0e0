"""Which images a person should look at for a finding."""

from collections.abc import Sequence

from shared.findings import (
    Classification,
    DerivedImage,
    Embedding,
    Finding,
    HeatMap,
    KeyImage,
    Landmark,
    Measurement,
    NotSure,
    OrdinalGrade,
    QualityScore,
    Segmentation,
    SourceImage,
)

MOST_OF_A_SERIES = 5


def key_images(finding: Finding) -> list[SourceImage]:
    """The flagged images of a score, or its worst, worst first; of a reading those with its regions, else all its own.

    What is absent or not said has none: no image shows it.
    """
    if isinstance(finding, QualityScore):
        return _of_score(finding)
    if isinstance(finding, NotSure | Embedding) or (isinstance(finding, Classification) and not finding.present):
        return []
    if isinstance(finding, KeyImage):
        return [finding.image]
    if isinstance(finding, Segmentation | HeatMap | DerivedImage):
        return list(finding.sources) if len(finding.sources) == 1 else []  # a whole series is nothing to jump to
    return _of_reading(finding)


def _of_score(finding: QualityScore) -> list[SourceImage]:
    """The flagged, where the gate flags; else those below the warning limit, at most five; else the lowest."""
    if finding.flag_above is not None:
        return list(finding.flagged())
    ranked = sorted(finding.instances, key=lambda scored: scored.score)
    limit = finding.warn_below
    poor = [scored.image for scored in ranked if limit is not None and scored.score < limit]
    return poor[:MOST_OF_A_SERIES] or [scored.image for scored in ranked[:1]]


def _of_reading(finding: Classification | OrdinalGrade | Measurement | Landmark) -> list[SourceImage]:
    """Where its regions are, else the image of its map, else those that counted most, else what it rests on."""
    if outlined := list(dict.fromkeys(region.image for region in finding.regions)):
        return outlined
    if isinstance(finding, Classification) and finding.patch_map:
        return [finding.patch_map.image]
    if not isinstance(finding, Landmark) and finding.slice_weights:
        ranked = sorted(finding.slice_weights.weights, key=lambda w: -w.weight)
        return [w.image for w in ranked[:MOST_OF_A_SERIES]]
    return list(finding.sources)


def frames_of(images: Sequence[SourceImage]) -> dict[str, list[int]]:
    """The frames of each instance, in the order in which they were first named; none: the instance as a whole."""
    frames: dict[str, list[int]] = {}
    for image in images:
        listed = frames.setdefault(image.sop_instance_uid, [])
        if image.frame and image.frame not in listed:
            listed.append(image.frame)
    return frames
