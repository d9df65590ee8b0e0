"""`python -m tests.fuzz.prey TARGET FOLDER`: a process of its own in which one target takes inputs, so that its memory,
its time and its death are seen from outside. Paths come by standard input, outcomes go to standard output, logs to
standard error."""

import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

from shared.logs import start_logging
from tests.fuzz import targets

_HARD_LIMIT = 4 * 2**30  # above what the process has when it starts: a finding, but the machine goes on


def _status(name: str) -> int:
    """A line of /proc/self/status, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    return 0


def _take(target: Any, path: Path) -> dict[str, Any]:
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM counts from here
    before = _status("VmRSS")
    try:
        outcome, fault = target(path), ""
    except BaseException as error:
        outcome, fault = "", f"{type(error).__name__}: {str(error)[:300]}"
        if not isinstance(error, MemoryError):
            fault += _where(error)
    return {"outcome": outcome, "fault": fault, "peak": _status("VmHWM") - before}


def _where(error: BaseException) -> str:
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    return " at " + " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in frames[::-1][:6])


def main() -> None:
    """Until standard input ends."""
    name, folder = sys.argv[1], Path(sys.argv[2])
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # decoders print to standard output
    start_logging("fuzz", "DEBUG")
    target = getattr(targets, name)(folder)
    most = _status("VmSize") + _HARD_LIMIT
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    print("ready", file=answers)
    for line in sys.stdin:
        print(json.dumps(_take(target, Path(line.rstrip("\n")))), file=answers)


if __name__ == "__main__":
    main()
