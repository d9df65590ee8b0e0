"""Finding Triton's environment, and saying what to do where there is none."""

import json
from pathlib import Path
from typing import Any

import pytest

from shared.serving.triton_environment import DESCRIPTION, VARIABLE, EnvironmentMissing, find_environment


def described(folder: Path, **changes: Any) -> Path:
    server = folder / "tritonserver"
    server.touch()
    description = {
        "schema": 1,
        "python": "3.11",
        "tritonserver": str(server),
        "backends": str(folder / "backends"),
        "library_path": ["/a", "/b"],
        "python_path": ["/c"],
        "binaries": "/d",
    }
    (folder / DESCRIPTION).write_text(json.dumps(description | changes))
    return folder


def test_an_environment_that_was_never_made_is_named_with_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentMissing, match=f"setup_environment.py --into {tmp_path}"):
        find_environment(tmp_path)


@pytest.mark.parametrize("changes", [{"schema": 0}, {"tritonserver": "/moved/away"}])
def test_an_environment_that_does_not_fit_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(EnvironmentMissing, match="out of date or was moved"):
        find_environment(described(tmp_path, **changes))


def test_a_damaged_description_is_refused(tmp_path: Path) -> None:
    (tmp_path / DESCRIPTION).write_text("{")
    with pytest.raises(EnvironmentMissing, match="can't be read"):
        find_environment(tmp_path)


def test_the_variable_names_the_environment_and_an_argument_overrules_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        described(tmp_path / name)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "one"))
    assert find_environment().folder == tmp_path / "one"
    assert find_environment(tmp_path / "two").folder == tmp_path / "two"


def test_the_server_gets_its_own_libraries_and_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/the/product's")
    command = find_environment(described(tmp_path)).command(["--help"])
    assert "LD_LIBRARY_PATH=/a:/b" in command
    assert "PYTHONPATH=/c" in command
    assert command[-2:] == [str(tmp_path / "tritonserver"), "--help"]
