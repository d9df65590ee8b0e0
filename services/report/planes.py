"""Where the images that findings lie on are in the patient."""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from services.report.regions import regions_of
from shared.findings import DerivedImage, Finding, HeatMap, Segmentation, SourceImage
from shared.imaging.frames import load_frames
from shared.imaging.planes import Plane

log = logging.getLogger(__name__)


def images_with_places(findings: Sequence[Finding]) -> list[SourceImage]:
    """The images whose place in the patient is needed: those with regions, and those that arrays lie over."""
    over = [
        image for f in findings if isinstance(f, Segmentation | HeatMap | DerivedImage) for image in f.placed.images
    ]
    return list(dict.fromkeys([*images_with_regions(findings), *over]))


def images_with_regions(findings: Sequence[Finding]) -> list[SourceImage]:
    """The images that the findings' regions lie on, each once."""
    return list(dict.fromkeys(region.image for finding in findings for region in regions_of(finding)))


def read_planes(images: Iterable[SourceImage], paths: dict[str, Path]) -> dict[SourceImage, Plane]:
    """The planes of `images` and of every other frame of their instances; `paths` are by SOP Instance UID."""
    planes = {}
    for uid in dict.fromkeys(image.sop_instance_uid for image in images):
        try:
            frames = load_frames([paths[uid]])
        except Exception as error:  # whatever an odd source raises: the object is then made without patient coordinates
            log.warning("no plane sop_instance_uid=%s cause=%s", uid, type(error).__name__)
            continue
        for frame in frames:
            if plane := Plane.of(frame):
                planes[frame.source] = plane
    return planes
