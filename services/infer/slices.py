"""What a reading of a whole series says of its slices: their weights, and which of them to look at."""

import numpy as np

from shared.findings import (
    Classification,
    Finding,
    KeyImage,
    Measurement,
    OrdinalGrade,
    SliceWeight,
    SliceWeights,
    SourceImage,
)
from shared.imaging.grid import NoVolume
from shared.inference import Reading, Unreadable
from shared.packages.folder import Package

TOLERANCE = 1e-3
"""How far the weights may sum from one before they explain nothing."""
MOST_KEY_IMAGES = 3
PART_OF_THE_HIGHEST = 0.5
"""A slice is worth a look from this part of the highest weight."""


def slice_weights(package: Package, reading: Reading) -> SliceWeights | None:
    """The package's weights of the slices, in their order; None where it explains itself otherwise.

    Raises:
        Unreadable: there is not one weight a slice, one is negative, or they don't sum to one.
    """
    explanation = package.manifest.explanation
    if explanation.kind != "slice_weights":
        return None
    weights = reading.outputs[explanation.tensor].astype(np.float64).reshape(-1)
    images = _images(package, reading)
    if len(weights) != len(images):
        raise Unreadable(f"{package.name}: {len(weights)} weights for {len(images)} slices")
    if weights.min() < -TOLERANCE or abs(float(weights.sum()) - 1.0) > TOLERANCE:
        raise Unreadable(f"{package.name}: the slices' weights sum to {weights.sum():.4f}, one was due")
    pairs = zip(images, weights.tolist(), strict=True)
    return SliceWeights(weights=tuple(SliceWeight(image=image, weight=max(weight, 0.0)) for image, weight in pairs))


def _images(package: Package, reading: Reading) -> list[SourceImage]:
    """The image of each slice of the model's input."""
    try:
        images = [image for image in reading.grid.slice_images if image]
    except NoVolume as error:
        raise Unreadable(f"{package.name}: {error}") from None
    if len(images) < reading.grid.shape[0] or len(set(images)) < len(images):
        raise Unreadable(f"{package.name}: the slices of the model's input are not one image each")
    return images


def key_images(finding: Finding) -> list[KeyImage]:
    """The slices that carried what was found, the weightiest first; none for what is absent."""
    if not isinstance(finding, Classification | OrdinalGrade | Measurement) or finding.slice_weights is None:
        return []
    if isinstance(finding, Classification) and not finding.present:
        return []
    ranked = sorted(finding.slice_weights.weights, key=lambda one: -one.weight)
    worth = [one for one in ranked if one.weight >= PART_OF_THE_HIGHEST * ranked[0].weight]
    return [
        KeyImage(
            name=f"{finding.name}_slice", code=finding.code, package=finding.package, version=finding.version,
            weights=finding.weights, use_mark=finding.use_mark, sources=(one.image,), image=one.image,
            weight=one.weight, explains=finding.name,
        )
        for one in worth[:MOST_KEY_IMAGES]
    ]  # fmt: skip
