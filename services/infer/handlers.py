"""What a model's outputs mean: typed findings with their place on the source image. Touches no wire."""

import math

import numpy as np

from services.infer.points import confidence_of, landmarks, measured
from services.infer.regions import outlines
from services.infer.slices import key_images, slice_weights
from shared.findings import Classification, Finding, Measurement, PatchMap, Region
from shared.inference import Reading, Unreadable, number, scalar
from shared.packages.folder import Package
from shared.packages.manifest import Output

DEFAULT_THRESHOLD = 0.5
ADDITIVE_TOLERANCE = 1e-3
"""How far the mean of the patch logits may lie from the logit before the map is no explanation of it."""


def findings_of(package: Package, reading: Reading) -> list[Finding]:
    """One finding per output of the package that is sure enough of itself, for one image or
    one series, and after them the images to look at where the slices' weights tell.

    Raises:
        Unreadable: an output is of a kind or shape that can't be understood, or out of its declared range.
    """
    found = [(output.site, _finding(package, output, reading)) for output in package.manifest.outputs]
    sure = [finding.model_copy(update={"site": site}) for site, finding in found if finding is not None]
    return [*sure, *(key for finding in sure for key in key_images(finding))]


def _finding(package: Package, output: Output, reading: Reading) -> Finding | None:
    """What an output says; None where its confidence is below the least that the manifest asks for."""
    confidence = confidence_of(package, output, reading)
    if confidence is not None and confidence < (output.minimum_confidence or 0.0):
        return None
    if reading.images and (output.geometry or output.kind == "landmark"):
        raise Unreadable(f"{package.name}: {output.name}: points in a whole series are not read yet")
    if output.geometry:
        return measured(package, output, reading, confidence)
    if output.kind == "landmark":
        return landmarks(package, output, reading, confidence)
    if output.kind == "binary":
        return _classification(package, output, reading)
    if output.kind in ("regression", "measurement"):
        return _measurement(package, output, reading)
    raise Unreadable(f"{package.name}: outputs of kind {output.kind!r} are not read yet")


def _classification(package: Package, output: Output, reading: Reading) -> Classification:
    probability = number(package, output, reading)
    threshold = DEFAULT_THRESHOLD if output.threshold is None else output.threshold
    present = probability >= threshold
    patch_map = _patch_map(package, reading, scalar(package, reading, output.tensor))
    marked = _regions(package, patch_map, threshold, reading.source_shape) if present and patch_map else []
    return Classification(
        name=output.name, code=output.code, package=package.name, version=package.version,
        weights=package.weights_digest(),
        use_mark=package.manifest.package.use_mark, sources=reading.sources, present=present,
        probability=probability, threshold=threshold, regions=tuple(marked), patch_map=patch_map,
        slice_weights=slice_weights(package, reading),
    )  # fmt: skip


def _regions(package: Package, patch_map: PatchMap, threshold: float, source_shape: tuple[int, int]) -> list[Region]:
    """Outlines of the patches that carry the finding: above the threshold, and near enough to the strongest one.

    Patches just above the threshold are many and say little: the image's logit is the mean, so a few must be far above.
    """
    strongest = max(max(row) for row in patch_map.logits)
    level = max(_logit(threshold), package.manifest.explanation.region_fraction * strongest)
    return outlines(patch_map, level, source_shape)


def _measurement(package: Package, output: Output, reading: Reading) -> Measurement:
    value = number(package, output, reading)
    return Measurement(
        name=output.name, code=output.code, package=package.name, version=package.version,
        weights=package.weights_digest(),
        use_mark=package.manifest.package.use_mark, sources=reading.sources, value=value, unit=output.unit,
        slice_weights=slice_weights(package, reading),
    )  # fmt: skip


def _patch_map(package: Package, reading: Reading, logit: float) -> PatchMap | None:
    """The package's additive explanation, checked: the mean of the patch logits is the image's logit."""
    explanation = package.manifest.explanation
    if explanation.kind != "additive_patches":
        return None
    patches = reading.outputs[explanation.tensor].astype(np.float64)
    patches = patches[0] if patches.ndim == 3 and len(patches) == 1 else patches
    if patches.ndim != 2:
        raise Unreadable(
            f"{package.name}: output {explanation.tensor!r} has shape {list(patches.shape)}; a map was due"
        )
    if abs(float(patches.mean()) - logit) > ADDITIVE_TOLERANCE * max(1.0, abs(logit)):
        raise Unreadable(
            f"{package.name}: the patch logits average to {patches.mean():.4f}, the image's logit is {logit:.4f}"
        )
    return PatchMap(image=reading.source, logits=tuple(map(tuple, patches.tolist())), box=reading.box)


def _logit(probability: float) -> float:
    clipped = min(max(probability, 1e-12), 1 - 1e-12)
    return math.log(clipped / (1.0 - clipped))
