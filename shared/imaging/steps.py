"""Preprocessing: small named pure steps over one image; a package's manifest lists them in order.

A step changes what it names and nothing else; what moves pixels keeps the way back to the source.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial, reduce
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from shared.imaging.decode import Modality
from shared.imaging.display import window as voi_window
from shared.imaging.image import ModelImage
from shared.packages.manifest import Step

Pixels = NDArray[np.float32]
Percent = Annotated[float, Field(ge=0, le=100)]
Size = Annotated[int, Field(ge=1, le=16384)]
Applied = Callable[[ModelImage], ModelImage]


class StepError(ValueError):
    """A manifest names a step or a parameter that there isn't; the text says what to write."""


_STEPS: dict[str, Callable[..., ModelImage]] = {}
_PARAMETERS: dict[str, type[BaseModel]] = {}


def _step(function: Callable[..., ModelImage]) -> Callable[..., ModelImage]:
    """Registers a step under its name, with its parameters as they are annotated."""
    fields: dict[str, Any] = {
        name: (parameter.annotation, ... if parameter.default is parameter.empty else parameter.default)
        for name, parameter in inspect.signature(function).parameters.items()
        if name != "image"
    }
    name = function.__name__
    _STEPS[name] = function
    _PARAMETERS[name] = create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
    return function


def step_names() -> list[str]:
    """Every step that a manifest may name."""
    return sorted(_STEPS)


def compile_steps(steps: Sequence[Step]) -> Applied:
    """One function that applies `steps` in order.

    Raises:
        StepError: a step or a parameter is unknown, missing or wrong.
    """
    compiled = [_compiled(index, step) for index, step in enumerate(steps)]
    return lambda image: reduce(lambda current, apply: apply(current), compiled, image)


def _compiled(index: int, step: Step) -> Applied:
    where = f"preprocess[{index}]"
    if step.step not in _STEPS:
        raise StepError(f"{where}: there is no step {step.step!r}; there are {', '.join(step_names())}")
    try:
        checked = _PARAMETERS[step.step].model_validate(step.parameters)
    except ValidationError as error:
        raise StepError(f"{where} {step.step}: {_explain(error, step.step)}") from None
    return partial(_STEPS[step.step], **{name: getattr(checked, name) for name in type(checked).model_fields})


def _explain(error: ValidationError, name: str) -> str:
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"it has no parameter {field!r}; it has {', '.join(_PARAMETERS[name].model_fields) or 'none'}"
    if first["type"] == "missing":
        return f"parameter {field!r} is required"
    return f"parameter {field!r}: {first['msg']}; found {first['input']!r}"


@_step
def modality_lut(image: ModelImage) -> ModelImage:
    """Stored values in the modality's unit, by the image's own table or slope and intercept (PS3.3 C.11.1)."""
    return replace(image.with_pixels(image.modality.apply(image.pixels)), modality=Modality())


@_step
def invert_monochrome1(image: ModelImage) -> ModelImage:
    """MONOCHROME1, in which small values are bright, mirrored in the image's own range; others stay as they are."""
    if image.photometric_interpretation != "MONOCHROME1":
        return image
    inverted = image.with_pixels(image.pixels.max() + image.pixels.min() - image.pixels)
    return replace(inverted, photometric_interpretation="MONOCHROME2")


@_step
def scale_percentile(image: ModelImage, percentile: Percent = 99.0, low: Percent | None = None) -> ModelImage:
    """To [0, 1], clipped: the percentile `low` (without it, the value zero) becomes 0, `percentile` becomes 1.

    An image without such a range becomes zero.
    """
    bottom = 0.0 if low is None else float(np.percentile(image.pixels, low))
    span = float(np.percentile(image.pixels, percentile)) - bottom
    if not span > 0:
        return image.with_pixels(np.zeros_like(image.pixels))
    return image.with_pixels(np.clip((image.pixels - np.float32(bottom)) / np.float32(span), 0.0, 1.0))


