"""What the commands begin with: the configuration, read and checked, the book, and how they say what is wrong."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from sqlalchemy.exc import OperationalError, ProgrammingError

from shared.settings import CONFIG_VARIABLE, Config, Core, load_config

if TYPE_CHECKING:
    from shared.store import Book

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
    problems = problems_of(found, packages=False)
    if problems:
        fail("the configuration is wrong:\n" + "\n".join(f"  {problem}" for problem in problems))
    return load_config(found), found


def problems_of(path: Path | None, packages: bool) -> list[str]:
    """What is wrong with the configuration, line by line."""
    from shared.cli.check import check_file, check_page

    try:
        return check_file(path, packages) if path else check_page("", "environment", packages)
    except OSError as error:
        return [f"{path} can't be read: {error.strerror}"]


@contextmanager
def opened(config: Config) -> Iterator["Book"]:
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
