"""Versions come and go while a service runs: taken once they lie still, left out where they are not what is named."""

import hashlib
import shutil
from pathlib import Path

import pytest

from shared.packages.installed import LOOK_SECONDS, Installed
from shared.packages.settings import PackageSettings
from tests.versioned import NAME, add_version, weights


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now

    def later(self) -> None:
        self.now += LOOK_SECONDS


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def installed(tmp_path: Path, clock: Clock) -> Installed:
    add_version(tmp_path, 1)
    found = Installed(tmp_path, clock=clock)
    assert versions(found) == ["1.0.0"]
    return found


def versions(installed: Installed) -> list[str]:
    return [version for _, version in installed]


def test_a_version_is_taken_once_it_lies_still_and_gone_when_it_is_removed(
    tmp_path: Path, installed: Installed, clock: Clock
) -> None:
    folder = add_version(tmp_path, 2, b"half of it")
    clock.later()
    assert versions(installed) == ["1.0.0"], "it may still be copied"
    (folder / "model.onnx").write_bytes(weights(2))
    clock.later()
    assert versions(installed) == ["1.0.0"], "it was"
    clock.later()
    assert versions(installed) == ["1.0.0", "2.0.0"]
    assert installed[NAME, "2.0.0"].number == 2
    shutil.rmtree(folder)
    for _ in range(2):
        clock.later()
        assert installed.names() == [NAME]
    assert versions(installed) == ["1.0.0"]
    assert installed.missing(NAME, "2.0.0") == "version 2.0.0 of scale is not installed: 1.0.0 is"


def test_half_a_file_is_never_taken_where_its_digest_is_named(
    tmp_path: Path, installed: Installed, clock: Clock
) -> None:
    folder = add_version(tmp_path, 2, weights(2)[:-1])
    named = f'[weights]\ndigest = "sha256:{hashlib.sha256(weights(2)).hexdigest()}"\n'
    with (folder / "package.toml").open("a") as manifest:
        manifest.write(named)
    for _ in range(3):
        clock.later()
        assert versions(installed) == ["1.0.0"], "a copy that stands still is no whole one"
    (folder / "model.onnx").write_bytes(weights(2))
    for _ in range(2):
        clock.later()
        assert installed.names() == [NAME]
    assert versions(installed) == ["1.0.0", "2.0.0"]


def test_a_slip_in_a_manifest_takes_nothing_out_of_service(tmp_path: Path, installed: Installed, clock: Clock) -> None:
    manifest = tmp_path / NAME / "1" / "package.toml"
    manifest.write_text("schema = ")
    for _ in range(3):
        clock.later()
        assert versions(installed) == ["1.0.0"]
    assert not list(Installed(tmp_path)), "who starts now can't know what it was"


def test_only_the_weights_that_the_hospital_names_may_read(tmp_path: Path) -> None:
    add_version(tmp_path, 1)
    add_version(tmp_path, 2)
    digest = f"sha256:{hashlib.sha256(weights(1)).hexdigest()}"
    installed = Installed(tmp_path, {NAME: PackageSettings(digest=digest)})
    assert versions(installed) == ["1.0.0"]
    assert installed.pinned(NAME) == "1.0.0"
    assert "other weights than [packages.scale] digest names" in installed.missing(NAME, "2.0.0")
    both = Installed(tmp_path, {NAME: PackageSettings(digest=digest, pin="2.0.0")})
    assert both.pinned(NAME) == "2.0.0"
    assert both.get((NAME, "2.0.0")) is None


def test_the_manifest_at_the_top_stays_with_the_weights_that_it_names(tmp_path: Path) -> None:
    folder = add_version(tmp_path, 1).parent
    (folder / "1" / "package.toml").unlink()
    digest = f'[weights]\ndigest = "sha256:{hashlib.sha256(weights(1)).hexdigest()}"\n'
    with (folder / "package.toml").open("a") as manifest:
        manifest.write(digest)
    (folder / "3").mkdir()
    (folder / "3" / "model.onnx").write_bytes(weights(3))
    add_version(tmp_path, 2)
    assert {key: package.number for key, package in Installed(tmp_path).items()} == {
        (NAME, "1.0.0"): 1, (NAME, "2.0.0"): 2,
    }  # fmt: skip
