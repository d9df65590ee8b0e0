"""Whether inputs, steps and outputs of a manifest fit the series that [[grouping.series]] names."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.packages.manifest import Manifest, Tensor

Wrong = tuple[str, str]  # where in the manifest, and what to write


def wrong_series(manifest: "Manifest") -> Iterator[Wrong]:
    """Each place that names a series that there is not, or asks what can't be had of one."""
    yield from _unknown(manifest)
    if manifest.grouping.by != "study":
        return
    if manifest.gate:
        yield "grouping.by", 'a gate scores single images: write by = "image"'
    for index, tensor in enumerate(manifest.tensors.inputs):
        yield from ((f"tensors.inputs.{index}.{key}", words) for key, words in _wrong_input(manifest, tensor))
    given = {tensor.series for tensor in manifest.tensors.inputs if tensor.source == "pixels"}
    for name in manifest.grouping.names:
        if name not in given:
            yield "tensors.inputs", f'no input holds the pixels of {name}: add one with series = "{name}"'
    if all(manifest.series_of(output) in manifest.grouping.optional for output in manifest.outputs):
        yield "outputs", "every output is of a series that may be missing: then nothing would be said"
    for index, output in enumerate(manifest.outputs):
        if output.of and manifest.series_of(output) != manifest.series_of(manifest.segmented(output)):
            yield f"outputs.{index}.series", f"{output.name} is measured of a segment: write the segment's series"


def _unknown(manifest: "Manifest") -> Iterator[Wrong]:
    places = [
        (f"tensors.inputs.{n}", [one.series] if one.series else []) for n, one in enumerate(manifest.tensors.inputs)
    ]
    places += [(f"outputs.{n}", [one.series] if one.series else []) for n, one in enumerate(manifest.outputs)]
    places += [(f"preprocess.{n}", one.series) for n, one in enumerate(manifest.preprocess)]
    for index, tensor in enumerate(manifest.tensors.inputs):
        if tensor.source == "present" and manifest.grouping.by != "study":
            yield (
                f"tensors.inputs.{index}.source",
                'present is for grouping.by = "study": it tells which series are there',
            )
    for place, names in places:
        for name in names:
            if manifest.grouping.by != "study":
                yield f"{place}.series", 'series is for grouping.by = "study": remove it'
            elif name not in manifest.grouping.names:
                there = ", ".join(manifest.grouping.names)
                yield f"{place}.series", f"there is no series {name!r} in [[grouping.series]]; there are {there}"


def _wrong_input(manifest: "Manifest", tensor: "Tensor") -> Iterator[Wrong]:
    count = len(manifest.grouping.names)
    if tensor.source == "present":
        if tensor.shape != [count] or tensor.series:
            yield "shape", f"present tells of each series whether it is there: write shape = [{count}], and no series"
        return
    if tensor.source in ("pixels", "slice_mask") and not tensor.series:
        yield "series", f"which series is it of? Write one of {', '.join(manifest.grouping.names)}"
        return
    if tensor.source == "pixels" and len(tensor.shape) not in (3, 4):
        yield "shape", "is [channels, rows, columns] of one image, or [channels, slices, rows, columns] of a series"
    if manifest.series_of(tensor) not in manifest.grouping.optional:
        return
    if -1 in tensor.shape:
        yield "shape", f"{tensor.series} may be missing, and zeros stand in: write every size, none as -1"
    for index, feature in enumerate(tensor.features):
        if feature.missing is None:
            yield f"features.{index}", f"{manifest.series_of(tensor)} may be missing: write what stands in, as missing"
