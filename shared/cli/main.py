"""`isocenter`: starts the system, checks a configuration, tells where studies are."""

import signal
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from shared.cli import package_making, package_validate, package_versions  # noqa: F401  their commands
from shared.cli.buttons import add_buttons
from shared.cli.opening import ConfigOption, JsonOption, config_path, errors, fail, open_config, opened, problems_of
from shared.cli.package import app as package_app
from shared.settings import Core, Triton

app = typer.Typer(
    name="isocenter",
    help="Takes studies from the PACS, checks that they are fit to be read, has them read by models on Triton, and "
    "returns the results to PACS and RIS.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


@app.command()
def demo(
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="Push every DICOM file below DIR instead of phantoms.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="End by itself when every study is settled.")] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Keep what came out: pacs/, ris/, studies.json and logs/."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the whole system at work, with a stand-in PACS and RIS: nothing to install, nothing to configure.

    Ends with 0 when every study is settled as intended (delivered, or held or refused for a stated reason), with 1
    when one failed, with 2 for bad use. Without --once it stays up until Ctrl-C.
    """
    from shared.demo.run import run_demo

    if data is not None and not data.is_dir():
        fail(f"there is no folder {data}: --data takes a folder with DICOM files below it")
    raise typer.Exit(run_demo(data, once, out, as_json))


@app.command("verify-results")
def verify_results(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of results, such as <data>/results.")],
    images: Annotated[
        list[Path] | None,
        typer.Option("--images", metavar="DIR", help="Also look for the images there, such as <data>/store."),
    ] = None,
) -> None:
    """Compute each report's numbers again from outlines and pixels, and hold pictures, pages and messages against it.

    References are checked against the images given, else against what the reports name as evidence. Ends with 1 and
    what differs, run by run, where anything does.
    """
    from shared.cli.verify import verify_results as verify

    for place in (folder, *(images or [])):
        if not place.is_dir():
            fail(f"there is no folder {place}: give a folder of results, and with --images folders of images")
    raise typer.Exit(verify(folder, images or [], Console(soft_wrap=True)))


@app.command()
def up(config: ConfigOption = None) -> None:
    """Run the system against the PACS and RIS that the configuration names, until Ctrl-C or SIGTERM."""
    from shared.logs import start_logging
    from shared.serving.triton_environment import EnvironmentMissing
    from shared.serving.triton_server import TritonNotStarted
    from shared.supervisor import System

    page, path = open_config(config)
    if not (repository := page.section(Triton).model_repository).is_dir():
        fail(f"there is no folder {repository}: say in triton.model_repository where the packages are")
    for problem in problems_of(path, packages=True):
        errors.print(f"isocenter: {problem}", markup=False, highlight=False, soft_wrap=True)
    start_logging("up", page.section(Core).log_level)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    system = System(page, path)
    try:
        try:
            system.start(lambda text: errors.print(f"isocenter: {text}", highlight=False, soft_wrap=True))
        except TritonNotStarted as error:  # no reason to turn studies away
            errors.print(f"isocenter: {error}", markup=False, highlight=False, soft_wrap=True)
            errors.print("isocenter: Triton is started again; studies are taken meanwhile", highlight=False)
        errors.print(f"isocenter: up; models on {system.models_description}; Ctrl-C stops", highlight=False)
        while not stop.wait(1.0):
            system.watch()
    except EnvironmentMissing as error:
        fail(str(error), 1)
    finally:
        system.stop()
    errors.print("isocenter: stopped")


@app.command()
def check(config: ConfigOption = None) -> None:
    """Validate a configuration: what is wrong, on which line, and what to write instead."""
    from shared.cli.check import notes_on

    found = config_path(config)
    problems = problems_of(found, packages=True)
    for problem in problems:
        print(problem)
    if problems:
        raise typer.Exit(1)
    for note in notes_on(found) if found else []:
        print(note)
    print(f"{found or 'no file: the defaults'}: ok")


@app.command()
def studies(
    config: ConfigOption = None,
    as_json: JsonOption = False,
    state: Annotated[str, typer.Option("--state", help="Only studies in this state.")] = "",
) -> None:
    """List the studies and where they are."""
    from shared.cli.studies import show_studies
    from shared.study import StudyState

    if state and state not in list(StudyState):
        fail(f"there is no state {state!r}: it is one of {', '.join(StudyState)}")
    page, _ = open_config(config)
    with opened(page) as book:
        show_studies(book, as_json, state=state)


@app.command()
def study(
    uid: Annotated[str, typer.Argument(metavar="UID", help="Study Instance UID, or accession number.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell all about one study: its gates, runs, deliveries, and what happened to it."""
    from shared.cli.studies import show_study

    page, _ = open_config(config)
    with opened(page) as book:
        if not show_study(book, uid, as_json):
            fail(f"no study {uid}: `isocenter studies` lists those that are there", 1)


@app.command()
def doctor(
    config: ConfigOption = None,
    mend: Annotated[bool, typer.Option("--mend", help="Mend what can be mended safely, also while it runs.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Examine configuration, database, broker, Triton, disk, the store and the work in hand, and say what to do.

    Ends with 0 when nothing is wrong, or all of it was mended; with 1 when something is left; with 2 for bad use.
    """
    import json

    from shared.cli.doctor import find_all, show_findings

    page, path = open_config(config)
    findings = list(find_all(page, path, problems_of(path, packages=True), mend))
    if as_json:
        print(json.dumps({"findings": [finding.model_dump() for finding in findings]}, indent=2))
    else:
        show_findings(findings)
    raise typer.Exit(int(any(not finding.mended for finding in findings)))


@app.command()
def removed(
    config: ConfigOption = None,
    as_json: JsonOption = False,
    days: Annotated[float, typer.Option("--days", min=0, help="Only of the last DAYS days; 0: all.")] = 0,
) -> None:
    """List what retention has removed: when, what, and by which rule."""
    from datetime import timedelta

    from shared.cli.studies import show_removed
    from shared.store import utc_now

    page, _ = open_config(config)
    with opened(page) as book:
        show_removed(book, as_json, utc_now() - timedelta(days=days) if days else None)


add_buttons(app)
app.add_typer(package_app)


def main() -> None:
    """The console script."""
    try:
        app()
    except ValueError as error:
        errors.print(f"isocenter: the configuration can't be read: {error}", markup=False)
        sys.exit(2)
