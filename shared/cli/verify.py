"""`isocenter verify-results`: says, run by run, what differs in a folder of results."""

from pathlib import Path

from rich.console import Console

from shared.own_results import MANUFACTURER
from shared.verify.checks import check_run
from shared.verify.folder import Run, read_images, read_runs
from shared.verify.outcome import Outcome


def verify_results(folder: Path, images: list[Path], console: Console) -> int:
    """Prints a line for each run and one for each difference.

    Returns:
        1 where anything differs, or where there are no results; else 0.
    """
    known = read_images([folder, *images])
    has_images = any(ds.get("Manufacturer") != MANUFACTURER for ds in known.values())
    runs = differing = 0
    for run in read_runs(folder):
        outcome = check_run(run, known if has_images else None)
        _print(run, outcome, folder, console)
        runs, differing = runs + 1, differing + bool(outcome.differs)
    if not runs:
        console.print(f"no results of Isocenter's are below {folder}", markup=False, highlight=False)
        return 1
    said = f"{runs - differing} of {runs} runs agree" + (
        "" if has_images else "; no images: references were held against the reports' evidence"
    )
    console.print(said, markup=False, highlight=False)
    return 1 if differing else 0


def _print(run: Run, outcome: Outcome, folder: Path, console: Console) -> None:
    objects = len(run.documents) + len(run.messages)
    seen = f"{outcome.recomputed} recomputed, {outcome.compared} compared, {outcome.referenced} references"
    word = "DIFFERS" if outcome.differs else "ok     "
    console.print(
        f"{word} {run.folder.relative_to(folder)}: {objects} objects, {seen}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    for difference in outcome.differs:
        console.print(f"        {difference}", markup=False, highlight=False, soft_wrap=True)
