"""Brings a manifest of an older schema to the newest: one small function for each change of the contract."""

from collections.abc import Callable
from typing import Any

from shared.packages.manifest import SCHEMA

Page = dict[str, Any]


def to_newest(page: Page) -> Page:
    """The page as the newest schema writes it; one that is not older, or names no schema, is left as it is."""
    while isinstance(schema := page.get("schema"), int) and schema in _STEPS:
        page = _STEPS[schema](page) | {"schema": schema + 1}
    return page


def _from_1(page: Page) -> Page:
    """`tensors.input`, the one input there could be, becomes the first of `tensors.inputs`."""
    tensors = page.get("tensors")
    if not isinstance(tensors, dict) or "input" not in tensors:
        return page
    others = {name: value for name, value in tensors.items() if name != "input"}
    return page | {"tensors": others | {"inputs": [tensors["input"]]}}


_STEPS: dict[int, Callable[[Page], Page]] = {1: _from_1}

assert set(_STEPS) == set(range(1, SCHEMA)), "each schema but the newest has a step to the next"
