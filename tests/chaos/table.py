"""One table for people: what was injected, what was counted."""

from collections import Counter
from dataclasses import dataclass

from tests.chaos.counting import Count


@dataclass
class Run:
    """One store's run, as it is shown."""

    seed: int
    store: str
    faults: Counter[str]
    missed: list[str]
    count: Count
    pushes: int
    successes: int
    fault_seconds: float
    recovery_seconds: float | None  # from the last fault or image, whichever was later, until all was settled
    bound_seconds: float
    ended: int = 0  # how often `isocenter up` gave up its start
    kept: str = ""  # the folder with everything


def table(runs: list[Run]) -> str:
    """Rows for each run, in columns."""
    rows = [("", *(f"{run.store}, seed {run.seed}" for run in runs))]
    for kind in sorted({name for run in runs for name in run.faults}):
        rows.append((kind, *(str(run.faults[kind]) for run in runs)))
    rows += [
        ("(found nothing to meet)", *(", ".join(run.missed) or "none" for run in runs)),
        ("faults injected", *(str(run.faults.total()) for run in runs)),
        ("studies", *(str(run.count.studies) for run in runs)),
        ("  of these " + ", ".join(sorted({s for run in runs for s in run.count.states})),
         *(", ".join(str(n) for _, n in sorted(run.count.states.items())) for run in runs)),
        ("instances acknowledged", *(str(run.count.acknowledged) for run in runs)),
        ("lost", *(str(len(run.count.lost)) for run in runs)),
        ("stuck", *(str(len(run.count.stuck)) for run in runs)),
        ("dead", *(str(len(run.count.dead)) for run in runs)),
        ("missing at PACS or RIS", *(str(len(run.count.missing)) for run in runs)),
        ("duplicates or differing", *(str(len(run.count.duplicates)) for run in runs)),
        ("other violations", *(str(len(run.count.other)) for run in runs)),
        ("harmless repeats, PACS / RIS",
         *(f"{run.count.repeats['PACS']} / {run.count.repeats['RIS']}" for run in runs)),
        ("`up` gave up its start", *(str(run.ended) for run in runs)),
        ("seconds of faults", *(f"{run.fault_seconds:.0f}" for run in runs)),
        ("recovery seconds", *(_recovery(run) for run in runs)),
    ]  # fmt: skip
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def _recovery(run: Run) -> str:
    if run.recovery_seconds is None:
        return f"not within {run.bound_seconds:.0f}"
    return f"{run.recovery_seconds:.0f} (of {run.bound_seconds:.0f})"
