"""Writes docs/states.md from the tables of transitions: `python -m shared.cli.diagram > docs/states.md`."""

from shared.study import BELLS, TRANSITIONS, CommitmentState, DeliveryState, RunState, ShadowState, State, StudyState

MACHINES: tuple[tuple[str, type[State]], ...] = (
    ("A study: what the PACS sent", StudyState),
    ("A run: one package, one version, on one study", RunState),
    ("A delivery: one result object to one destination", DeliveryState),
    ("A commitment: a sender asks whether its images are kept", CommitmentState),
    ("A shadow: a version reads beside a run, to be compared", ShadowState),
)
INTRODUCTION = """\
# Where a study can be

Written by `python -m shared.cli.diagram` from the tables in `shared/study.py`; a test holds the two together. Absent
arrows are impossible moves: they raise. The stage in brackets is rung when a row enters the state.
"""


def diagram() -> str:
    """The page: one Mermaid state diagram a table."""
    return "\n".join([INTRODUCTION, *(_machine(title, states) for title, states in MACHINES)])


def _machine(title: str, states: type[State]) -> str:
    lines = [f"## {title}", "", "```mermaid", "stateDiagram-v2"]
    lines.append(f"    [*] --> {next(iter(states))}")
    lines += [f"    {state} : {state} [{BELLS[state]}]" for state in states if state in BELLS]
    lines += [
        f"    {source} --> {target} : {', '.join(events)}" for (source, target), events in _arrows(states).items()
    ]
    return "\n".join([*lines, "```", ""])


def _arrows(states: type[State]) -> dict[tuple[State, State], list[str]]:
    """Events by where they lead from and to, in the table's order."""
    arrows: dict[tuple[State, State], list[str]] = {}
    for (source, event), target in TRANSITIONS.items():
        if type(source) is states:
            arrows.setdefault((source, target), []).append(event)
    return arrows


if __name__ == "__main__":
    print(diagram(), end="")
