"""What a package said beside what was true, a line a case: `validation.csv` of a recipe, or a hospital's own cases.

Columns: `output` (its name), `case`, `truth`, `score` (a probability, or the number in the output's unit), and any
others, which are strata: sex, age, vendor, field_strength, site …
"""

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

REQUIRED = ("output", "case", "truth", "score")


@dataclass(frozen=True)
class Prediction:
    """One case of one output. `truth` is 0 or 1 of a probability, else a number in the output's unit."""

    output: str
    case: str
    truth: float
    score: float
    strata: dict[str, str] = field(default_factory=dict)


def read_predictions(path: Path) -> list[Prediction]:
    """The lines of a CSV file.

    Raises:
        ValueError: a column is missing, or a value is no finite number; the text names the line.
        OSError: it can't be read.
    """
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if missing := [name for name in REQUIRED if name not in (reader.fieldnames or [])]:
            raise ValueError(f"{path.name}: there is no column {', '.join(missing)}: it needs {', '.join(REQUIRED)}")
        return [_prediction(row, f"{path.name}:{number}") for number, row in enumerate(reader, start=2)]


def write_predictions(path: Path, predictions: Iterable[Prediction]) -> None:
    """Writes them as `read_predictions` reads them; strata that a case lacks stay empty."""
    lines = list(predictions)
    strata = list(dict.fromkeys(name for line in lines for name in line.strata))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*REQUIRED, *strata])
        for line in lines:
            shown = (f"{value:.6g}" for value in (line.truth, line.score))
            writer.writerow([line.output, line.case, *shown, *(line.strata.get(name, "") for name in strata)])


def of_output(predictions: Sequence[Prediction], output: str) -> list[Prediction]:
    """Those of one output."""
    return [line for line in predictions if line.output == output]


def _prediction(row: dict[str, str], where: str) -> Prediction:
    numbers = {}
    for name in ("truth", "score"):
        try:
            numbers[name] = float(row[name])
        except (TypeError, ValueError):
            raise ValueError(f"{where}: {name} is no number: {row[name]!r}") from None
        if not math.isfinite(numbers[name]):
            raise ValueError(f"{where}: {name} is not finite")
    strata = {name: value for name, value in row.items() if name and name not in REQUIRED and value}
    return Prediction(row["output"], row["case"], numbers["truth"], numbers["score"], strata)
