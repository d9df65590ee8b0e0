"""Which pixels are what, back on the source images, with the volume or area that they have there."""

from collections.abc import Sequence

import numpy as np
from scipy import special

from services.infer.answer import Answer
from services.infer.on_source import Labels, Plain, grid_of, labels_on_source, values_on_source
from shared.findings import COUNTS_FROM, Placed, Segment, Segmentation
from shared.outputs import probabilities
from shared.packages.output_tables import Label


def segments(answer: Answer) -> list[Segmentation]:
    """One segmentation where each pixel is one thing at most: the likeliest channel, of which the first is the
    background where there is one more than labels. Where each label is judged by itself (a probability of its own, or
    its logit with `sigmoid`), one for each, since they may overlap.

    Raises:
        Unreadable: the tensor has another shape, or holds what are no probabilities where they are due.
    """
    channels, labels = answer.dense, answer.output.labels
    background = len(channels) - len(labels)
    if answer.output.fractional:
        return [_fractional(answer, channels, background)]
    if answer.output.activation == "softmax" or background:
        likeliest = channels.argmax(axis=0) + (0 if background else 1)
        return [_labelled(answer, likeliest.astype(np.uint8), list(enumerate(labels, start=1)))]
    return [_judged(answer, channel, label) for channel, label in zip(channels, labels, strict=True)]


def _judged(answer: Answer, channel: Plain, label: Label) -> Segmentation:
    said = special.expit(channel) if answer.output.activation == "sigmoid" else channel
    marked = probabilities(answer.package, answer.output, said) >= answer.threshold(label)
    found = _labelled(answer, marked.astype(np.uint8), [(1, label)])
    alone = len(answer.output.labels) == 1
    return found if alone else found.model_copy(update={"name": f"{answer.output.name}.{label.name}"})


def _labelled(answer: Answer, array: Labels, numbered: Sequence[tuple[int, Label]]) -> Segmentation:
    labels = labels_on_source(array, grid_of(answer.reading.grid, array.shape))
    counts = np.bincount(labels.reshape(-1), minlength=len(numbered) + 1)
    parts = [_segment(answer, number, label, int(counts[number])) for number, label in numbered]
    name = f"{answer.output.name}.{numbered[0][1].name}" if len(numbered) < len(answer.output.labels) else ""
    return _segmentation(answer, labels, parts, name or answer.output.name)


def _fractional(answer: Answer, channels: Plain, background: int) -> Segmentation:
    """The one label's probability, float32."""
    softmax = answer.output.activation == "softmax"
    said = special.softmax(channels, axis=0) if softmax else channels
    own = special.expit(said[background]) if answer.output.activation == "sigmoid" else said[background]
    checked = probabilities(answer.package, answer.output, own).astype(np.float32)
    values = values_on_source(checked, grid_of(answer.reading.grid, checked.shape), beyond=0.0)
    part = _segment(answer, 1, answer.output.labels[0], int(np.count_nonzero(values >= COUNTS_FROM)))
    return _segmentation(answer, values, [part], answer.output.name)


def _segmentation(answer: Answer, array: Labels | Plain, parts: Sequence[Segment], name: str) -> Segmentation:
    placed = Placed(array=answer.keep(name, array), images=answer.reading.grid.source.images)
    return Segmentation(
        **answer.identity() | {"name": name}, segments=tuple(parts), placed=placed, fractional=answer.output.fractional
    )


def _segment(answer: Answer, number: int, label: Label, count: int) -> Segment:
    """With its size: the volume of a stack whose slices have even places, the area of a single image."""
    stack = answer.reading.grid.source
    slices, *in_plane = stack.spacing or (None, None, None)
    pixel = None if None in in_plane else float(np.prod([float(mm) for mm in in_plane if mm is not None]))
    single = len(stack.images) == 1
    return Segment(
        number=number, name=label.name, code=label.code, colour=label.colour or "",
        volume_mm3=None if single or slices is None or pixel is None else count * pixel * slices,
        area_mm2=count * pixel if single and pixel is not None else None,
    )  # fmt: skip
