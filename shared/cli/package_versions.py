"""`isocenter package use · rollback · agreement`: which versions of a package read, and how they agree."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

from shared.cli.buttons import actor
from shared.cli.opening import ConfigOption, JsonOption, fail, open_config, opened
from shared.cli.package import NameArgument, app, repository, versions_of
from shared.packages.installed import Installed
from shared.settings import Core
from shared.store import PackageChoice, open_book
from shared.store.actions import NotPossible

ReasonOption = Annotated[str, typer.Option("--reason", metavar="WHY", help="For the journal, and for each study's.")]


@app.command("use")
def use_version(
    name: NameArgument,
    version: Annotated[str, typer.Argument(metavar="VERSION", help="The version that reads from now on.")],
    canary: Annotated[str, typer.Option(metavar="VERSION", help="One that reads a share of the studies.")] = "",
    share: Annotated[float, typer.Option(help="That share, above 0 and up to 1.")] = 0.0,
    shadow: Annotated[str, typer.Option(metavar="VERSION", help="One that reads beside; only to be compared.")] = "",
    reason: ReasonOption = "",
    config: ConfigOption = None,
) -> None:
    """Choose the version of a package that reads. Nothing is restarted, and studies that are under way go on."""
    from shared.versions.choice import use

    _choose(name, config, lambda session, installed: use(
        session, installed, name, version, canary=canary, share=share, shadow=shadow, who=actor(), why=reason,
    ))  # fmt: skip


@app.command()
def rollback(name: NameArgument, reason: ReasonOption = "", config: ConfigOption = None) -> None:
    """Go back to the version of a package that read before, without canary; once more, and to the one before that."""
    from shared.versions.choice import roll_back

    _choose(name, config, lambda session, installed: roll_back(session, installed, name, actor(), reason))


@app.command()
def lift(name: NameArgument, reason: ReasonOption = "", config: ConfigOption = None) -> None:
    """Let a package read again that is quarantined or left alone: its model answered nonsense, or not at all."""
    from shared.store.circuits import lift as close

    page, _ = open_config(config)
    with opened(page) as book, book.write() as session:
        versions = close(session, name, actor(), reason)
    if not versions:
        fail(f"{name} is neither quarantined nor left alone", 1)
    print(f"{name} {', '.join(versions)}: its runs go on")


def parts(config: Path | None) -> dict[tuple[str, str], str]:
    """What part each version has; nothing where the system has not run yet, or its database does not answer."""
    from shared.versions.overview import versions_view

    page, _ = open_config(config)
    installed = Installed(repository(config), page.packages)
    url = page.section(Core).database_url
    if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).exists():
        return {}  # a list makes no database
    book = open_book(url)
    try:
        with book.read() as session:
            return {
                (name, view.version): view.part
                for name in installed.names() for view in versions_view(session, installed, name)
            }  # fmt: skip
    except DBAPIError:
        return {}
    finally:
        book.close()


def _choose(name: str, config: Path | None, choose: Callable[[Session, Installed], PackageChoice]) -> None:
    page, _ = open_config(config)
    installed = Installed(repository(config), page.packages)
    try:
        with opened(page) as book, book.write() as session:
            row = choose(session, installed)
            beside = f"; canary {row.canary}, {row.share:.0%} of the studies" if row.canary else ""
            beside += f"; shadow {row.shadow}" if row.shadow else ""
            back = f"; a rollback goes to {row.before}" if row.before else ""
            said = f"{name} {row.version} reads from now on{beside}{back}"
    except NotPossible as error:
        fail(str(error), 1)
    print(said)


@app.command("agreement")
def show_agreement(
    name: NameArgument,
    since: Annotated[str, typer.Option(help="30m, 2h, 1d ago, or a time; default: the newest choice.")] = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell how the versions of a package stand, and how shadow and canary agree with the one that reads.

    Of a shadow, pair by pair: share of the same class, Cohen's kappa, mean difference and limits of agreement (Bland
    and Altman). Of a canary: how often its runs are held or dead, and how what it says spreads, beside the other's.
    """
    from shared.cli.many import moment
    from shared.cli.package_agreement import agreement_page
    from shared.versions.agreement import agreement

    versions_of(config, name)
    page, _ = open_config(config)
    try:
        begin = moment(since) if since else None
    except ValueError as error:
        fail(f"--since: {error}")
    with opened(page) as book, book.read() as session:
        found = agreement(session, Installed(repository(config), page.packages), name, begin)
    if as_json:
        print(found.model_dump_json(indent=2))
    else:
        Console(soft_wrap=True, highlight=False).print(agreement_page(found))
