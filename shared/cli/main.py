"""`isocenter`: starts the system, checks a configuration, tells where studies are."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from sqlalchemy.exc import OperationalError, ProgrammingError

from shared.settings import CONFIG_VARIABLE, Config, Core, Triton, load_config

if TYPE_CHECKING:
    from shared.store import Book

app = typer.Typer(
    name="isocenter",
    help="Takes studies from the PACS, checks that they are fit to be read, has them read by models on Triton, and "
    "returns the results to PACS and RIS.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
errors = Console(stderr=True)

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Configuration; default: $ISOCENTER_CONFIG, else ./isocenter.toml."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON to standard output instead of a table.")]


def fail(message: str, code: int = 2) -> NoReturn:
    """Says what is wrong and ends: 1 the work failed, 2 it was asked for wrongly."""
    errors.print(f"[bold red]isocenter:[/] {escape(message)}", highlight=False, soft_wrap=True)
    raise typer.Exit(code)


def config_path(path: Path | None) -> Path | None:
    """The configuration that counts: the option's, else the environment's, else the one here, else none."""
    named = path or (Path(os.environ[CONFIG_VARIABLE]) if CONFIG_VARIABLE in os.environ else None)
    if named and not named.is_file():
        fail(f"there is no configuration {named}: give the path of an isocenter.toml")
    here = Path("isocenter.toml")
    return named or (here if here.is_file() else None)


def open_config(path: Path | None) -> tuple[Config, Path | None]:
    """Reads and checks the configuration; ends with what is wrong, line by line.

    Not the packages: a broken one is left out by the services, and keeps nobody from starting or looking."""
    found = config_path(path)
    problems = _problems(found, packages=False)
    if problems:
        fail("the configuration is wrong:\n" + "\n".join(f"  {problem}" for problem in problems))
    return load_config(found), found


def _problems(path: Path | None, packages: bool) -> list[str]:
    from shared.cli.check import check_file, check_page

    try:
        return check_file(path, packages) if path else check_page("", "environment", packages)
    except OSError as error:
        return [f"{path} can't be read: {error.strerror}"]


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
    for problem in _problems(path, packages=True):
        errors.print(f"isocenter: {problem}", markup=False, highlight=False, soft_wrap=True)
    start_logging("up", page.section(Core).log_level)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    system = System(page, path)
    try:
        system.start(lambda text: errors.print(f"isocenter: {text}", highlight=False))
        errors.print(f"isocenter: up; models on {system.models_description}; Ctrl-C stops", highlight=False)
        while not stop.wait(1.0):
            system.watch()
    except (EnvironmentMissing, TritonNotStarted) as error:
        fail(str(error), 1)
    except OperationalError:
        fail("the database does not answer: is it up, and is isocenter.database_url right?", 1)
    finally:
        system.stop()
    errors.print("isocenter: stopped")


@app.command()
def check(config: ConfigOption = None) -> None:
    """Validate a configuration: what is wrong, on which line, and what to write instead."""
    from shared.cli.check import notes_on

    found = config_path(config)
    problems = _problems(found, packages=True)
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
    with _opened(page) as book:
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
    with _opened(page) as book:
        if not show_study(book, uid, as_json):
            fail(f"no study {uid}: `isocenter studies` lists those that are there", 1)


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
    with _opened(page) as book:
        show_removed(book, as_json, utc_now() - timedelta(days=days) if days else None)


NameArgument = Annotated[str, typer.Argument(metavar="UID", help="Study Instance UID, or accession number.")]


@app.command()
def complete(uid: NameArgument, config: ConfigOption = None) -> None:
    """Call a study complete at once, instead of waiting for its quiet time."""
    _press("complete", uid, config)


@app.command()
def replay(
    uid: Annotated[
        str, typer.Argument(metavar="ID", help="Study Instance UID or accession number; or a run's or delivery's id.")
    ],
    config: ConfigOption = None,
) -> None:
    """Send a settled study, a run or a delivery round again, from what is kept."""
    _press("replay", uid, config)


@app.command()
def cancel(
    uid: NameArgument, config: ConfigOption = None, why: Annotated[str, typer.Option(help="For the journal.")] = ""
) -> None:
    """Stop a study with its runs and deliveries."""
    _press("cancel", uid, config, why=why)


@app.command()
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
    with _opened(page) as book:
        message = press(book, button, uid, f"cli:{os.environ.get('USER', 'unknown')}", who, why)
    if message:
        fail(message, 1)
    print(f"{button}: done; `isocenter study {uid}` follows it")


@contextmanager
def _opened(config: Config) -> Iterator["Book"]:
    """The book, closed at the end; a database that is away or empty is told in a sentence."""
    from shared.store import open_book

    book = open_book(config.section(Core).database_url)
    try:
        yield book
    except (OperationalError, ProgrammingError) as error:
        if isinstance(error, ProgrammingError) or "no such table" in str(error):
            fail("the database is empty: has the system run with this configuration? `isocenter up` starts it", 1)
        fail("the database does not answer: is it up, and is isocenter.database_url right?", 1)
    finally:
        book.close()


def main() -> None:
    """The console script."""
    try:
        app()
    except ValueError as error:
        errors.print(f"isocenter: the configuration can't be read: {error}", markup=False)
        sys.exit(2)
