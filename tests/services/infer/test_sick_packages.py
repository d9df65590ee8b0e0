"""A package that is ill beside one that is well, on a real Triton: the other goes on, and nothing is lost."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import select
from typer.testing import CliRunner

from shared.cli.main import app
from shared.packages.folder import Package, load_package
from shared.store import Book, Circuit, Study, open_book
from shared.store.views import study_view
from tests import sick
from tests.inferring import Infer, until

pytestmark = pytest.mark.triton


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    book = open_book(f"sqlite:///{tmp_path}/isocenter.db")
    book.migrate()
    yield book
    book.close()


@pytest.fixture
def ill(tmp_path: Path) -> Package:
    """One of two packages, the other of which is well."""
    return sick.write_packages(tmp_path / "models", ["ill", "well"])[0]


@pytest.fixture
def infer(
    book: Book, ill: Package, tmp_path: Path, triton_environment: Path, request: pytest.FixtureRequest
) -> Iterator[Infer]:
    infer = Infer(book, tmp_path, triton_environment, **getattr(request, "param", {}))
    yield infer
    infer.close()


def circuit(book: Book) -> Circuit:
    with book.read() as session:
        return session.get(Circuit, ("ill", "0.1.0")) or Circuit(package="ill", version="0.1.0")


def why_they_wait(book: Book) -> set[str]:
    """What the page says of the runs that nothing is tried of."""
    with book.read() as session:
        views = [study_view(session, study) for study in session.exec(select(Study))]
    return {run.waits for view in views for run in view.runs if run.waits}


def lift(folder: Path) -> tuple[int, str]:
    (folder / "isocenter.toml").write_text(
        f'[isocenter]\ndata_dir = "{folder}"\n[triton]\nmodel_repository = "{folder}/models"\n'
    )
    result = CliRunner().invoke(app, ["package", "lift", "ill", "--config", str(folder / "isocenter.toml")])
    return result.exit_code, result.output.strip()


def test_one_that_hangs_is_left_alone_and_goes_on_when_it_answers(infer: Infer, ill: Package, book: Book) -> None:
    sick.make(ill, sick.HANGS)
    infer.add("ill", 6)
    infer.add("well", 6)
    until(lambda: infer.states("well")["read"] == 6)
    assert circuit(book).failures >= 2
    assert "DEADLINE_EXCEEDED" in circuit(book).reason
    assert infer.asked["ill"] < 6, "not each of its runs has burned a time-out"
    assert infer.states("ill") == {"ready": 6}
    sick.make(ill, sick.WELL)
    until(lambda: infer.states("ill")["read"] == 6)


@pytest.mark.parametrize(
    ("mood", "reason"), [(sick.NAN, "holds values that are not finite numbers"), (sick.SHAPE, "has shape [2]")]
)
def test_one_that_answers_nonsense_is_quarantined_until_it_is_lifted(
    infer: Infer, ill: Package, book: Book, tmp_path: Path, mood: str, reason: str
) -> None:
    sick.make(ill, mood)
    infer.add("ill", 6)
    infer.add("well", 6)
    until(lambda: infer.states("well")["read"] == 6)
    until(lambda: circuit(book).is_quarantined)
    assert infer.states("ill") == {"failing": 3, "ready": 3}
    assert reason in circuit(book).reason
    assert [words for words in why_they_wait(book) if words.startswith("ill 0.1.0 is quarantined")]
    sick.make(ill, sick.WELL)
    infer.add("well", 2)
    until(lambda: infer.states("well")["read"] == 8)
    assert infer.states("ill") == {"failing": 3, "ready": 3}, "it is well again, and nobody has said so"
    assert lift(tmp_path) == (0, "ill 0.1.0: its runs go on")
    until(lambda: infer.states("ill") == {"failing": 3, "read": 3})


@pytest.mark.parametrize(
    "infer", [{"timeout_s": 3.0}], indirect=True
)  # Triton takes a second to see that its process is gone
def test_one_whose_process_dies_is_left_alone_and_triton_starts_it_anew(
    infer: Infer, ill: Package, book: Book, tmp_path: Path
) -> None:
    sick.make(ill, sick.DIES)
    infer.add("ill", 6)
    infer.add("well", 6)
    until(lambda: infer.states("well")["read"] == 6)
    until(lambda: circuit(book).open_until)
    assert infer.states("ill") == {"ready": 6}
    assert why_they_wait(book)
    assert infer.server.running
    sick.make(ill, sick.WELL)
    assert lift(tmp_path) == (0, "ill 0.1.0: its runs go on")
    until(lambda: infer.states("ill")["read"] == 6)


@pytest.mark.parametrize("infer", [{"timeout_s": 3.0, "hands": 3}], indirect=True)
def test_one_that_takes_triton_along_is_found_out_and_the_others_go_on(
    infer: Infer, ill: Package, book: Book, tmp_path: Path
) -> None:
    sick.make(ill, sick.KILLS)
    sick.make(
        load_package(ill.folder.with_name("well")), sick.HANGS
    )  # less than its time: it is in hand when Triton dies
    for package in ("ill", "well") * 6:
        infer.add(package, 1)

    def found_out() -> bool:
        infer.start_triton_again()
        return circuit(book).is_quarantined and infer.states("well")["read"] == 6

    until(found_out, 120)
    assert circuit(book).reason == "Triton died twice while only ill was being asked"
    assert infer.deaths == 3, "once among others, twice alone"
    assert infer.states("ill") == {"ready": 6}, "none of its runs is lost"
    assert any("ill 0.1.0 is quarantined, since Triton died twice" in words for words in why_they_wait(book))
    with book.read() as session:
        assert session.get_one(Circuit, ("well", "0.1.0")).deaths == 0, (
            "suspect too, it answered when it was tried alone"
        )
    sick.make(ill, sick.WELL)
    assert lift(tmp_path) == (0, "ill 0.1.0: its runs go on")
    until(lambda: infer.states("ill")["read"] == 6)
    assert infer.deaths == 3