@_step
def window(image: ModelImage, center: float, width: Annotated[float, Field(gt=0)]) -> ModelImage:
    """To [0, 1] by a linear window as viewers apply it (PS3.3 C.11.2.1.2)."""
    return image.with_pixels(voi_window(image.pixels, center, width) / np.float32(255))


@_step
def normalise(image: ModelImage, subtract: float | None = None, divide: float | None = None) -> ModelImage:
    """Mean 0 and standard deviation 1, by the image's own, or by those of the training data."""
    values = image.pixels.astype(np.float64)
    mean = values.mean() if subtract is None else subtract
    deviation = values.std() if divide is None else divide
    return image.with_pixels(((values - mean) / (deviation if deviation > 0 else 1.0)).astype(np.float32))


@_step
def pad_square(image: ModelImage, value: float = 0.0) -> ModelImage:
    """Square, with the image in its middle."""
    side = max(image.shape)
    return _padded(image, (side, side), value)


@_step
def pad_to_multiple(image: ModelImage, of: Size, value: float = 0.0) -> ModelImage:
    """Rows and columns to the next multiple, with the image in the middle."""
    rows, columns = (-(-size // of) * of for size in image.shape)
    return _padded(image, (rows, columns), value)


@_step
def pad(image: ModelImage, shape: tuple[Size, Size], value: float = 0.0) -> ModelImage:
    """At least `shape` (rows, columns), with the image in the middle."""
    return _padded(image, (max(shape[0], image.shape[0]), max(shape[1], image.shape[1])), value)


@_step
def crop(image: ModelImage, shape: tuple[Size, Size]) -> ModelImage:
    """At most `shape` (rows, columns), from the middle."""
    rows, columns = (min(have, want) for have, want in zip(image.shape, shape, strict=True))
    top, left = (image.shape[0] - rows) // 2, (image.shape[1] - columns) // 2
    return image.moved(image.pixels[top : top + rows, left : left + columns], (1.0, 1.0), (float(left), float(top)))


@_step
def resize(image: ModelImage, shape: tuple[Size, Size]) -> ModelImage:
    """Exactly `shape` (rows, columns), linear, each new pixel the mean of what it covers where the image shrinks."""
    rows, columns = shape
    if (rows, columns) == image.shape:
        return image
    resized = Pillow.fromarray(image.pixels).resize((columns, rows), Pillow.Resampling.BILINEAR)
    scale = (image.shape[1] / columns, image.shape[0] / rows)
    return image.moved(np.asarray(resized, np.float32), scale, (0.0, 0.0))


@_step
def fit(image: ModelImage, shape: tuple[Size, Size], value: float = 0.0) -> ModelImage:
    """Exactly `shape` (rows, columns): the whole image as large as it fits with one scale in mm, in the middle.

    Without a spacing the pixels count as square. The margins are equal on opposite sides, so a mirrored image becomes
    the mirrored result; for that a side may give up to one pixel.
    """
    spacing = image.spacing or (1.0, 1.0)
    sides = [count * step for count, step in zip(image.shape, spacing, strict=True)]
    factor = min(want / side for want, side in zip(shape, sides, strict=True))
    rows, columns = (
        max(1, want - 2 * round((want - side * factor) / 2)) for want, side in zip(shape, sides, strict=True)
    )
    return _padded(resize(image, (rows, columns)), shape, value)


def _padded(image: ModelImage, shape: tuple[int, int], value: float) -> ModelImage:
    if shape == image.shape:
        return image
    top, left = (shape[0] - image.shape[0]) // 2, (shape[1] - image.shape[1]) // 2
    around = ((top, shape[0] - image.shape[0] - top), (left, shape[1] - image.shape[1] - left))
    padded = np.pad(image.pixels, around, constant_values=value)
    return image.moved(padded, (1.0, 1.0), (-float(left), -float(top)))
