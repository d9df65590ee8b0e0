"""Whether a package's figures keep to the limits that its manifest sets on them."""

from typing import Any

from shared.packages.manifest import Limit, Manifest


def broken_limits(manifest: Manifest) -> list[str]:
    """In words, the limits that the figures of [validation] don't keep to, or that have no figure."""
    said = (_broken(name, limit, manifest.validation) for name, limit in manifest.limits.items())
    return [words for words in said if words]


def _broken(name: str, limit: Limit, figures: dict[str, Any]) -> str:
    value = figures.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return f"{name}: [validation] has no such figure"
    if limit.min is not None and value < limit.min:
        return f"{name} is {value:g}, below the limit {limit.min:g}"
    if limit.max is not None and value > limit.max:
        return f"{name} is {value:g}, above the limit {limit.max:g}"
    return ""
