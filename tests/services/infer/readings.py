"""Readings as a model would give them, and a package around one output that reads them."""

from pathlib import Path
from typing import Any

import numpy as np

from shared.findings import SourceImage
from shared.inference import Reading
from shared.packages.folder import Package
from shared.packages.manifest import Manifest
from tests.readings import grid_on

IMAGE = SourceImage(series_instance_uid="1.1", sop_instance_uid="1.2", sop_class_uid="1.3")
CODE: dict[str, str] = {"value": "112001", "scheme": "DCM", "meaning": "Opacity"}
OUTPUT: dict[str, Any] = {"name": "found", "tensor": "logit", "kind": "binary", "code": CODE}


def package(*outputs: dict[str, Any], explanation: dict[str, Any] | None = None) -> Package:
    """With these outputs: each is `OUTPUT` where it says nothing else."""
    manifest = {
        "schema": 2, "selector": {}, "tensors": {"inputs": [{"name": "image", "shape": [1, 512, 512]}]},
        "package": {"name": "tiny", "version": "1.0.0", "kind": "reader", "title": "t", "intended_use": "i"},
        "outputs": [OUTPUT | output for output in outputs], "explanation": explanation or {},
    }  # fmt: skip
    return Package(Path("tiny"), Manifest.model_validate(manifest))


def reading(**outputs: Any) -> Reading:
    """Of an image of 100 rows and 200 columns in the middle of a square input."""
    arrays = {name: np.asarray(value, np.float32) for name, value in outputs.items()}
    return Reading(grid_on(IMAGE, shape=(100, 200), box=(0.0, -50.0, 200.0, 150.0)), False, arrays)


def series(slices: int, **outputs: Any) -> Reading:
    """Of that many slices of 100 rows and 200 columns."""
    arrays = {name: np.asarray(value, np.float32) for name, value in outputs.items()}
    images = tuple(IMAGE.model_copy(update={"sop_instance_uid": f"1.2.{n}"}) for n in range(slices))
    return Reading(grid_on(*images, shape=(100, 200)), False, arrays)
