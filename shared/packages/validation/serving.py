"""The package on a real Triton of its own: it loads, gives the golden answer, in what time and with what memory."""

import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from shared.packages.folder import Package
from shared.packages.validation.check import Check, ok, unknown, wrong
from shared.packages.validation.golden import Golden, check_golden
from shared.serving import Models, open_models
from shared.serving.triton_environment import EnvironmentMissing
from shared.serving.triton_server import TritonNotStarted, TritonServer


def check_serving(package: Package, golden: Golden | None, environment: Path | None, requests: int) -> Iterator[Check]:
    """Starts a Triton with only this package, asks it and stops it; `requests` are timed."""
    with TemporaryDirectory(prefix="isocenter-validate-") as folder:
        alone = Path(folder) / "packages"
        alone.mkdir()
        (alone / package.name).symlink_to(package.folder.absolute(), target_is_directory=True)
        try:
            with TritonServer(alone, Path(folder) / "triton.log", environment=environment) as server:
                if reason := server.failed_models.get(package.name):
                    yield wrong("triton", f"can't load it: {reason}")
                    return
                models = open_models(server.url, alone)
                try:
                    yield from _ask(package, golden, models, server.pid, requests)
                finally:
                    models.close()
        except EnvironmentMissing as error:
            yield unknown("triton", str(error))
        except TritonNotStarted as error:
            yield wrong("triton", str(error).splitlines()[0])


def _ask(package: Package, golden: Golden | None, models: Models, pid: int, requests: int) -> Iterator[Check]:
    if golden is None:
        yield unknown("triton", "it loads; without golden rows nothing was asked")
        return
    version = str(package.number)
    yield from check_golden(
        golden,
        lambda: models.infer(package.name, golden.inputs, list(golden.outputs), version),
        "on Triton",
    )
    one = {name: rows[:1] for name, rows in golden.inputs.items()}
    seconds = []
    for _ in range(requests):
        started = time.perf_counter()
        models.infer(package.name, one, list(golden.outputs), version)
        seconds.append(time.perf_counter() - started)
    if seconds:
        middle, slow = 1000 * statistics.median(seconds), 1000 * max(seconds)
        yield ok("latency", f"{middle:.1f} ms a row, the slowest of {requests} {slow:.1f} ms")
    yield _memory(package, pid)


def _memory(package: Package, pid: int) -> Check:
    used = resident_mb(pid)
    allowed = package.manifest.resources.memory_mb
    if allowed is not None and used > allowed:
        return wrong("memory", f"{used:.0f} MB with the server, [resources] memory_mb allows {allowed}")
    return ok("memory", f"{used:.0f} MB with the server" + (f", of {allowed} allowed" if allowed else ""))


def resident_mb(pid: int) -> float:
    """Resident memory of a process and all below it (Linux), MB."""
    total, waiting = 0.0, [pid]
    while waiting:
        process = waiting.pop()
        try:
            status = Path(f"/proc/{process}/status").read_text()
            children = Path(f"/proc/{process}/task/{process}/children").read_text()
        except OSError:
            continue  # it has ended
        total += sum(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")) / 1024
        waiting += [int(child) for child in children.split()]
    return total
