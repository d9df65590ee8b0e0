"""Which version reads a study: the first that did, what a person chose, or what the configuration pins; and back."""

import shutil
from pathlib import Path

import pytest

from shared.packages.installed import Installed
from shared.packages.settings import PackageSettings
from shared.store import Book, Run, Study
from shared.store.actions import NotPossible
from shared.versions.choice import packages_for, reads, roll_back, standing, use, waiting_versions, wanted_versions
from shared.versions.overview import versions_view
from tests.versioned import NAME, add_version, weights

UIDS = [f"1.2.{n}" for n in range(2000)]


@pytest.fixture
def installed(tmp_path: Path) -> Installed:
    for number in (1, 2, 3):
        add_version(tmp_path / "models", number)
    return Installed(tmp_path / "models")


def read_by(book: Book, installed: Installed, uid: str = "1.2") -> tuple[str, str]:
    with book.read() as session:
        ((package, why, _),) = packages_for(session, installed, uid)
        return package.version, why


def decided(book: Book, installed: Installed) -> str:
    """As decide does: the version that reads, noted; or why it must not."""
    with book.write() as session:
        ((package, _, barred),) = packages_for(session, installed, "1.2")
        if not barred:
            reads(session, installed, package)
        return barred or package.version


def waits(book: Book, installed: Installed) -> list[str]:
    with book.read() as session:
        return waiting_versions(session, installed, NAME)


def choose(book: Book, installed: Installed, version: str, **more: object) -> None:
    with book.write() as session:
        use(session, installed, NAME, version, **more)  # type: ignore[arg-type]


def back(book: Book, installed: Installed) -> str:
    with book.write() as session:
        return roll_back(session, installed, NAME).version


def test_the_highest_reads_until_a_person_chooses_and_rollbacks_go_back_step_by_step(
    book: Book, installed: Installed
) -> None:
    assert read_by(book, installed) == ("3.0.0", "")
    choose(book, installed, "1.0.0", who="anna", why="the new one is too eager")
    assert read_by(book, installed) == ("1.0.0", "chosen by anna: the new one is too eager")
    choose(book, installed, "2.0.0", who="anna")
    choose(book, installed, "2.0.0", canary="3.0.0", share=0.1, who="anna")
    assert [back(book, installed), back(book, installed)] == ["1.0.0", "3.0.0"]
    with pytest.raises(NotPossible, match=r"nothing read before version 3\.0\.0 of scale was chosen"):
        back(book, installed)


def test_where_nobody_has_chosen_the_first_that_read_goes_on_to(book: Book, tmp_path: Path) -> None:
    for number in (1, 2):
        add_version(tmp_path / "one", number)
    assert decided(book, Installed(tmp_path / "one")) == "2.0.0", "the highest of those that are there first"
    add_version(tmp_path / "one", 3)
    grown = Installed(tmp_path / "one")  # as after a restart
    assert [decided(book, grown), *waits(book, grown)] == ["2.0.0", "3.0.0"]
    with book.read() as session:
        assert [p.version for p in wanted_versions(session, grown, gates=False)[0]] == ["2.0.0"]
        assert [view.part for view in versions_view(session, grown, NAME)] == [
            "waiting for `isocenter package use scale 3.0.0`", "reads", "",
        ]  # fmt: skip
    choose(book, grown, "2.0.0", canary="3.0.0", share=0.1, who="anna")
    assert waits(book, grown) == [], "a canary reads, and one that did is known"
    choose(book, grown, "2.0.0", who="anna")
    assert waits(book, grown) == []
    choose(book, grown, "3.0.0", who="anna")
    assert (decided(book, grown), back(book, grown)) == ("3.0.0", "2.0.0")


def test_one_that_comes_in_place_of_the_one_that_read_does_not_read(book: Book, tmp_path: Path) -> None:
    add_version(tmp_path / "models", 1)
    assert decided(book, Installed(tmp_path / "models")) == "1.0.0"
    shutil.rmtree(tmp_path / "models" / NAME)
    add_version(tmp_path / "models", 2)
    now = Installed(tmp_path / "models")
    assert (decided(book, now), waits(book, now)) == ("1.0.0", ["2.0.0"])
    with book.read() as session:
        gone = versions_view(session, now, NAME)[0]
        assert (gone.version, gone.installed, gone.part) == ("1.0.0", False, "reads")
    choose(book, now, "2.0.0", who="anna")
    assert (decided(book, now), waits(book, now)) == ("2.0.0", [])


@pytest.mark.parametrize("by_a_person", [False, True])
def test_other_weights_under_the_same_name_do_not_read_until_they_are_chosen(
    book: Book, tmp_path: Path, by_a_person: bool
) -> None:
    folder = add_version(tmp_path / "models", 1)
    if by_a_person:
        choose(book, Installed(tmp_path / "models"), "1.0.0", who="anna")
    assert decided(book, Installed(tmp_path / "models")) == "1.0.0"
    before = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(weights(7))
    now = Installed(tmp_path / "models")
    assert decided(book, now).startswith("version 1.0.0 has other weights than when it was chosen: put those back, or")
    assert waits(book, now) == ["1.0.0"]
    (folder / "model.onnx").write_bytes(before)
    assert decided(book, Installed(tmp_path / "models")) == "1.0.0"
    (folder / "model.onnx").write_bytes(weights(8))
    choose(book, Installed(tmp_path / "models"), "1.0.0", who="anna")
    assert decided(book, Installed(tmp_path / "models")) == "1.0.0"


