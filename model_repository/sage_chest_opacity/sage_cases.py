"""The gate's cases: images kept out, as they are and spoilt, and what the exported file says of each.

From them come the report in the card and, as each says whether the package reads it rightly, the figures of rejection.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from sage_deformations import DEFORMATIONS, STRENGTHS
from sage_folder import CONDITIONS
from sage_pool import Row, Target, changed, images

from shared.packages.validation.predictions import Prediction

Pixels = NDArray[np.float32]


def cases(target: Target, data: Path | None, model: Path, held_out: int, spoilt: int) -> list[Prediction]:
    """Four lines (one an output) for each of `held_out` images, and for each change of the first `spoilt` of them.

    Truth is 1 of an image as it is and 0 of a spoilt one. Strata: the change and its strength, the matrix of the image
    as it was, and whether the package answers it rightly (of probabilities only).
    """
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    pixels = target.package.manifest.tensors.pixels.name
    found: list[Prediction] = []
    for number, (image, label) in enumerate(images(target, data, "held_out", 0, held_out)):
        matrix = " × ".join(str(side) for side in image.array.shape[2:])
        for change, strength, spoiled in _versions(image.array[0, 0], number, number < spoilt):
            row = target.row(changed(image, spoiled) if strength else image)
            said = session.run(list(CONDITIONS), {pixels: row[None]})
            strata = {"change": change, "strength": f"{strength:g}", "matrix": matrix} | _reading(target, row, label)
            case, truth = f"{number} {change} {strength:g}", float(not strength)
            found += [
                Prediction(name, case, truth, float(value[0, 0]), strata)
                for name, value in zip(CONDITIONS, said, strict=True)
            ]
        if number % 50 == 49:
            print(f"cases: {number + 1} of {held_out} images", flush=True)
    return found


def _versions(pixels: Pixels, number: int, spoil: bool) -> Iterator[tuple[str, float, Pixels]]:
    """The image as it is, then, where asked for, each change at each strength."""
    yield "none", 0.0, pixels
    for name, change in DEFORMATIONS.items() if spoil else ():
        for step, strength in enumerate(STRENGTHS[1:], 1):
            yield name, strength, change(pixels, strength, np.random.default_rng((number, step)))


def _reading(target: Target, row: Row, label: float) -> dict[str, str]:
    answer = target.answer(row)
    if not target.gives_probabilities:
        return {}
    called = float(answer.argmax()) if len(answer) > 1 else float(answer[0] >= (target.output.threshold or 0.5))
    return {"reader": "right" if called == label else "wrong"}
