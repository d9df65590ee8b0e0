"""Why the package says what it says of the output that it explains, checked: what does not add up explains nothing."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.infer.answer import Answer, as_stack
from services.infer.on_source import grid_of, values_on_source
from services.infer.regions import outlines
from shared.findings import Classification, Code, Concepts, Contribution, Finding, HeatMap, PatchMap, Placed, Region
from shared.imaging.grid import NoVolume
from shared.inference import Unreadable
from shared.outputs import Numbers, shaped
from shared.packages.shapes import shapes_of_explanation

ATTRIBUTION = Code(value="attribution", scheme="99ISO", meaning="Attribution")
TOLERANCE = 1e-3
"""How far parts may lie from the logit that they make up, before they are no explanation of it; relative above one."""


def patch_map(answer: Answer) -> PatchMap | None:
    """The additive explanation; None where the output has none.

    Raises:
        Unreadable: the tensor is no map, or the mean of the patches' logits is not the image's.
    """
    if not _is_by(answer, "additive_patches"):
        return None
    patches = _values(answer)
    _check(answer, float(patches.mean()), "the patch logits average to")
    reading = answer.reading
    return PatchMap(image=reading.source, logits=tuple(map(tuple, patches.tolist())), box=reading.box)


def concepts(answer: Answer) -> Concepts | None:
    """What each concept added to the logit; None where the output has no such explanation.

    Raises:
        Unreadable: there is not one number for each concept, or with the bias they are not the logit.
    """
    if not _is_by(answer, "concepts"):
        return None
    explanation = answer.package.manifest.explanation
    values = _values(answer)
    _check(answer, float(values.sum()) + explanation.bias, "the concepts' contributions and the bias sum to")
    pairs = zip(explanation.concepts, values.tolist(), strict=True)
    added = tuple(Contribution(name=concept.name, code=concept.code, value=value) for concept, value in pairs)
    return Concepts(contributions=added, bias=explanation.bias)


def heat_maps(answer: Answer, said: Sequence[Finding]) -> list[HeatMap]:
    """Where each score comes from, of what the package says of the output that it explains; none of what is absent,
    which no place shows. Of a multilabel output each label has its own map.

    Raises:
        Unreadable: the tensor has another shape.
    """
    if not _is_by(answer, "attribution_map"):
        return []
    manifest = answer.package.manifest
    tensor, several = manifest.explanation.tensor, answer.output.kind == "multilabel"
    values = shaped(answer.package, answer.reading, tensor, shapes_of_explanation(manifest))
    maps = as_stack(answer.package, answer.output, values, channels=not several)
    shown = [n for n, finding in enumerate(said) if not isinstance(finding, Classification) or finding.present]
    return [_heat_map(answer, said[n], maps[n]) for n in shown]


def _heat_map(answer: Answer, finding: Finding, values: NDArray[np.float32]) -> HeatMap:
    """On the model's own grid where each of its slices lies on one image; else on the source's."""
    name, grid = f"{finding.name}_map", grid_of(answer.reading.grid, values.shape)
    try:
        images, box = [image for image in grid.slice_images if image], grid.box
    except NoVolume:
        images, box = [], None
    if box and len(images) == len(values) and abs(grid.to_source[2, 2]) == 1:
        placed = Placed(array=answer.keep(name, values), images=tuple(images), boxes=(box,) * len(images))
    else:
        array = values_on_source(values, grid, beyond=0.0)
        placed = Placed(array=answer.keep(name, array), images=grid.source.images)
    told = {"name": name, "code": ATTRIBUTION}
    return HeatMap(**answer.identity() | told, placed=placed, explains=finding.name)


def regions(answer: Answer, patches: PatchMap, threshold: float) -> tuple[Region, ...]:
    """Outlines of the patches that carry the finding: above the threshold, and near enough to the strongest one.

    Patches just above the threshold are many and say little: the image's logit is the mean, so a few must be far above.
    """
    strongest = max(max(row) for row in patches.logits)
    level = max(_logit(threshold), answer.package.manifest.explanation.region_fraction * strongest)
    return tuple(outlines(patches, level, answer.reading.source_shape))


def _is_by(answer: Answer, kind: str) -> bool:
    return answer.is_explained and answer.package.manifest.explanation.kind == kind


def _values(answer: Answer) -> Numbers:
    manifest = answer.package.manifest
    values = shaped(answer.package, answer.reading, manifest.explanation.tensor, shapes_of_explanation(manifest))
    return values.astype(np.float64)


def _check(answer: Answer, found: float, words: str) -> None:
    logit = answer.scalar
    if abs(found - logit) > TOLERANCE * max(1.0, abs(logit)):
        raise Unreadable(f"{answer.package.name}: {words} {found:.4f}, the image's logit is {logit:.4f}")


def _logit(probability: float) -> float:
    clipped = min(max(probability, 1e-12), 1 - 1e-12)
    return math.log(clipped / (1.0 - clipped))