def test_a_pin_that_is_taken_out_leaves_the_version_reading_that_it_named(book: Book, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        add_version(tmp_path / "models", number)
    for pin in ("1.0.0", "2.0.0"):
        pinned = Installed(tmp_path / "models", {NAME: PackageSettings(pin=pin)})
        assert (decided(book, pinned), waits(book, pinned)) == (pin, []), "with a pin nobody can choose"
    without = Installed(tmp_path / "models")
    assert (decided(book, without), waits(book, without)) == ("2.0.0", ["3.0.0"])
    absent = Installed(tmp_path / "models", {NAME: PackageSettings(pin="9.0.0")})
    assert decided(book, absent) == "9.0.0", "its run says that it is not installed"
    assert decided(book, without) == "2.0.0"


def test_a_canary_reads_its_share_and_a_study_keeps_its_version(book: Book, installed: Installed) -> None:
    choose(book, installed, "1.0.0", canary="2.0.0", share=0.1)
    with book.read() as session:
        now = standing(session, installed, NAME)
    first = [now.for_study(uid) for uid in UIDS]
    assert first == [now.for_study(uid) for uid in UIDS]
    assert 0.07 < sum(version == "2.0.0" for version, _ in first) / len(first) < 0.13
    assert ("2.0.0", "canary, 10% of the studies") in first
    choose(book, installed, "1.0.0", canary="2.0.0", share=0.5)
    with book.read() as session:
        wider = standing(session, installed, NAME)
    lost = [uid for uid, (version, _) in zip(UIDS, first, strict=True) if version > wider.for_study(uid)[0]]
    assert not lost, "who was read by the canary is read by it when its share grows"


def test_the_configuration_wins(book: Book, tmp_path: Path, installed: Installed) -> None:
    choose(book, installed, "1.0.0", canary="3.0.0", share=1.0)
    pinned = Installed(tmp_path / "models", {NAME: PackageSettings(pin="2.0.0")})
    assert read_by(book, pinned) == ("2.0.0", "pinned by the configuration")
    with pytest.raises(NotPossible, match=r"\[packages.scale\] of isocenter.toml pins version 2.0.0"):
        choose(book, pinned, "1.0.0")


@pytest.mark.parametrize(
    ("version", "more", "said"),
    [
        ("9.0.0", {}, r"version 9\.0\.0 of scale is not installed: 1\.0\.0, 2\.0\.0, 3\.0\.0 are"),
        ("1.0.0", {"canary": "9.0.0", "share": 0.1}, "is not installed"),
        ("1.0.0", {"canary": "2.0.0"}, "a share of the studies above 0"),
        ("1.0.0", {"share": 0.1}, "only a canary has one"),
        ("1.0.0", {"shadow": "1.0.0"}, "are other versions"),
    ],
)
def test_what_can_not_be_chosen_is_said(
    book: Book, installed: Installed, version: str, more: dict[str, object], said: str
) -> None:
    with pytest.raises(NotPossible, match=said):
        choose(book, installed, version, **more)
    assert read_by(book, installed) == ("3.0.0", "")


def test_no_other_version_reads_in_place_of_one_that_has_gone(book: Book, tmp_path: Path, installed: Installed) -> None:
    choose(book, installed, "1.0.0")
    (tmp_path / "models" / NAME / "1" / "package.toml").unlink()
    (tmp_path / "models" / NAME / "1" / "model.onnx").unlink()
    now = Installed(tmp_path / "models")
    version, _ = read_by(book, now)
    assert (version, now.get((NAME, version))) == ("1.0.0", None)


def test_what_counts_is_loaded_and_what_a_run_waits_for_stays(book: Book, installed: Installed) -> None:
    def wanted() -> list[str]:
        with book.read() as session:
            assert wanted_versions(session, installed, gates=True) == []
            (packages,) = wanted_versions(session, installed, gates=False)
            return [package.version for package in packages]

    assert wanted() == ["3.0.0"]
    with book.write() as session:
        session.add(Study(study_instance_uid="1.2"))
        session.flush()
        session.add(Run(id="r", study_instance_uid="1.2", revision=1, package=NAME, version="2.0.0", kind="reader"))
    assert wanted() == ["3.0.0", "2.0.0"]
    choose(book, installed, "1.0.0")
    assert wanted() == ["1.0.0", "3.0.0", "2.0.0"], "with the one that a rollback goes back to"
    with book.write() as session:
        session.get_one(Run, "r").state = "delivered"
    assert wanted() == ["1.0.0", "3.0.0"]
