"""deploy/triton/setup_environment.py: does nothing twice, and says what to do where it can't do it once."""

import importlib.util
import json
import platform
import re
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from shared.serving import triton_environment

SCRIPT = Path(__file__).resolve().parents[3] / "deploy" / "triton" / "setup_environment.py"


@pytest.fixture
def setup() -> ModuleType:
    spec = importlib.util.spec_from_file_location("setup_environment", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(setup: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """main() with these arguments, on a Python that has a stub: exit status, stdout, stderr."""
    monkeypatch.setattr(setup, "THIS_PYTHON", "3.11")

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *arguments])
        status = setup.main()
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


def finished(setup: ModuleType, into: Path) -> Path:
    """What a set-up leaves, without what it installs."""
    for path in (setup.tritonserver(into) / "bin" / "tritonserver", *map(Path, setup.library_path(into, None))):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (into / setup.DESCRIPTION).write_text(json.dumps(setup.description(into, None)))
    return into


def test_a_finished_environment_is_left_alone(setup: ModuleType, run: Callable[..., Any], tmp_path: Path) -> None:
    setup.THIS_PYTHON = "3.11"
    before = (finished(setup, tmp_path) / setup.DESCRIPTION).stat().st_mtime_ns
    assert run("--into", str(tmp_path)) == (0, f"Triton's environment is ready: {tmp_path}\n", "")
    assert (tmp_path / setup.DESCRIPTION).stat().st_mtime_ns == before


def test_what_it_describes_is_what_the_server_reads(setup: ModuleType, tmp_path: Path) -> None:
    assert setup.DESCRIPTION == triton_environment.DESCRIPTION
    found = triton_environment.find_environment(finished(setup, tmp_path))
    assert found.tritonserver == setup.tritonserver(tmp_path) / "bin" / "tritonserver"
    assert found.backends == tmp_path / "backends"


def test_a_moved_environment_counts_as_none(setup: ModuleType, tmp_path: Path) -> None:
    finished(setup, tmp_path / "here")
    assert setup.earlier_description(tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "there")
    assert setup.earlier_description(tmp_path / "there") == {}


def test_new_requirements_need_new_packages_and_a_new_backend_does_not(
    setup: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages, everything = setup.packages_digest(), setup.digest()
    (tmp_path / "onnxruntime").mkdir()
    (tmp_path / "onnxruntime" / "model.py").write_text("changed")
    monkeypatch.setattr(setup, "BACKENDS", tmp_path)
    assert setup.packages_digest() == packages
    assert setup.digest() != everything
    (tmp_path / "requirements.txt").write_text("changed")
    monkeypatch.setattr(setup, "REQUIREMENTS", tmp_path / "requirements.txt")
    assert setup.packages_digest() != packages


@pytest.mark.parametrize(
    ("machine", "libc", "reason"),
    [
        ("ppc64le", ("glibc", "2.39"), "built for x86_64 and aarch64, not for ppc64le"),
        ("x86_64", ("", ""), "needs glibc, which this system does not have"),
        ("x86_64", ("glibc", "2.34"), "needs glibc 2.35 or later .* this is 2.34"),
    ],
)
def test_a_platform_without_a_wheel_is_told_so(
    run: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    machine: str,
    libc: tuple[str, str],
    reason: str,
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(platform, "libc_ver", lambda: libc)
    status, _, error = run("--into", str(tmp_path / "new"))
    assert status == 1
    assert re.search(reason, error)
    assert "[triton] url" in error
    assert not (tmp_path / "new").exists()


def test_no_shared_libpython_is_told_with_what_to_install(
    setup: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup, "THIS_PYTHON", "3.12")
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: str(tmp_path))
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path))
    monkeypatch.setattr(Path, "is_file", lambda path: False)
    with pytest.raises(setup.CannotSetUp, match="(?s)libpython3.12.so.1.0 is missing.*apt-get install libpython3.12"):
        setup.libpython_folder()


def test_the_shared_libpython_of_this_python_is_found(setup: ModuleType, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(setup, "THIS_PYTHON", "3.12")
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: None)
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path))
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "libpython3.12.so.1.0").touch()
    assert setup.libpython_folder() == tmp_path / "lib"


def test_a_python_without_a_stub_is_told_which_have_one(
    setup: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup, "THIS_PYTHON", "3.14")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(setup.CannotSetUp, match=r"3\.11, 3\.12, 3\.13 .*not for this 3\.14.*--python python3\.13"):
        setup.continue_in_a_served_python(tmp_path, None)


def test_a_python_that_is_not_there_is_named(run: Callable[..., Any], tmp_path: Path) -> None:
    status, _, error = run("--into", str(tmp_path / "new"), "--python", "python-of-dreams")
    assert (status, error) == (1, "Triton's environment can't be set up: there is no python-of-dreams to run.\n")


def test_a_folder_of_something_else_is_not_overwritten(setup: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(setup.CannotSetUp, match="is no Python environment"):
        setup.make_environment(tmp_path)
    assert (tmp_path / "holiday.jpg").exists()


def test_where_triton_does_not_exist_nothing_is_to_be_done(
    run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    status, said, _ = run("--into", str(tmp_path / "new"))
    assert status == 0
    assert "in-process" in said
    assert not (tmp_path / "new").exists()


def test_it_runs_on_the_standard_library_alone() -> None:
    help_text = subprocess.run(
        [sys.executable, "-I", "-S", str(SCRIPT), "--help"], capture_output=True, text=True, check=True
    )
    assert "--into" in help_text.stdout
