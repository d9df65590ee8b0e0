"""Which images each named series of a package that reads a whole study is made of; the same for decide and infer."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

from shared.packages.manifest import Manifest


class Image(Protocol):
    """An image as the book knows it."""

    @property
    def sop_instance_uid(self) -> str: ...

    @property
    def header(self) -> Mapping[str, Any]: ...


class InSeries(Image, Protocol):
    """One that knows its series."""

    @property
    def series_instance_uid(self) -> str: ...


Of = TypeVar("Of", bound=Image)
OfSeries = TypeVar("OfSeries", bound=InSeries)


def images_of(manifest: Manifest, name: str, images: Sequence[Of]) -> list[Of]:
    """Of one series' images those that the input `name` is made of. Where its tensor takes a single image that is the
    last by instance number: an exposure is repeated because the one before was no good."""
    selectors = manifest.selector, manifest.grouping.named(name)
    taken = [image for image in images if all(selector.takes_image(image.header) for selector in selectors)]
    single = manifest.reads_single_images(name)
    return [max(taken, key=_place)] if taken and single else taken


def images_by_name(
    manifest: Manifest, inputs: Mapping[str, str], images: Sequence[OfSeries]
) -> dict[str, list[OfSeries]]:
    """The images of each named series that `inputs` gives a Series Instance UID for; no image is of two."""
    found: dict[str, list[OfSeries]] = {}
    for name in (name for name in manifest.grouping.names if name in inputs):
        free = [one for one in images if one.series_instance_uid == inputs[name] and not _is_among(one, found)]
        found[name] = images_of(manifest, name, free)
    return {name: own for name, own in found.items() if own}


def lacking(manifest: Manifest, inputs: Mapping[str, str]) -> str:
    """Which required series are not among `inputs`, and what would match, in words; empty where none is missing."""
    missing = [manifest.grouping.named(name) for name in manifest.grouping.required if name not in inputs]
    if not missing:
        return ""
    wanted = " and no ".join(f"{series.name} ({series.in_words})" for series in missing)
    return f"the study has no {wanted}, without which {manifest.package.name} does not read: send it, if there is one"


def _place(image: Image) -> tuple[int, str]:
    number = image.header.get("instance_number")
    return number if isinstance(number, int) else -1, image.sop_instance_uid


def _is_among(image: Image, found: Mapping[str, Sequence[Image]]) -> bool:
    return any(image.sop_instance_uid == one.sop_instance_uid for taken in found.values() for one in taken)
