"""What a package's recorded predictions judge: each output, or label of one, with its cases and how it is measured."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from shared.packages.folder import Package
from shared.packages.output_tables import Output
from shared.packages.validation.figures import Figures, figures_of, figures_of_fitness
from shared.packages.validation.predictions import Prediction, of_output

Way = Literal["probability", "number", "fitness"]


@dataclass(frozen=True)
class Judged:
    """An output (or `output.label`) and its cases.

    A *probability* is called from `threshold` on. A gate's number is its *fitness* where the truth of each case is 0
    (not fit to be read) or 1; below `threshold`, if it is the number that the gate goes by, it warns. Else a *number*
    is held against the true one.
    """

    name: str
    meaning: str
    unit: str
    way: Way
    threshold: float | None
    cases: list[Prediction]

    def figures(self, cases: Sequence[Prediction]) -> Figures:
        """The figures of these cases, or of some of them."""
        return figures_of_fitness(cases, self.threshold) if self.way == "fitness" else figures_of(cases, self.threshold)


def judged(package: Package, predictions: Sequence[Prediction]) -> list[Judged]:
    """Every output and label that has predictions, in the manifest's order."""
    outputs = [_judged(package, output, predictions) for output in package.manifest.outputs]
    return [one for found in outputs for one in found if one.cases]


def measured(package: Package, predictions: Sequence[Prediction]) -> dict[str, Figures]:
    """The figures of each; a label's name has a dot: `output.label`."""
    return {one.name: one.figures(one.cases) for one in judged(package, predictions)}


def _judged(package: Package, output: Output, predictions: Sequence[Prediction]) -> Iterator[Judged]:
    cases = of_output(predictions, output.name)
    if output.kind == "binary":
        yield Judged(output.name, output.code.meaning, "1", "probability", output.threshold or 0.5, cases)
    elif output.kind == "multilabel":
        for label in output.labels:
            name, threshold = f"{output.name}.{label.name}", label.threshold or output.threshold or 0.5
            yield Judged(name, label.code.meaning, "1", "probability", threshold, of_output(predictions, name))
    elif package.manifest.gate and all(case.truth in (0.0, 1.0) for case in cases):
        warn_below = package.manifest.gate.warn_below if output is package.manifest.outputs[0] else None
        yield Judged(output.name, output.code.meaning, output.unit, "fitness", warn_below, cases)
    else:
        yield Judged(output.name, output.code.meaning, output.unit, "number", None, cases)
