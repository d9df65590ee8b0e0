"""The buttons on the command line: complete, replay, cancel, release."""

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from shared.cli.opening import ConfigOption, fail, open_config, opened

NameArgument = Annotated[str, typer.Argument(metavar="UID", help="Study Instance UID, or accession number.")]


def complete(uid: NameArgument, config: ConfigOption = None) -> None:
    """Call a study complete at once, instead of waiting for its quiet time."""
    _press("complete", uid, config)


StateOption = Annotated[str, typer.Option("--state", help="Instead of an ID: every study in this state.")]
SinceOption = Annotated[
    str, typer.Option("--since", help="Only what came to its state since: 30m, 2h, 1d ago, or a time.")
]
DestinationOption = Annotated[
    str, typer.Option("--destination", help="Deliveries to this destination in that state, instead of studies.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
AnyIdArgument = Annotated[
    str, typer.Argument(metavar="ID", help="Study Instance UID or accession number; or a run's or delivery's id.")
]


def replay(
    uid: AnyIdArgument = "", state: StateOption = "", since: SinceOption = "", destination: DestinationOption = "",
    dry_run: DryRunOption = False, yes: YesOption = False, config: ConfigOption = None,
) -> None:  # fmt: skip
    """Send a settled study, a run or a delivery round again, from what is kept; or many, by --state.

    Of studies with --state dead, what died is replayed: their deliveries, else their runs, else all of them.
    """
    if uid and not (state or since or destination):
        _press("replay", uid, config)
    else:
        _press_many("replay", uid, state, since, destination, dry_run, yes, config)


def cancel(
    uid: AnyIdArgument = "", why: Annotated[str, typer.Option(help="For the journal.")] = "", state: StateOption = "",
    since: SinceOption = "", destination: DestinationOption = "", dry_run: DryRunOption = False,
    yes: YesOption = False, config: ConfigOption = None,
) -> None:  # fmt: skip
    """Stop a study with its runs and deliveries, or one delivery; or many, by --state."""
    if uid and not (state or since or destination):
        _press("cancel", uid, config, why=why)
    else:
        _press_many("cancel", uid, state, since, destination, dry_run, yes, config, why)


def release(
    uid: NameArgument,
    who: Annotated[str, typer.Option(help="Who lets it through.")],
    why: Annotated[str, typer.Option(help="Why it may be read all the same.")],
    config: ConfigOption = None,
) -> None:
    """Let a study through that a gate holds; who and why stand in its journal and its results."""
    _press("release", uid, config, who=who, why=why)


def _press(button: str, uid: str, config: Path | None, who: str = "", why: str = "") -> None:
    from shared.cli.studies import press

    page, _ = open_config(config)
    with opened(page) as book:
        message = press(book, button, uid, actor(), who, why)
    if message:
        fail(message, 1)
    print(f"{button}: done; `isocenter study {uid}` follows it")


def _press_many(
    button: Literal["replay", "cancel"], uid: str, state: str, since: str, destination: str, dry_run: bool, yes: bool,
    config: Path | None, why: str = "",
) -> None:  # fmt: skip
    from shared.cli.many import moment, press_many
    from shared.store.many import Filter

    if uid or not state:
        fail(f"give either an ID, or --state with what else narrows it down: isocenter {button} --help")
    page, _ = open_config(config)
    try:
        wanted = Filter(state, moment(since) if since else None, destination)
    except ValueError as error:
        fail(f"--since: {error}")
    if problem := wanted.problem([d.name for d in page.destinations]):
        fail(problem)
    ask = not yes and has_a_person()
    with opened(page) as book:
        well = press_many(book, button, wanted, actor(), why, dry_run, ask)
    if not well:
        raise typer.Exit(1)


def has_a_person() -> bool:
    """Whether somebody can answer a question; a script is not asked."""
    return sys.stdin.isatty()


def actor() -> str:
    """Who presses, for the journal."""
    return f"cli:{os.environ.get('USER', 'unknown')}"


def add_buttons(app: typer.Typer) -> None:
    """Adds them to the command."""
    for button in (complete, replay, cancel, release):
        app.command()(button)
