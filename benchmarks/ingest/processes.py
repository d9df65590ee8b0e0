"""What a process and all its children use: CPU seconds and memory, from /proc (Linux)."""

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_SAMPLE_SECONDS = 0.1
_IDLE_SECONDS, _IDLE_CPU = 0.4, 0.02


@dataclass(frozen=True)
class _Process:
    parent: int
    cpu_seconds: float  # with those of its children that have ended
    rss_bytes: int


def _read(pid: int) -> _Process | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return _Process(int(fields[1]), sum(map(int, fields[11:15])) / _TICKS, int(fields[21]) * _PAGE)


def tree(root: int) -> dict[int, _Process]:
    """The process and its living descendants."""
    every = {int(p.name): found for p in Path("/proc").iterdir() if p.name.isdigit() and (found := _read(int(p.name)))}
    found = {root} & set(every)
    while more := {pid for pid, one in every.items() if one.parent in found} - found:
        found |= more
    return {pid: every[pid] for pid in found}


def cpu_seconds(root: int) -> float:
    """What the tree has used so far."""
    return sum(one.cpu_seconds for one in tree(root).values())


def wait_until_idle(root: int, most_seconds: float = 30) -> None:
    """Returns when the tree has nothing more to do: what is put off until after the answer is charged too."""
    deadline, before = time.monotonic() + most_seconds, cpu_seconds(root)
    while time.monotonic() < deadline:
        time.sleep(_IDLE_SECONDS)
        now = cpu_seconds(root)
        if now - before <= _IDLE_CPU:
            return
        before = now


class PeakMemory(threading.Thread):
    """The largest resident memory of the tree, pages shared by several processes counted in each."""

    def __init__(self, root: int) -> None:
        super().__init__(daemon=True)
        self.root, self.peak_bytes, self._stopping = root, 0, threading.Event()
        self.start()

    def run(self) -> None:
        while True:
            self.peak_bytes = max(self.peak_bytes, sum(one.rss_bytes for one in tree(self.root).values()))
            if self._stopping.wait(_SAMPLE_SECONDS):
                return

    def stop(self) -> float:
        """Ends; the peak in MB (10⁶ bytes)."""
        self._stopping.set()
        self.join()
        return self.peak_bytes / 1e6
