"""MONAI's pre and post transforms as our steps, where they mean the same; what does not map is told in words.

MONAI keeps arrays as (x, y, z), ours are (slices, rows, columns): sizes and spacings are turned round. A bundle's
configuration may hold expressions to be run (`$…`): they are never run; one that a transform needs is told of.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Parameters = Mapping[str, Any]

NOTHING_TO_DO = frozenset({
    "LoadImage", "EnsureChannelFirst", "AddChannel", "AsChannelFirst", "EnsureType", "ToTensor", "CastToType",
    "ToDevice", "SelectItems", "DeleteItems",
})  # fmt: skip
"""Transforms that every package is given anyway: pixels as float32, channel first."""
AFTER = frozenset({"Invert", "SaveImage", "CopyItems"}) | NOTHING_TO_DO
"""Transforms behind the network that report does: back to the source's grid, and into a file."""


class _Unmapped(ValueError):
    """Why a transform can't be a step."""


@dataclass
class Mapped:
    """Steps as TOML tables, the activation behind the network, and what did not map."""

    steps: list[str] = field(default_factory=list)
    activation: str = "none"
    notes: list[str] = field(default_factory=list)


def map_transforms(inference: Mapping[str, Any]) -> Mapped:
    """`preprocessing` and `postprocessing` of a bundle's inference configuration."""
    mapped = Mapped()
    for name, parameters in _transforms(inference, "preprocessing"):
        try:
            mapped.steps.extend(_steps_of(name, parameters))
        except (_Unmapped, KeyError, TypeError, ValueError) as error:
            why = str(error) if isinstance(error, _Unmapped) else f"its parameters are not as expected ({error!r})"
            mapped.notes.append(f"preprocessing {name}: {why}")
    for name, parameters in _transforms(inference, "postprocessing"):
        if name == "Activations":
            mapped.activation = next((kind for kind in ("softmax", "sigmoid") if parameters.get(kind) is True), "none")
        elif name not in AFTER and not (name == "AsDiscrete" and _is_ours(parameters)):
            mapped.notes.append(f"postprocessing {name}: results are not changed after the network")
    return mapped


def table(step: str, **parameters: object) -> str:
    """A [[preprocess]] table."""
    lines = [f"{key} = {_value(value)}" for key, value in parameters.items()]
    return "\n".join(["[[preprocess]]", f'step = "{step}"', *lines])


def _value(value: object) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, Sequence):
        return f"[{', '.join(_value(part) for part in value)}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _transforms(inference: Mapping[str, Any], part: str) -> Iterator[tuple[str, Parameters]]:
    """Name and parameters of each; references to literals of the same page are followed."""
    listed = inference.get(part, {})
    listed = listed.get("transforms", []) if isinstance(listed, Mapping) else listed
    listed = followed(listed, inference)
    for transform in listed if isinstance(listed, list) else []:
        if not isinstance(transform, Mapping):
            continue
        parameters = {key: followed(value, inference) for key, value in transform.items()}
        name = str(parameters.pop("_target_", "?")).rsplit(".", 1)[-1]
        if parameters.pop("_disabled_", False) is not True:
            yield _plain(name), parameters


def followed(value: object, page: Mapping[str, Any]) -> Any:
    """`@name#part` of the page; anything else, and what leads nowhere, as it stands."""
    if not (isinstance(value, str) and value.startswith("@")):
        return value
    found: Any = page
    for part in value[1:].replace("::", "#").split("#"):
        found = found.get(part) if isinstance(found, Mapping) else None
    return value if found is None or isinstance(found, str) and found.startswith("@") else found


def _plain(name: str) -> str:
    """The transform without the ending of its dictionary form: LoadImaged, LoadImageD, LoadImageDict."""
    for ending in ("Dict", "D", "d"):
        if name.endswith(ending) and (name.removesuffix(ending) in _STEPS or name.removesuffix(ending) in _OTHERS):
            return name.removesuffix(ending)
    return name


def _is_ours(parameters: Parameters) -> bool:
    """Whether segments come of it as report makes them: the likeliest label, or what is above one half."""
    return bool(parameters.get("argmax")) or parameters.get("threshold") in (None, 0.5)


