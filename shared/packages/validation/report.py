"""The validation report in a package's card: figures, a table by stratum, and a picture, between two marks.

What stands between the marks is written anew each time; the rest of the card is the author's.
"""

import math
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

from shared.packages.folder import Package
from shared.packages.validation.judged import Judged, judged
from shared.packages.validation.predictions import Prediction

BEGIN, END = "<!-- validation report: begin -->", "<!-- validation report: end -->"
FEWEST = 10
"""Cases below which a stratum gets no figures: they would say little, and tell of persons."""

_SHOWN = {
    "probability": ("cases", "positives", "auroc", "sensitivity", "specificity", "brier", "calibration_error"),
    "number": ("cases", "residual_mean", "residual_sigma", "mean_absolute_error", "pearson", "spearman", "icc"),
    "fitness": ("cases", "fit", "auroc", "fit_passed", "unfit_warned"),
}


def report(package: Package, predictions: Sequence[Prediction], on: str, pictures: dict[str, str]) -> str:
    """The report as Markdown; `on` says which cases, `pictures` are file names by what they show."""
    parts = [BEGIN, "", _heading(package), "", f"On {on}, {date.today()}.", ""]
    for one in judged(package, predictions):
        parts += [f"### {one.meaning} (`{one.name}`)", "", *_table(one), ""]
        if one.name in pictures:
            parts += [f"![{one.meaning}: figures as curves]({pictures[one.name]})", ""]
    return "\n".join([*parts, END])


def is_current(package: Package, predictions: Sequence[Prediction], page: str) -> bool | None:
    """Whether the report in a card is of this version and has the tables of these cases; None where it has none."""
    _, found, rest = page.partition(BEGIN)
    if not found:
        return None
    said = rest.partition(END)[0].splitlines()
    tables = [line for one in judged(package, predictions) for line in _table(one)]
    return _heading(package) in said and [line for line in said if line.startswith("|")] == tables


def put_into_card(card: Path, text: str) -> None:
    """Writes the report into the card, in place of an earlier one, else at its end.

    Raises:
        OSError: the card can't be read or written.
    """
    page = card.read_text(encoding="utf-8") if card.is_file() else ""
    before, found, rest = page.partition(BEGIN)
    after = rest.partition(END)[2] if found else "\n"
    card.write_text(f"{before.rstrip()}\n\n{text}\n{after.lstrip()}".rstrip() + "\n", encoding="utf-8")


def _heading(package: Package) -> str:
    return f"## Validation report, version {package.version}"


def _table(one: Judged) -> Iterator[str]:
    shown = _SHOWN[one.way]
    yield f"| stratum | {' | '.join(name.replace('_', ' ') for name in shown)} |"
    yield f"| --- |{' ---: |' * len(shown)}"
    for name, part in [("all", one.cases), *_strata(one.cases)]:
        if len(part) < FEWEST:
            yield f"| {name} | {len(part)} | too few |{' |' * (len(shown) - 2)}"
        else:
            figures = one.figures(part)
            if any(isinstance(figures[key], float) and not math.isnan(figures[key]) for key in shown):
                yield f"| {name} | {' | '.join(_figure(figures[key]) for key in shown)} |"


def _strata(lines: Sequence[Prediction]) -> Iterator[tuple[str, list[Prediction]]]:
    for name in dict.fromkeys(key for line in lines for key in line.strata):
        for value in sorted({line.strata[name] for line in lines if name in line.strata}):
            yield f"{name} {value}", [line for line in lines if line.strata.get(name) == value]


def _figure(value: float) -> str:
    if math.isnan(value):
        return "–"
    return str(value) if isinstance(value, int) else f"{value:.3f}"
