"""Which image of a finding each of its pages is about: one page, or one for each image that shows it."""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.report.drawing import quality_page
from services.report.key_images import key_images
from shared.findings import (
    ArrayFile,
    Classification,
    Finding,
    HeatMap,
    KeyImage,
    Landmark,
    Measurement,
    OrdinalGrade,
    QualityScore,
    Segmentation,
    SourceImage,
)

MOST_PAGES = 60
Drawn = Classification | OrdinalGrade | Measurement | Landmark | KeyImage | Segmentation | HeatMap
Read = Callable[[ArrayFile], NDArray[Any]]

log = logging.getLogger(__name__)


def images_of_pages(finding: Finding, read: Read, several: bool) -> list[SourceImage]:
    """The image of each page in their order; none where no page is drawn of the finding.

    `several` pages, at most 60: of a score the worst images first, of an array the planes with the most in it in the
    order of the slices, of a reading the images with its regions, or those that counted most.
    """
    if isinstance(finding, QualityScore):
        ranked = [finding.instances[n].image for n in quality_page.order(finding)]
        return key_images(finding)[:MOST_PAGES] if several and ranked else ranked[:1]
    if not isinstance(finding, Drawn):
        return []
    if several and (images := _of_reading(finding, read)):
        return images
    image = shown_image(finding, read)
    return [image] if image else []


def _of_reading(finding: Drawn, read: Read) -> list[SourceImage]:
    if isinstance(finding, Segmentation | HeatMap):
        return [finding.placed.images[n] for n in _planes_to_show(finding, read)]
    if isinstance(finding, KeyImage | Landmark) or finding.regions or finding.slice_weights:
        return key_images(finding)[:MOST_PAGES]
    return []


def shown_image(finding: Drawn, read: Read) -> SourceImage | None:
    """The image that a single page is about: that of the patch map, else of the first region, else the one that counted
    most or has the most to show, else the first source.
    """
    if isinstance(finding, Segmentation | HeatMap):
        most = _amounts(finding, read)
        return finding.placed.images[int(np.argmax(most))]
    if isinstance(finding, Classification) and finding.patch_map:
        return finding.patch_map.image
    if isinstance(finding, KeyImage):
        return finding.image
    if finding.regions:
        return finding.regions[0].image
    if not isinstance(finding, Landmark) and finding.slice_weights and finding.slice_weights.weights:
        return max(finding.slice_weights.weights, key=lambda weight: weight.weight).image
    return finding.sources[0] if finding.sources else None


def _planes_to_show(finding: Segmentation | HeatMap, read: Read) -> list[int]:
    """Those with the most in them, in their order."""
    amounts = _amounts(finding, read)
    ranked = np.argsort(-amounts, kind="stable")[:MOST_PAGES]
    return sorted(int(n) for n in ranked if amounts[n] > 0)


def _amounts(finding: Segmentation | HeatMap, read: Read) -> NDArray[np.float64]:
    """How much each plane shows; of an array that can't be read nothing, and the page then is not drawn."""
    try:
        return np.asarray(np.abs(read(finding.placed.array)).sum(axis=(1, 2), dtype=np.float64))
    except Exception as error:  # whatever a broken file raises: the other objects still go
        log.warning("no plane to show finding=%s cause=%s", finding.name, type(error).__name__)
        return np.zeros(len(finding.placed.images))