def _steps_of(name: str, parameters: Parameters) -> list[str]:
    if name in NOTHING_TO_DO:
        return []
    if name not in _STEPS:
        raise _Unmapped("there is no such step")
    for key, value in parameters.items():
        if isinstance(value, str) and value.startswith(("$", "@", "%")):
            raise _Unmapped(f"{key} is an expression ({value[:60]}), which is not run here")
    return _STEPS[name](parameters)


def _orientation(given: Parameters) -> list[str]:
    return [table("reorient", axes=str(given["axcodes"])[::-1])]


def _spacing(given: Parameters) -> list[str]:
    spacing = _turned(given["pixdim"])
    mode = given.get("mode", "bilinear")
    if mode not in ("bilinear", "nearest"):
        raise _Unmapped(f"mode {mode!r}: there are bilinear and nearest")
    return [table("resample", spacing=spacing, **({"method": "nearest"} if mode == "nearest" else {}))]


def _scale_range(given: Parameters) -> list[str]:
    if (given.get("b_min", 0), given.get("b_max", 1)) != (0, 1) or not given.get("clip", False):
        raise _Unmapped("only to 0 … 1, clipped")
    return [table("scale_range", low=float(given["a_min"]), high=float(given["a_max"]))]


def _scale(given: Parameters) -> list[str]:
    if (given.get("minv", 0.0), given.get("maxv", 1.0)) != (0.0, 1.0) or given.get("factor") is not None:
        raise _Unmapped("only to 0 … 1")
    return [table("scale_percentile", low=0.0, percentile=100.0, over="volume")]


def _scale_percentiles(given: Parameters) -> list[str]:
    if (given.get("b_min"), given.get("b_max")) != (0, 1) or not given.get("clip", False):
        raise _Unmapped("only to 0 … 1, clipped")
    return [table("scale_percentile", low=float(given["lower"]), percentile=float(given["upper"]), over="volume")]


def _normalise(given: Parameters) -> list[str]:
    if given.get("nonzero", False):
        raise _Unmapped("nonzero: mean and deviation are of all values here")
    names = {"subtract": given.get("subtrahend"), "divide": given.get("divisor")}
    return [table("normalise", over="volume", **{name: value for name, value in names.items() if value is not None})]


def _resize(given: Parameters) -> list[str]:
    return [table("resize", shape=_turned(given["spatial_size"]))]


def _foreground(given: Parameters) -> list[str]:
    if "select_fn" in given:
        raise _Unmapped("select_fn: the foreground is what is above 0")
    if given.get("margin", 0):
        raise _Unmapped("margin: MONAI adds one beyond the volume's borders too")
    return [table("crop_foreground")]


def _pad(given: Parameters) -> list[str]:
    return [table("pad", shape=_turned(given["spatial_size"]))]


def _pad_to_multiple(given: Parameters) -> list[str]:
    if not isinstance(given["k"], list):
        raise _Unmapped("k: one number for each axis is needed")
    return [table("pad_to_multiple", of=_turned(given["k"]))]


def _crop(given: Parameters) -> list[str]:
    return [table("crop", shape=_turned(given["roi_size"]))]


def _crop_or_pad(given: Parameters) -> list[str]:
    return [table(step, shape=_turned(given["spatial_size"])) for step in ("crop", "pad")]


def _turned(sizes: Any) -> list[float]:
    if not isinstance(sizes, list) or not all(isinstance(size, int | float) and size > 0 for size in sizes):
        raise _Unmapped(f"sizes {sizes!r}: one positive number an axis is needed")
    return list(reversed(sizes))


_STEPS: dict[str, Callable[[Parameters], list[str]]] = {
    "Orientation": _orientation,
    "Spacing": _spacing,
    "ScaleIntensityRange": _scale_range,
    "ScaleIntensity": _scale,
    "ScaleIntensityRangePercentiles": _scale_percentiles,
    "NormalizeIntensity": _normalise,
    "Resize": _resize,
    "CropForeground": _foreground,
    "SpatialPad": _pad,
    "DivisiblePad": _pad_to_multiple,
    "CenterSpatialCrop": _crop,
    "ResizeWithPadOrCrop": _crop_or_pad,
}
_OTHERS = AFTER | {"Activations", "AsDiscrete", "KeepLargestConnectedComponent", "Flip", "Rotate90", "Lambda"}
