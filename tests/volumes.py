"""Volumes and manifests' steps for tests."""

from typing import Any

import numpy as np

from shared.findings import SourceImage
from shared.imaging.frames import Frame
from shared.imaging.grid import Grid, SourceStack
from shared.imaging.steps import compile_steps
from shared.imaging.volume import NOTHING, Volume
from shared.packages.manifest import Step

PICTURE = np.random.default_rng(3).normal(200, 80, (37, 52)).astype(np.float32)


def apply(volume: Volume, *steps: tuple[str, dict[str, Any]]) -> Volume:
    """`volume` after the steps (name, parameters), as a manifest lists them."""
    return compile_steps([Step(step=name, **parameters) for name, parameters in steps])(volume)


def stack(array: np.ndarray, frames: list[Frame] | None = None, **facts: Any) -> Volume:
    """A volume (slices, rows, columns) of its own, in the places of `frames` where they are given."""
    shape = array.shape
    source = SourceStack.of(frames) if frames else SourceStack(shape, images_of(len(array)))
    each = {"modality": (NOTHING,) * len(array), "photometric_interpretation": ("MONOCHROME2",) * len(array)}
    return Volume(array[np.newaxis].astype(np.float32), Grid(shape, source), **{**each, **facts})


def images_of(count: int) -> tuple[SourceImage, ...]:
    """Images of one series."""
    return tuple(
        SourceImage(series_instance_uid="1.1", sop_instance_uid=f"1.2.{n}", sop_class_uid="1.3") for n in range(count)
    )
