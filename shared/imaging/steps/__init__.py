"""Preprocessing: small named pure steps over one volume; a package's manifest lists them in order.

A step changes what it names and nothing else; what moves voxels keeps the way back to the source.
"""

from shared.imaging.steps import (  # noqa: F401 - they register
    foreground,
    intensity,
    orientation,
    pet,
    sampling,
    sizes,
    slices,
)
from shared.imaging.steps.register import (
    Preparation,
    StepError,
    compile_steps,
    parameter_names,
    step_names,
)

__all__ = ["Preparation", "StepError", "compile_steps", "parameter_names", "step_names"]
