"""`replay --state` and `cancel --state` on the command line."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from shared.cli.main import app
from shared.cli.many import moment
from shared.store import Delivery, open_book, utc_now
from shared.store.moves import move, settle
from shared.study import DeliveryEvent
from tests.books import Maker, sending

PAGE = """
[isocenter]
data_dir = "{folder}/data"
[[destinations]]
name = "PACS"
kind = "dicom"
host = "pacs"
port = 104
ae_title = "PACS"
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A configuration whose book has one delivery that is dead."""
    book = open_book(f"sqlite:///{tmp_path}/data/isocenter.db")
    book.migrate()
    with book.write() as session:
        make = Maker(session)
        _, _, deliveries = sending(make, "s")
        make.accept(deliveries["ORU"], deliveries["SC"])
        move(session, deliveries["SR"], DeliveryEvent.GAVE_UP, "PACS was away")
        settle(session, deliveries["SR"].study_instance_uid)
    book.close()
    path = tmp_path / "isocenter.toml"
    path.write_text(PAGE.format(folder=tmp_path))
    return path


def run(page: Path, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, [*arguments, "--config", str(page)])
    return result.exit_code, " ".join(result.output.split())


def states(page: Path) -> list[str]:
    book = open_book(f"sqlite:///{page.parent}/data/isocenter.db")
    with book.read() as session:
        found = sorted(session.scalars(Delivery.__table__.select().with_only_columns(Delivery.__table__.c.state)))
    book.close()
    return found


def test_it_shows_then_does_and_counts(page: Path) -> None:
    code, said = run(page, "replay", "--state", "dead", "--since", "2h", "--destination", "PACS", "--dry-run")
    assert (code, states(page)) == (0, ["dead", "delivered", "delivered"])
    assert "SR to PACS" in said
    assert "1 move would be tried" in said
    code, said = run(page, "replay", "--state", "dead", "--since", "2h", "--destination", "PACS", "--yes")
    assert (code, states(page)) == (0, ["delivered", "delivered", "waiting"])
    assert "replay: 1 moved, 0 not moved" in said
    code, said = run(page, "replay", "--state", "dead")
    assert (code, said) == (0, "nothing is found: there is nothing to do")


def test_a_person_is_asked_first(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.cli.buttons.has_a_person", lambda: True)
    command = ["replay", "--state", "dead", "--config", str(page)]
    result = CliRunner().invoke(app, command, input="n\n")
    assert "nothing was done" in result.output
    assert states(page) == ["dead", "delivered", "delivered"]
    CliRunner().invoke(app, command, input="y\n")
    assert states(page) == ["delivered", "delivered", "waiting"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["replay"], "give either an ID, or --state"),
        (["replay", "1.2.3", "--state", "dead"], "give either an ID, or --state"),
        (["cancel", "--since", "2h"], "give either an ID, or --state"),
        (["replay", "--state", "deaf"], "no study is ever 'deaf'"),
        (["replay", "--state", "dead", "--destination", "PAX"], "it is one of PACS"),
        (["replay", "--state", "dead", "--since", "soon"], "no age like 30m, 2h or 1d"),
    ],
)
def test_a_mistake_is_said_and_nothing_is_done(page: Path, arguments: list[str], words: str) -> None:
    code, said = run(page, *arguments)
    assert code == 2
    assert words in said
    assert "dead" in states(page)


def test_ages_and_times() -> None:
    for text, age in (("30m", 30 * 60), ("2h", 7200), ("1.5d", 129600), ("1w", 604800), ("45s", 45)):
        assert abs((utc_now() - moment(text)).total_seconds() - age) < 5
    assert moment("2026-01-31T12:00:00+02:00") == datetime(2026, 1, 31, 10, tzinfo=UTC)
    assert moment("2026-01-31").utcoffset() is not None
    assert utc_now() - moment("0s") < timedelta(seconds=5)
