"""How a MONAI bundle has its network read a volume: a sliding window becomes [tiles]; what does not map is told.

Of `SlidingWindowInferer` are read roi_size, overlap, mode, sigma_scale, sw_batch_size, padding_mode and cval. Sizes are
turned from x, y, z to slices, rows, columns.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.packages.making.monai_steps import followed


@dataclass(frozen=True)
class Inferer:
    """`tiles` is the TOML table, empty where there is none to write."""

    tiles: str = ""
    notes: tuple[str, ...] = ()


class _Unmapped(ValueError):
    """Why the window can't be ours."""


def map_inferer(inference: Mapping[str, Any], pixels: Sequence[int], combine: bool) -> Inferer:
    """`inferer` of a bundle's inference configuration, for a network that takes rows of the shape `pixels`, ours;
    `combine` says that it gives numbers for a whole tile."""
    described = inference.get("inferer", {})
    if not isinstance(described, Mapping):
        return Inferer()
    given = {key: followed(value, inference) for key, value in described.items()}
    name = str(given.get("_target_", "")).rsplit(".", 1)[-1]
    if name in ("", "SimpleInferer"):
        return Inferer()
    try:
        if name != "SlidingWindowInferer":
            raise _Unmapped("there is no such reading")
        return _window(given, pixels[1:], combine)
    except _Unmapped as error:
        return Inferer(notes=(f"inferer {name}: {error}; here the whole prepared volume goes in at once",))


def _window(given: Mapping[str, Any], axes: Sequence[int], combine: bool) -> Inferer:
    shape = _sizes(given.get("roi_size"), len(axes))
    if any(-1 not in (have, want) and have != want for have, want in zip(axes, shape, strict=True)):
        raise _Unmapped(f"a window of {shape} does not fit the network's input {list(axes)}")
    notes = []
    if given.get("padding_mode", "constant") != "constant":
        notes.append(f"inferer: around what is smaller than a window stands one value, not {given['padding_mode']!r}")
    lines = [
        "[tiles]",
        f"shape = {shape}",
        f"overlap = {_overlap(given.get('overlap', 0.25), len(axes))}",
        f'blend = "{_blend(given.get("mode", "constant"))}"',
    ]
    numbers = {"sigma_scale": ("sigma", 0.125), "cval": ("value", 0.0)}
    lines += [
        f"{ours} = {_number(given[key], key)}"
        for key, (ours, usual) in numbers.items()
        if given.get(key, usual) != usual
    ]
    at_once = given.get("sw_batch_size", 1)
    if isinstance(at_once, int) and 1 <= at_once <= 256:  # of no account for what comes out
        lines.append(f"at_once = {at_once}")
    if combine:
        lines.append(
            'combine = "mean"  # TODO: how the tiles\' numbers become one: max, mean, or the mean of the top:3'
        )
    return Inferer("\n".join(lines), tuple(notes))


def _sizes(roi: object, axes: int) -> list[int]:
    if isinstance(roi, str):
        raise _Unmapped(f"roi_size {roi!r}: expressions are not run")
    sizes = [roi] * axes if isinstance(roi, int) else roi
    if not isinstance(sizes, list) or len(sizes) != axes:
        raise _Unmapped(f"roi_size {roi!r}: {axes} numbers are needed")
    if not all(size is None or (isinstance(size, int) and not isinstance(size, bool)) for size in sizes):
        raise _Unmapped(f"roi_size {roi!r}: whole numbers are needed")
    return [-1 if size is None or size <= 0 else size for size in reversed(sizes)]


def _overlap(overlap: object, axes: int) -> float | list[float]:
    if isinstance(overlap, list) and len(overlap) == axes:
        return [_part(part) for part in reversed(overlap)]
    return _part(overlap)


def _part(overlap: object) -> float:
    value = _number(overlap, "overlap")
    if not 0 <= value < 1:
        raise _Unmapped(f"overlap {overlap!r}: 0 to less than 1")
    return value


def _blend(mode: object) -> str:
    if mode not in ("constant", "gaussian"):
        raise _Unmapped(f"mode {mode!r}: there are constant and gaussian")
    return str(mode)


def _number(value: object, key: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Unmapped(f"{key} {value!r}: a number is needed, and expressions are not run")
    return float(value)
