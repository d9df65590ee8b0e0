"""One run: a fresh listener, the senders, what it took."""

import os
import queue
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.ingest.images import Sent
from benchmarks.ingest.processes import PeakMemory, cpu_seconds, wait_until_idle
from benchmarks.ingest.receivers import ENVIRONMENT, ROOT, Failed, Receiver

_SEND_SECONDS = 300


@dataclass(frozen=True)
class Measured:
    """What one run took. `beside` is the share of the machine's CPU that others used meanwhile."""

    instances_per_s: float
    mb_per_s: float
    cpu_s_per_1000: float
    peak_rss_mb: float
    beside: float


def run(receiver: Receiver, sent: Sent, associations: int) -> Measured:
    """Starts the listener, sends everything over so many associations at a time, one a study, and checks.

    Raises:
        Failed: a sender failed, or something is not there.
    """
    send = send_dicom if receiver.is_dicom else _send_raw
    with receiver.running() as pid:
        send(receiver, [sent.first], 1)  # what is done once in a process's life is not what an instance costs
        wait_until_idle(pid)
        memory, cpu, machine, own = PeakMemory(pid), cpu_seconds(pid), _machine_seconds(), _children_seconds()
        began = time.perf_counter()
        send(receiver, sent.folders, associations)
        seconds = time.perf_counter() - began
        busy, total = (after - before for after, before in zip(_machine_seconds(), machine, strict=True))
        foreign = busy - (cpu_seconds(pid) - cpu) - (_children_seconds() - own)
        receiver.wait_until_there(sent)
        wait_until_idle(pid)
        used, peak = cpu_seconds(pid) - cpu, memory.stop()
        receiver.check(sent)
    return Measured(
        instances_per_s=sent.count / seconds, mb_per_s=sent.size / seconds / 1e6,
        cpu_s_per_1000=used * 1000 / sent.count, peak_rss_mb=peak, beside=max(0.0, foreign / max(total, 0.01)),
    )  # fmt: skip


def send_dicom(receiver: Receiver, folders: list[Path], associations: int) -> list[float]:
    """Each folder over an association of its own by storescu; the seconds that each took.

    Raises:
        Failed: a sender says that not all was stored.
    """
    waiting: queue.SimpleQueue[Path] = queue.SimpleQueue()
    for folder in folders:
        waiting.put(folder)
    failures: list[str] = []
    seconds: list[float] = []

    def work() -> None:
        while not failures:
            try:
                folder = waiting.get_nowait()
            except queue.Empty:
                return
            began = time.perf_counter()
            if said := _storescu(receiver, folder):
                failures.append(said)
            seconds.append(time.perf_counter() - began)

    threads = [threading.Thread(target=work) for _ in range(associations)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise Failed(f"a sender failed: {failures[0]}")
    return seconds


def _storescu(receiver: Receiver, folder: Path) -> str:
    """Why it failed, or nothing."""
    to = ["-aet", "BENCH", "-aec", receiver.ae_title, "127.0.0.1", str(receiver.port)]
    try:
        done = subprocess.run(
            ["storescu", "-xe", "-R", "+sd", *to, str(folder)], env=ENVIRONMENT, capture_output=True, text=True,
            timeout=_SEND_SECONDS, errors="replace",
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"storescu did not end in {_SEND_SECONDS} s"
    return f"storescu: {done.stderr[-300:]}" if done.returncode else ""


def _send_raw(receiver: Receiver, folders: list[Path], associations: int) -> None:
    command = [sys.executable, "-m", "benchmarks.ingest.raw", "send", str(receiver.port), str(associations)]
    done = subprocess.run([*command, *map(str, folders)], cwd=ROOT, check=False, timeout=_SEND_SECONDS)
    if done.returncode:
        raise Failed("the raw sender failed")


def _children_seconds() -> float:
    times = os.times()
    return times.children_user + times.children_system


def _machine_seconds() -> tuple[float, float]:
    """CPU seconds that the whole machine was busy, and that it had."""
    ticks = [int(value) for value in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    per_second = os.sysconf("SC_CLK_TCK")
    return (sum(ticks) - ticks[3] - ticks[4]) / per_second, sum(ticks) / per_second
