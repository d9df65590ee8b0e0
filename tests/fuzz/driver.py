"""Drives a target through inputs and watches it: what it used, whether it lives, what it wrote into its log."""

import json
import os
import random
import select
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fuzz.dicom_bytes import MARK

MINUTES = float(os.environ.get("ISOCENTER_FUZZ_MINUTES", "0"))
SEED = os.environ.get("ISOCENTER_FUZZ_SEED", "0")
FINDINGS = os.environ.get("ISOCENTER_FUZZ_FINDINGS", "")
ROOT = Path(__file__).parents[2]

MOST_SECONDS = 5.0  # of processor time: a machine that is busy makes nothing hang
MOST_WALL_SECONDS = 60.0
MOST_BYTES = 2**30  # above what the process had before


@dataclass
class Finding:
    """An input that broke a property."""

    what: str
    content: bytes
    seed: str

    def save(self, target: str) -> str:
        """Writes the input for a replay; returns where."""
        if not FINDINGS:
            return ""
        path = Path(FINDINGS) / target / f"{self.seed.replace('/', '-')}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.content)
        path.with_suffix(".txt").write_text(self.what)
        return str(path)


@dataclass
class Prey:
    """A target in a process of its own."""

    target: str
    folder: Path
    outcomes: Counter[str] = field(default_factory=Counter)
    peak: int = 0
    slowest: float = 0.0
    last: str = ""
    _process: Any = None
    _runs: int = 0

    def start(self) -> None:
        self._runs += 1
        home = self.folder / f"{self.target}{self._runs}"
        home.mkdir(parents=True)
        self._log = home / "log"
        command = [sys.executable, "-m", "tests.fuzz.prey", self.target, str(home)]
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log.open("wb"),
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDEVMODE": ""},
        )
        assert self._answer(MOST_WALL_SECONDS), f"the target does not start:\n{self._log.read_text()[-2000:]}"

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.stdin.close()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None

    def _answer(self, seconds: float) -> str | None:
        """The next line; None when none came in time, empty when the process has ended."""
        ready, _, _ = select.select([self._process.stdout], [], [], seconds)
        return self._process.stdout.readline().decode() if ready else None

    def take(self, path: Path) -> str:
        """Hands the input over; returns what is wrong, empty when nothing is."""
        if self._process is None:
            self.start()
        self.last = ""
        before, read_from = self._cpu(), self._log.stat().st_size
        self._process.stdin.write(f"{path}\n".encode())
        self._process.stdin.flush()
        answer = self._answer(MOST_WALL_SECONDS)
        if not answer:
            return self._gone(answer)
        used, said = self._cpu() - before, json.loads(answer)
        self.outcomes[said["outcome"].split(":")[0][:40]] += 1
        self.last = f"{used:.1f} s {said['peak'] / 2**20:.0f} MiB {said['outcome'][:120]}"
        self.peak, self.slowest = max(self.peak, said["peak"]), max(self.slowest, used)
        with self._log.open("rb") as log:
            log.seek(read_from)
            logged = log.read()
        if said["fault"]:
            return str(said["fault"])
        if used > MOST_SECONDS:
            return f"took {used:.1f} s of processor time"
        if said["peak"] > MOST_BYTES:
            return f"took {said['peak'] / 2**20:.0f} MiB"
        return f"the log quotes the patient: {logged[-300:]!r}" if MARK.encode() in logged else ""

    def _gone(self, answer: str | None) -> str:
        """Hung or dead: what a new process is needed for."""
        if answer is None:
            self._process.kill()
        code = self._process.wait()
        last = self._log.read_bytes()[-300:]
        self._process = None
        return f"hung for {MOST_WALL_SECONDS:g} s" if answer is None else f"the process died code={code} log={last!r}"

    def _cpu(self) -> float:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def drive(target: str, make: Callable[[random.Random], bytes], folder: Path, quick: int, share: float = 1.0) -> None:
    """Makes inputs from seeds and hands them over: `quick` of them, or for a share of the long profile's minutes.

    Raises:
        AssertionError: there were findings; it names each with the seed that makes it again.
    """
    prey, findings, count = Prey(target, folder), list[Finding](), 0
    until = time.monotonic() + MINUTES * 60 * share
    try:
        while (time.monotonic() < until) if MINUTES else count < quick:
            seed = f"{target}/{SEED}/{count}"
            content = make(random.Random(seed))
            path = folder / f"{target}-input.bin"
            path.write_bytes(content)
            if what := prey.take(path):
                findings.append(Finding(what, content, seed))
            count += 1
    finally:
        prey.stop()
    _tell(target, count, prey, findings)


def _tell(target: str, count: int, prey: Prey, findings: list[Finding]) -> None:
    seen = ", ".join(f"{name or 'nothing'} {n}" for name, n in prey.outcomes.most_common(8))
    print(f"\n{target}: {count} cases, slowest {prey.slowest:.1f} s, most memory {prey.peak / 2**20:.0f} MiB; {seen}")
    kinds: dict[str, list[Finding]] = {}
    for finding in findings:
        kinds.setdefault(finding.what[:80], []).append(finding)
    told = [f"{len(f)} × {f[0].what} [seed {f[0].seed}] {f[0].save(target)}" for f in kinds.values()]
    assert not findings, f"{target}: {len(findings)} findings in {count} cases:\n" + "\n".join(told)
