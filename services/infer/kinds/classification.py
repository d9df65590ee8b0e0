"""Whether something is there: one probability (`binary`), or one for each label (`multilabel`)."""

import numpy as np

from services.infer.answer import Answer
from services.infer.explanations import concepts, patch_map, regions
from services.infer.slices import slice_weights
from services.infer.tile_regions import deciding_tiles
from shared.findings import Classification, PatchMap, Region
from shared.outputs import activated, calibrated, number, probabilities


def binary(answer: Answer) -> list[Classification]:
    """One classification, with what the package explains it by.

    Raises:
        Unreadable: there is not one number, it is no probability, or the explanation does not fit it.
    """
    probability, threshold = number(answer.package, answer.output, answer.reading), answer.threshold()
    present, patches = probability >= threshold, patch_map(answer)
    return [
        Classification(
            **answer.identity(), present=present, probability=probability, threshold=threshold, patch_map=patches,
            regions=_places(answer, patches, threshold) if present else (), concepts=concepts(answer),
            slice_weights=slice_weights(answer.package, answer.reading),
        )
    ]  # fmt: skip


def _places(answer: Answer, patches: PatchMap | None, threshold: float) -> tuple[Region, ...]:
    return regions(answer, patches, threshold) if patches else deciding_tiles(answer)


def multilabel(answer: Answer) -> list[Classification]:
    """One classification for each label, in the manifest's order: each has a threshold and a calibration of its own.

    Raises:
        Unreadable: there is not one number for each label, or one is no probability.
    """
    output = answer.output
    values = [
        calibrated(label.calibration, value) for label, value in zip(output.labels, answer.values.tolist(), strict=True)
    ]
    found = probabilities(answer.package, output, activated(output, np.array(values))).tolist()
    weights = slice_weights(answer.package, answer.reading)
    return [
        Classification(
            **answer.identity(label), present=probability >= answer.threshold(label), probability=probability,
            threshold=answer.threshold(label), slice_weights=weights,
            regions=deciding_tiles(answer, number) if probability >= answer.threshold(label) else (),
        )
        for number, (label, probability) in enumerate(zip(output.labels, found, strict=True))
    ]  # fmt: skip
