"""`isocenter package use` and `rollback`: what reads is chosen in the book, and what can't be chosen is said."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from shared.cli.main import app
from shared.packages.installed import Installed
from shared.store import Book
from shared.store.circuits import QUARANTINED, Circuit, open_circuits
from shared.versions.choice import reads, standing
from tests.books import new_book
from tests.versioned import NAME, add_version


@pytest.fixture
def page(tmp_path: Path) -> Path:
    for number in (1, 2):
        add_version(tmp_path / "models", number)
    page = tmp_path / "isocenter.toml"
    page.write_text(f'[isocenter]\ndata_dir = "{tmp_path}"\n[triton]\nmodel_repository = "{tmp_path}/models"\n')
    return page


def run(page: Path, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["package", *arguments, "--config", str(page)])
    return result.exit_code, " ".join(result.output.split())


def stands(book: Book, page: Path) -> tuple[str, str, float]:
    with book.read() as session:
        now = standing(session, Installed(page.parent / "models"), NAME)
        return now.version, now.canary, now.share


def test_a_version_is_used_canaried_and_rolled_back(tmp_path: Path, page: Path) -> None:
    with new_book("sqlite", tmp_path) as book:
        code, said = run(page, "use", NAME, "1.0.0", "--canary", "2.0.0", "--share", "0.1", "--reason", "a try")
        assert (code, stands(book, page)) == (0, ("1.0.0", "2.0.0", 0.1))
        assert said == "scale 1.0.0 reads from now on; canary 2.0.0, 10% of the studies; a rollback goes to 2.0.0"
        assert run(page, "rollback", NAME) == (0, "scale 2.0.0 reads from now on")
        assert stands(book, page) == ("2.0.0", "", 0.0)
        code, said = run(page, "rollback", NAME)
        assert (code, "nothing read before version 2.0.0" in said) == (1, True)


def test_a_quarantine_is_lifted_and_the_others_stay(tmp_path: Path, page: Path) -> None:
    with new_book("sqlite", tmp_path) as book:
        assert run(page, "lift", NAME) == (1, f"isocenter: {NAME} is neither quarantined nor left alone")
        with book.write() as session:
            for name in (NAME, "other"):
                session.add(Circuit(package=name, version="1.0.0", nonsense=3, open_until=QUARANTINED, reason="NaN"))
        assert run(page, "lift", NAME, "--reason", "mended") == (0, f"{NAME} 1.0.0: its runs go on")
        with book.read() as session:
            assert [key[0] for key in open_circuits(session)] == ["other"]
            lifted = session.get_one(Circuit, (NAME, "1.0.0")).lifted
        assert lifted.startswith("lifted by cli:")
        assert lifted.endswith(": mended")


def test_the_list_tells_what_part_each_version_has(tmp_path: Path, page: Path) -> None:
    def parts() -> list[str]:
        return [one["part"] for one in json.loads(run(page, "list", "--json")[1])["packages"]]

    assert parts() == ["", ""]
    assert not (tmp_path / "isocenter.db").exists(), "a list makes no database"
    with new_book("sqlite", tmp_path) as book:
        assert parts() == ["", "reads"]
        with book.write() as session:
            installed = Installed(page.parent / "models")
            reads(session, installed, installed[NAME, "2.0.0"])
        add_version(tmp_path / "models", 3)
        assert parts() == ["", "reads", "waiting for `isocenter package use scale 3.0.0`"]
        assert "waiting for `isocenter package use scale 3.0.0`" in run(page, "agreement", NAME)[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [((NAME, "7.0.0"), "version 7.0.0 of scale is not installed"), (("other", "1.0.0"), "there is no package other")],
)
def test_what_is_not_there_is_said(tmp_path: Path, page: Path, arguments: tuple[str, str], said: str) -> None:
    with new_book("sqlite", tmp_path):
        code, found = run(page, "use", *arguments)
    assert code == 1
    assert said in found


def test_how_versions_agree_is_told(tmp_path: Path, page: Path) -> None:
    with new_book("sqlite", tmp_path):
        run(page, "use", NAME, "1.0.0", "--shadow", "2.0.0")
        code, said = run(page, "agreement", NAME, "--since", "1d")
        assert code == 0
        assert "scale 1.0.0 reads (chosen by cli:" in said
        assert "; shadow 2.0.0 installed: 1.0.0, 2.0.0 a rollback goes to 2.0.0" in said
        assert json.loads(run(page, "agreement", NAME, "--json")[1])["shadow"] == "2.0.0"
        assert run(page, "agreement", NAME, "--since", "soon")[0] == 2
