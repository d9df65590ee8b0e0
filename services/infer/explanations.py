"""Why the package says what it says of the output that it explains, checked: what does not add up explains nothing."""

import math

from services.infer.answer import Answer
from services.infer.regions import outlines
from shared.findings import Concepts, Contribution, PatchMap, Region
from shared.inference import Unreadable
from shared.outputs import Numbers, shaped
from shared.packages.shapes import shapes_of_explanation

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
    return shaped(answer.package, answer.reading, manifest.explanation.tensor, shapes_of_explanation(manifest))


def _check(answer: Answer, found: float, words: str) -> None:
    logit = answer.scalar
    if abs(found - logit) > TOLERANCE * max(1.0, abs(logit)):
        raise Unreadable(f"{answer.package.name}: {words} {found:.4f}, the image's logit is {logit:.4f}")


def _logit(probability: float) -> float:
    clipped = min(max(probability, 1e-12), 1 - 1e-12)
    return math.log(clipped / (1.0 - clipped))
