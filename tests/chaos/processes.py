"""Processes of one run: found by a mark in their environment, so that whatever started them, none is left behind."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

MARK = "ISOCENTER_CHAOS_RUN"
ROOT = Path(__file__).parents[2]
_PR_SET_PDEATHSIG = 1
_NO_WORKER = ("resource_tracker", "forkserver")  # of Python's multiprocessing, which hold nothing of the system


class Processes:
    """Starts processes with the run's mark and finds everything that carries it (Linux: /proc)."""

    def __init__(self, logs: Path) -> None:
        self.mark, self.logs = uuid.uuid4().hex, logs
        logs.mkdir(parents=True, exist_ok=True)

    def start(self, name: str, command: Sequence[str], **variables: str) -> subprocess.Popen[bytes]:
        """Starts `command`; its output goes to `logs/<name>.log`. From a thread that lasts: it dies with it."""
        environment = {**os.environ, MARK: self.mark, "PYTHONUNBUFFERED": "1", **variables}
        with (self.logs / f"{name}.log").open("ab") as output:
            return subprocess.Popen(
                command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True, preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )  # fmt: skip

    def pids(self) -> list[int]:
        """Every living process of the run."""
        wanted = f"{MARK}={self.mark}".encode()
        found = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                with contextlib.suppress(OSError):
                    if wanted in (folder / "environ").read_bytes().split(b"\0") and _state(folder) not in "ZX":
                        found.append(int(folder.name))
        return found

    def named(self, *words: str) -> list[int]:
        """Processes of the run in whose command line all `words` stand."""
        return [pid for pid in self.pids() if all(word in _command(pid) for word in words)]

    def running(self, program: str) -> list[int]:
        """Processes of the run whose program has that name."""
        return [pid for pid in self.pids() if Path([*_command(pid), ""][0]).name == program]

    def below(self, pid: int) -> list[int]:
        """The workers that a process has started, and theirs."""
        found = [child for child in self.pids() if _parent(child) == pid]
        found = [child for child in found if not any(word in " ".join(_command(child)) for word in _NO_WORKER)]
        return found + [below for child in found for below in self.below(child)]

    def signal(self, pids: Sequence[int], number: int) -> int:
        """Sends a signal to each; returns how many there were."""
        count = 0
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
                count += 1
        return count

    def end(self) -> None:
        """Kills whatever is left of the run."""
        deadline = time.monotonic() + 10
        while (pids := self.pids()) and time.monotonic() < deadline:
            self.signal(pids, signal.SIGKILL)
            time.sleep(0.1)


def wait_until(true: object, seconds: float, what: str) -> None:
    """Waits until `true()`.

    Raises:
        TimeoutError: it does not become true.
    """
    deadline = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(0.1)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _command(pid: int) -> list[str]:
    with contextlib.suppress(OSError):
        return [word for word in Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0") if word]
    return []


def _state(folder: Path) -> str:
    return (folder / "stat").read_text().rpartition(")")[2].split()[0]


def _parent(pid: int) -> int:
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0
