"""All checks of a package, in the order in which one failing makes the next useless."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from shared.packages.explanations import Arrays, NotExplained, self_test
from shared.packages.folder import Package
from shared.packages.shapes import wrong_shapes
from shared.packages.validation.check import Check, ok, unknown, wrong
from shared.packages.validation.figures import Figures
from shared.packages.validation.folder import check_folder
from shared.packages.validation.golden import Golden, check_golden, golden_path, read_golden, run_graph
from shared.packages.validation.judged import measured
from shared.packages.validation.predictions import Prediction, read_predictions
from shared.packages.validation.report import is_current
from shared.packages.validation.serving import check_serving
from shared.packages.validation.tensors import check_tensors

RECORDED = "validation.csv"
"""Beside the manifest: what the recipe's kept-out cases were, and what the network said."""
AGREEMENT = 0.02
"""How far a figure of [validation] may lie from the same figure of the recorded cases: authors round."""


def validate(
    package: Package, gates: Sequence[str], environment: Path | None = None, requests: int = 15
) -> Iterator[Check]:
    """Each check as it is done; those under Triton start one of their own from `environment`."""
    yield from check_folder(package, gates)
    yield from _recorded(package)
    if not package.weights.is_file():
        return
    tensors = list(check_tensors(package))
    yield from tensors
    if any(check.state == "wrong" for check in tensors):
        return
    golden, said = _golden(package)
    yield from said
    if golden is not None:
        yield from _shapes(package, golden)
        yield from check_golden(golden, lambda: run_graph(package, golden), "in ONNX Runtime")
        yield from _explanation(package, golden)
    yield from check_serving(package, golden, environment, requests)


def may_be_promoted(checks: Sequence[Check]) -> bool:
    """Whether nothing is wrong."""
    return all(check.state != "wrong" for check in checks)


def _golden(package: Package) -> tuple[Golden | None, list[Check]]:
    try:
        golden = read_golden(package)
    except Exception as error:  # NumPy raises many kinds for a file that is none of its own
        return None, [wrong("golden rows", f"{golden_path(package).name}: {error}")]
    if golden is None:
        words = "there is no golden/rows.npz: the recipe writes it; `--write-golden` makes one of what is read now"
        return None, [unknown("golden rows", words)]
    return golden, []


def _shapes(package: Package, golden: Golden) -> Iterator[Check]:
    """Where config.pbtxt leaves a size free, only a row tells whether it fits the output's kind."""
    shapes = {name: rows.shape[1:] for name, rows in golden.outputs.items()}
    yield from (wrong("golden rows", problem) for problem in wrong_shapes(package.manifest, shapes))


def _explanation(package: Package, golden: Golden) -> Iterator[Check]:
    def answer(inputs: Arrays) -> Arrays:
        return run_graph(package, Golden(dict(inputs), golden.outputs))

    try:
        said = self_test(package.manifest, golden.inputs, answer)
    except NotExplained as error:
        yield wrong("explanation", str(error))
        return
    if said:
        yield ok("explanation", f"{package.manifest.explanation.kind}: {said}")


def _recorded(package: Package) -> Iterator[Check]:
    """Whether the figures that manifest and card claim are those of the recorded cases."""
    path = package.folder / RECORDED
    if not path.is_file():
        yield unknown("figures", f"there is no {RECORDED}: the figures of [validation] can't be computed again")
        return
    try:
        predictions = read_predictions(path)
    except (OSError, ValueError) as error:
        yield wrong("figures", str(error))
        return
    yield _claimed(package, measured(package, predictions))
    yield _reported(package, predictions)


def _claimed(package: Package, figures: dict[str, Figures]) -> Check:
    claimed = package.manifest.validation
    alone = next(iter(figures.values()), {}) if len(figures) == 1 else {}
    named = alone | {
        f"{output.replace('.', '_')}_{name}": value for output, of in figures.items() for name, value in of.items()
    }
    known = {name: (claimed[name], named[name]) for name in named if isinstance(claimed.get(name), int | float)}
    off = [f"{name} {said:g}, computed {found:.4g}" for name, (said, found) in known.items() if _differ(said, found)]
    if off:
        return wrong("figures", f"[validation] says {'; '.join(off)}")
    return ok("figures", f"computed again from {RECORDED}: {', '.join(known) or 'none has a name of [validation]'}")


def _reported(package: Package, predictions: Sequence[Prediction]) -> Check:
    card = package.folder / "README.md"
    current = is_current(package, predictions, card.read_text(encoding="utf-8")) if card.is_file() else None
    words = f"`isocenter package validate {package.name} --report` writes it"
    if current is None:
        return unknown("report", f"the card has none: {words}")
    if not current:
        return wrong("report", f"the card's is not of this version and of the cases in {RECORDED}: {words} anew")
    return ok("report", f"the card's tables are those of {RECORDED}")


def _differ(said: float, found: float) -> bool:
    return not abs(said - found) <= AGREEMENT * max(1.0, abs(found))
