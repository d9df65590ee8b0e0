"""Studies on a terminal: the table, one study, the JSON that the API gives, and the buttons."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from rich.console import Console

from services.status.api import Surroundings, make_api
from services.status.settings import Settings
from services.status.watch import Watch
from shared.bus import celery_app
from shared.checks import Checks
from shared.cli.studies import press, show_studies, show_study
from shared.packages.installed import Installed
from shared.settings import Core
from shared.store import Book
from tests.books import Maker, fill, new_book


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    with new_book("sqlite", tmp_path) as made:
        fill(made, tmp_path)
        yield made


@pytest.fixture
def screen() -> Console:
    return Console(file=io.StringIO(), width=120)


def shown(screen: Console) -> str:
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


def test_the_table_has_every_study_with_its_reason(book: Book, screen: Console) -> None:
    show_studies(book, as_json=False, console=screen)
    lines = shown(screen).splitlines()
    held = next(line for line in lines if line.startswith("MR-24809"))
    assert "MR 24" in held
    assert "●●‖–●●" in held
    assert " held " in held
    assert "Held by a gate: motion" in held
    assert sum(line.startswith(("MR-", "CT-", "DX-", "US-")) for line in lines) == 15
    assert max(map(len, lines)) <= 120


def test_a_narrow_terminal_wraps_and_loses_nothing(book: Book) -> None:
    screen = Console(file=io.StringIO(), width=72)
    show_studies(book, as_json=False, state="refused", console=screen)
    words = " ".join(shown(screen).split())
    assert "motion_ssim: reads MR," in words
    assert max(map(len, shown(screen).splitlines())) <= 72


def test_only_one_state(book: Book, screen: Console) -> None:
    show_studies(book, as_json=False, state="dead", console=screen)
    assert "DX-87991" in shown(screen)
    assert "MR-24809" not in shown(screen)


def test_an_empty_book_says_so(tmp_path: Path, screen: Console) -> None:
    with new_book("sqlite", tmp_path) as empty:
        show_studies(empty, as_json=False, console=screen)
    assert shown(screen).strip() == "no studies yet"


def test_the_json_is_the_apis(book: Book, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    core = Core(data_dir=tmp_path)
    app = celery_app(core.broker_url, core.data_dir)
    surroundings = Surroundings(
        book, core, Settings(), Checks(book, app, core, "", 0), Watch(book, 1, 10), Installed(core.data_dir)
    )
    client = TestClient(make_api(surroundings), base_url="http://127.0.0.1")
    show_studies(book, as_json=True)
    assert json.loads(capsys.readouterr().out) == client.get("/studies").json()
    assert show_study(book, "MR-24809", as_json=True)
    assert json.loads(capsys.readouterr().out) == client.get("/studies/MR-24809").json()


def test_one_study_tells_all(book: Book, screen: Console) -> None:
    assert show_study(book, "DX-88121", as_json=False, console=screen)
    text = shown(screen)
    for part in (
        "DX-88121", "Gates", "✓ pass", "Runs", "chest_opacity 1.0.0", "Pulmonary opacity: present, probability 0.93",
        "Deliveries", "retrying", "0xA700", "Journal", "chosen → gating", "1 image in 1 series from MODALITY",
    ):  # fmt: skip
        assert part in text, part


def test_text_from_outside_is_no_markup(book: Book, screen: Console) -> None:
    with book.write() as session:
        study = Maker(session).study("odd", accession="[red]A[/nope]")
        study.reason = "[/]"
    assert show_study(book, "[red]A[/nope]", as_json=False, console=screen)
    show_studies(book, as_json=False, console=screen)
    assert shown(screen).count("[red]A[/nope]") == 2


def test_an_unknown_study(book: Book, screen: Console) -> None:
    assert not show_study(book, "nobody", as_json=False, console=screen)


def test_an_accession_number_of_several_studies_names_their_uids(
    book: Book, capsys: pytest.CaptureFixture[str]
) -> None:
    with book.write() as session:
        uids = [Maker(session).study(n, accession="TWICE", order=False).study_instance_uid for n in ("a", "b")]
    assert not show_study(book, "TWICE", as_json=False)
    assert all(uid in capsys.readouterr().err.replace("\n", "") for uid in uids[:1])


def test_buttons(book: Book, screen: Console) -> None:
    assert press(book, "complete", "MR-24817", "cli:ann") == ""
    assert press(book, "complete", "MR-24817", "cli:ann") == "the study is complete already: it is waiting"
    assert press(book, "replay", "DX-87991", "cli:ann") == ""
    assert press(book, "cancel", "CT-10442", "cli:ann", why="phantom") == ""
    assert press(book, "release", "DX-88020", "cli:ann", who="Dr Ann", why="enough") == ""
    assert "no study" in press(book, "replay", "nobody", "cli:ann")
    show_study(book, "DX-88020", as_json=False, console=screen)
    assert "released by Dr Ann: enough" in " ".join(shown(screen).split())
