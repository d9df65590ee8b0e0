"""Where an image or frame lies in the patient: the way from its pixels to the patient's coordinates."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.report.regions import regions_of
from shared.findings import DerivedImage, Finding, HeatMap, Segmentation, SourceImage
from shared.imaging.frames import load_frames

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plane:
    """A frame's plane (PS3.3 C.7.6.2.1.1); `spacing` is (between rows, between columns) in mm."""

    position: tuple[float, float, float]
    orientation: tuple[float, float, float, float, float, float]
    spacing: tuple[float, float]

    def points_mm(self, points: Sequence[tuple[float, float]]) -> NDArray[np.float64]:
        """(column, row) points, counted as SCOORD does, in patient coordinates: (points, 3) in mm.

        Image Position (Patient) is the centre of the first pixel, which SCOORD calls 0.5\\0.5.
        """
        steps = np.asarray(points, np.float64) - 0.5
        along_row, along_column = np.asarray(self.orientation[:3]), np.asarray(self.orientation[3:])
        across = steps[:, :1] * self.spacing[1] * along_row
        down = steps[:, 1:] * self.spacing[0] * along_column
        return np.asarray(np.asarray(self.position) + across + down, np.float64)


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
            if frame.position and frame.orientation and frame.pixel_spacing:
                planes[frame.source] = Plane(frame.position, frame.orientation, frame.pixel_spacing)
    return planes
