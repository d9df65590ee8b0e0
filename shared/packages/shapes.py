"""Which shape an output tensor must have for what the manifest says of it: held by `validate`, and at each reading.

A shape is that of one row, without the batch dimension; -1 is any size. Axes of size 1 in front or behind are of no
account: [1, 14, 1, 1] holds fourteen numbers as [14] does.
"""

from collections.abc import Iterator, Mapping, Sequence

from shared.packages.manifest import Manifest
from shared.packages.output_tables import POINTS_OF_GEOMETRY, Output

Shape = tuple[int, ...]
ONE_NUMBER: list[Shape] = [()]


def shapes_of(manifest: Manifest, output: Output) -> list[Shape]:
    """The shapes that the output's tensor may have; the first that fits counts."""
    if output.kind == "segment" or output.of:
        segmented = output if not output.of else manifest.segmented(output)
        return _channels(segmented, _plane(manifest, output))
    if output.kind == "image":
        return [_plane(manifest, output)]
    if output.kind == "embedding":
        return [(-1,)]
    if output.geometry or output.kind == "landmark":
        count = POINTS_OF_GEOMETRY.get(output.geometry or "", -1)
        axes = len(_plane(manifest, output))
        return [(count, axes), (count, axes + 1)]
    if output.kind == "multilabel":
        return [(len(output.labels),)]
    if output.kind == "ordinal":
        steps: list[Shape] = [(len(output.labels),), (len(output.labels) - 1,)]  # each step's, or those beyond each
        return {"softmax": steps[:1], "sigmoid": steps[1:], "none": steps}[output.activation]
    return ONE_NUMBER


def shapes_of_explanation(manifest: Manifest) -> list[Shape]:
    """The shapes that the explanation's tensor may have."""
    explanation = manifest.explanation
    if explanation.kind == "additive_patches":
        return [(-1, -1)]
    if explanation.kind == "concepts":
        return [(len(explanation.concepts),)]
    if explanation.kind == "slice_weights":
        return [(-1,)]
    if explanation.kind == "attribution_map":
        each = (len(manifest.explained.labels),) if manifest.explained.kind == "multilabel" else ()
        return [(*each, *_plane(manifest, manifest.explained))]
    return []


def _plane(manifest: Manifest, output: Output) -> Shape:
    """What lies over an image, or over the slices of a series."""
    return (-1, -1) if manifest.reads_single_images(manifest.series_of(output)) else (-1, -1, -1)


def _channels(output: Output, plane: Shape) -> list[Shape]:
    """A channel for each label, and one for the background before them where each pixel is one thing at most."""
    count = len(output.labels)
    own, more, alone = (count, *plane), (count + 1, *plane), [plane] if count == 1 else []
    if output.activation == "softmax":
        return [more] if count == 1 else [more, own]
    return [own, *alone] if output.activation == "sigmoid" else [own, more, *alone]


def fitting(shape: Sequence[int], patterns: Sequence[Shape]) -> Shape | None:
    """`shape` without the ones at its ends that the first of `patterns` that it fits does not have; None: it fits none.

    A size that is free (-1), in `shape` or in a pattern, fits any.
    """
    return next((own for pattern in patterns for own in _cut(tuple(shape), len(pattern)) if _fits(own, pattern)), None)


def in_words(patterns: Sequence[Shape]) -> str:
    """What was due, for a person."""
    said = [" × ".join("n" if size == -1 else str(size) for size in pattern) or "one number" for pattern in patterns]
    return " or ".join(said)


def wrong_shapes(manifest: Manifest, shapes: Mapping[str, Sequence[int]]) -> Iterator[str]:
    """In words, each tensor of `shapes`, by name, that does not fit what the manifest says of it."""
    wanted = [(o.tensor, f"{o.name} ({o.kind})", shapes_of(manifest, o)) for o in manifest.outputs]
    wanted += [(o.confidence_tensor, f"the confidence of {o.name}", ONE_NUMBER) for o in manifest.outputs]
    wanted.append((manifest.explanation.tensor, manifest.explanation.kind, shapes_of_explanation(manifest)))
    for tensor, what, patterns in wanted:
        if tensor in shapes and patterns and fitting(shapes[tensor], patterns) is None:
            yield f"output {tensor}: has shape {list(shapes[tensor])} a row; {what} takes {in_words(patterns)}"


def _cut(shape: Shape, length: int) -> Iterator[Shape]:
    """`shape` with `length` axes, for each way to leave out ones, those in front first."""
    surplus = len(shape) - length
    for front in range(surplus, -1, -1):
        back = len(shape) - (surplus - front)
        if all(size in (1, -1) for size in (*shape[:front], *shape[back:])):
            yield shape[front:back]


def _fits(shape: Shape, pattern: Shape) -> bool:
    return all(-1 in (have, want) or have == want for have, want in zip(shape, pattern, strict=True))
