"""`isocenter package use · rollback`: which versions of a package read."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from sqlmodel import Session

from shared.cli.buttons import actor
from shared.cli.opening import ConfigOption, fail, open_config, opened
from shared.cli.package import NameArgument, app, repository
from shared.packages.installed import Installed
from shared.store import PackageChoice
from shared.store.actions import NotPossible

ReasonOption = Annotated[str, typer.Option("--reason", metavar="WHY", help="For the journal, and for each study's.")]


@app.command("use")
def use_version(
    name: NameArgument,
    version: Annotated[str, typer.Argument(metavar="VERSION", help="The version that reads from now on.")],
    canary: Annotated[str, typer.Option(metavar="VERSION", help="One that reads a share of the studies.")] = "",
    share: Annotated[float, typer.Option(help="That share, above 0 and up to 1.")] = 0.0,
    reason: ReasonOption = "",
    config: ConfigOption = None,
) -> None:
    """Choose the version of a package that reads. Nothing is restarted, and studies that are under way go on."""
    from shared.versions.choice import use

    _choose(name, config, lambda session, installed: use(
        session, installed, name, version, canary=canary, share=share, who=actor(), why=reason,
    ))  # fmt: skip


@app.command()
def rollback(name: NameArgument, reason: ReasonOption = "", config: ConfigOption = None) -> None:
    """Go back to the version of a package that read before, without canary; once more, and to the one before that."""
    from shared.versions.choice import roll_back

    _choose(name, config, lambda session, installed: roll_back(session, installed, name, actor(), reason))


def _choose(name: str, config: Path | None, choose: Callable[[Session, Installed], PackageChoice]) -> None:
    page, _ = open_config(config)
    installed = Installed(repository(config), page.packages)
    try:
        with opened(page) as book, book.write() as session:
            row = choose(session, installed)
            beside = f"; canary {row.canary}, {row.share:.0%} of the studies" if row.canary else ""
            back = f"; a rollback goes to {row.before}" if row.before else ""
            said = f"{name} {row.version} reads from now on{beside}{back}"
    except NotPossible as error:
        fail(str(error), 1)
    print(said)
