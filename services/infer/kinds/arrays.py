"""Outputs that are kept as they are: images made from the source's, and vectors that stand for it."""

import numpy as np

from services.infer.answer import Answer
from services.infer.on_source import grid_of, values_on_source
from shared.findings import DerivedImage, Embedding, Placed
from shared.inference import Unreadable
from shared.outputs import activated


def derived_image(answer: Answer) -> list[DerivedImage]:
    """One image for each of the source, on its grid. Beyond what the model saw it has the least value of the declared
    range, else of the image.

    Raises:
        Unreadable: the tensor has another shape, or values out of the range that the manifest declares.
    """
    values = np.asarray(activated(answer.output, answer.dense), np.float32)
    low, high = answer.output.range or (float(values.min()), float(values.max()))
    if values.min() < low or values.max() > high:
        raise Unreadable(f"{answer.where} has values {values.min():g} to {values.max():g}, outside {low:g} to {high:g}")
    array = values_on_source(values, grid_of(answer.reading.grid, values.shape), beyond=low)
    placed = Placed(array=answer.keep(answer.output.name, array), images=answer.reading.grid.source.images)
    return [DerivedImage(**answer.identity(), placed=placed, unit=answer.output.unit, range=answer.output.range)]


def embedding(answer: Answer) -> list[Embedding]:
    """The vector, float32. It is a finding, so that the book names its file and digest, and retention finds it; report
    leaves it out of every object.

    Raises:
        Unreadable: the tensor is no vector.
    """
    return [Embedding(**answer.identity(), array=answer.keep(answer.output.name, answer.values.astype(np.float32)))]
