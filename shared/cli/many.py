"""`isocenter replay --state …` and `cancel --state …`: shows what it will do, asks, and says what came of it."""

import re
from datetime import datetime, timedelta

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from shared.store import Book, utc_now
from shared.store.many import Button, Filter, Found, Outcome, find, press_each
from shared.store.words import count_in_words

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SHOWN = 20
MOST = 100_000


def moment(text: str) -> datetime:
    """`30m`, `2h`, `1d` ago, or a point in time, in this machine's zone where it names none.

    Raises:
        ValueError: it is neither.
    """
    if match := re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text.strip()):
        return utc_now() - timedelta(**{_UNITS[match[2]]: float(match[1])})
    try:
        return datetime.fromisoformat(text.strip()).astimezone()
    except ValueError:
        raise ValueError(f"{text!r} is no age like 30m, 2h or 1d, and no time like 2026-01-31T12:00") from None


def press_many(
    book: Book, button: Button, wanted: Filter, actor: str, why: str, dry_run: bool, ask: bool,
    console: Console | None = None,
) -> bool:  # fmt: skip
    """Does it; False when something could not be moved. `ask`: a person is there to confirm it."""
    console = console or Console()
    with book.read() as session:
        found = find(session, wanted, MOST)
    if not found:
        console.print("nothing is found: there is nothing to do")
        return True
    console.print(_table(found))
    if len(found) > _SHOWN:
        console.print(f"… and {len(found) - _SHOWN} more")
    if dry_run:
        console.print(f"{count_in_words(len(found), 'move')} would be tried (--dry-run)")
        return True
    if ask and not typer.confirm(f"{button} {len(found)}?"):
        console.print("nothing was done")
        return True
    with console.status(button) as status:
        outcome = press_each(book, button, found, actor, why, lambda n: status.update(f"{button} {n} of {len(found)}"))
    _tell(console, button, outcome)
    return not outcome.not_moved


def _tell(console: Console, button: str, outcome: Outcome) -> None:
    console.print(f"{button}: {len(outcome.moved)} moved, {len(outcome.not_moved)} not moved")
    reasons: dict[str, list[Found]] = {}
    for one, reason in outcome.not_moved:
        reasons.setdefault(reason, []).append(one)
    for reason, those in reasons.items():
        console.print(Text(f"  {len(those)} not moved: {reason}"))
        for one in those[:_SHOWN]:
            console.print(Text(f"    {one.what} {one.id}", "dim"))


def _table(found: list[Found]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for name in ("What", "Id", "State", "Since", "Reason"):
        table.add_column(name, overflow="fold", ratio=1 if name == "Reason" else None)
    for one in found[:_SHOWN]:
        since = one.at.astimezone().strftime("%Y-%m-%d %H:%M")
        table.add_row(Text(one.what), Text(one.id), one.state, since, Text(one.reason))
    return table
