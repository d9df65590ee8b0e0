"""The bench's hospital: a real PACS, a real viewer and independent peers, in a network namespace of their own."""

import fcntl
import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

LOOK = Path(__file__).parent / "looking" / "look.py"


class Hospital:
    """The hospital's script, and `folder` for what its programs say."""

    def __init__(self, script: Path, home: Path, folder: Path) -> None:
        self.script, self.home, self.folder = script, home, folder
        self.python = home / "venv/bin/python"

    def call(self, *arguments: object, check: bool = True, timeout: float = 300) -> str:
        """What the script prints.

        Raises:
            AssertionError: it failed.
        """
        command = [str(self.script), *map(str, arguments)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
        if check and result.returncode:
            raise AssertionError(f"hospital {arguments[0]}: {result.stdout}\n{result.stderr}")
        return result.stdout

    def look(self, folder: Path, jobs: Sequence[Mapping[str, object]]) -> str:
        """Pictures of the real viewer into `folder`, and what came of it; tests/looking/look.py says what a job is.

        Raises:
            AssertionError: the viewer has an error, or a series is not there.
        """
        folder.mkdir(exist_ok=True)
        (folder / "jobs.json").write_text(json.dumps(jobs))
        return self.call("exec", self.python, LOOK, folder / "jobs.json", folder, timeout=120 + 200 * len(jobs))

    def start_inside(self, *command: object, log: str) -> subprocess.Popen[bytes]:
        """A program beside the PACS."""
        output = (self.folder / log).open("wb")
        return subprocess.Popen(
            [str(self.script), "exec", *map(str, command)], stdout=output, stderr=output, stdin=subprocess.DEVNULL
        )


@contextmanager
def open_hospital(bench: Path, home: Path, folder: Path) -> Iterator[Hospital]:
    """Starts it, and stops it in the end; there is one a machine, so tests wait for their turn."""
    if os.geteuid() != 0:
        pytest.skip("the hospital needs root: it makes a network namespace")
    it = Hospital(bench / "hospital" / "hospital", home, folder)
    with (home / "isocenter-tests.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        it.call("start")
        try:
            yield it
        finally:
            it.call("stop", check=False)
