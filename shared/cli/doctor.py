"""`isocenter doctor`: examines what Isocenter stands on and what it keeps, and says what to do."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.text import Text
from sqlalchemy.exc import SQLAlchemyError

from shared.bus import celery_app
from shared.checks import Check, Checks, schema
from shared.keeping.examination import examine
from shared.keeping.findings import Finding
from shared.settings import CONFIG_VARIABLE, Config, Core, Triton
from shared.store import Book, open_book

_LEAST_FREE_GIB = 2.0
_DO = {
    "database": "start it, or mend isocenter.database_url",
    "broker": "start it, or mend isocenter.broker_url; work goes on meanwhile, more slowly",
    "triton": "start it, or mend triton.url; studies wait meanwhile",
    "disk": "make room: retention.rules say what may go; below collect.least_free_bytes images are refused",
    "schema": "start the services (`isocenter up`): they bring it there",
}


def find_all(config: Config, path: Path | None, problems: list[str], mend: bool) -> Iterator[Finding]:
    """Everything that is not as it should be; `problems` are those of the configuration.

    What needs the database is left out while it is away or has another schema.
    """
    if problems:
        yield Finding(
            kind="configuration", count=len(problems), words="the configuration or a package is wrong",
            do="`isocenter check` says each", examples=problems,
        )  # fmt: skip
    core = config.section(Core)
    book = open_book(core.database_url)
    try:
        checks = _checks(config, core, book)
        yield from (_finding(name, check) for name, check in checks.items() if not check.ok)
        if checks["database"].ok and checks["schema"].ok:
            yield from examine(book, core, mend)
            yield from _examine_store(path, mend)
    finally:
        book.close()


def _checks(config: Config, core: Core, book: Book) -> dict[str, Check]:
    app = celery_app(core.broker_url, core.data_dir, core.broker_prefix)
    checks = Checks(book, app, core, config.section(Triton).url, _LEAST_FREE_GIB)
    try:
        found = checks.run()
    finally:
        checks.close()
    try:
        found["schema"] = schema(book) if found["database"].ok else Check(ok=True)
    except SQLAlchemyError as error:
        found["schema"] = Check(ok=False, detail=type(error).__name__)
    return found


def _finding(name: str, check: Check) -> Finding:
    return Finding(kind=name, count=1, words=f"{name}: {check.detail}", do=_DO[name])


def _examine_store(path: Path | None, mend: bool) -> Iterator[Finding]:
    """By collect, whose store it is, in a process of its own; its log goes to standard error."""
    environment = dict(os.environ) | ({CONFIG_VARIABLE: str(path.absolute())} if path else {})
    command = [sys.executable, "-m", "services.collect.doctor", *(["--mend"] if mend else [])]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    yield from (Finding.model_validate_json(line) for line in done.stdout.splitlines() if line.startswith("{"))
    if done.returncode:
        yield Finding(
            kind="store", count=1, words="the store could not be examined",
            do="the lines above say why; is the data folder there, and may this user read it?",
        )  # fmt: skip


def show_findings(findings: list[Finding], console: Console | None = None) -> None:
    """One paragraph a finding."""
    console = console or Console(highlight=False, soft_wrap=True)
    for finding in findings:
        sign, style = ("✓ mended:", "blue") if finding.mended else ("!", "bold red")
        console.print(Text.assemble((f"{sign} ", style), finding.words))
        if finding.do and not finding.mended:
            console.print(Text(f"    {finding.do}", "dim"))
        for example in finding.examples:
            console.print(Text(f"    {example}", "dim"))
    left = sum(not finding.mended for finding in findings)
    console.print("nothing is wrong" if not findings else f"found {len(findings)}, mended {len(findings) - left}")
