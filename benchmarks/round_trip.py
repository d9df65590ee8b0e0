"""How long a study takes to go round on this machine, embedded, with Triton on CPU: medians over several runs.

    .venv/bin/python benchmarks/round_trip.py [--runs 3] [--data DIR]

Prints, from the start of the command: seconds to the first delivered result and to all settled; and for each study,
from its last image: to complete (the quiet time), to gated, to settled.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

ISOCENTER = Path(sys.executable).with_name("isocenter")


def run_once(data: Path | None) -> dict[str, float]:
    """One demonstration; seconds by what was reached."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        command = [str(ISOCENTER), "demo", "--once", "--out", str(out), *(["--data", str(data)] if data else [])]
        started, clock = datetime.now().astimezone(), time.monotonic()
        subprocess.run(command, check=True, capture_output=True)
        whole = time.monotonic() - clock
        studies = json.loads((out / "studies.json").read_text())["studies"]
    read = [study for study in studies if study["deliveries"]]
    first = min(datetime.fromisoformat(d["delivered_at"]) for s in read for d in s["deliveries"] if d["delivered_at"])
    figures = {"first result": (first - started).total_seconds(), "whole run, start and stop included": whole}
    for study in read:
        figures |= _of_study(study)
    return figures


def _of_study(study: dict) -> dict[str, float]:
    times = {key: datetime.fromisoformat(value) for key, value in study["times"].items() if isinstance(value, str)}
    gated = [
        datetime.fromisoformat(run["read_at"]) for run in study["runs"] if run["kind"] == "gate" and run["read_at"]
    ]
    name = f"{'/'.join(study['modalities'])} {study['instances']} images"
    figures = {f"{name}: complete to settled": (times["settled_at"] - times["completed_at"]).total_seconds()}
    if gated:
        figures[f"{name}: complete to gate's score"] = (max(gated) - times["completed_at"]).total_seconds()
    return figures


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--data", type=Path)
    arguments = parser.parse_args()
    runs = [run_once(arguments.data) for _ in range(arguments.runs)]
    load = os.getloadavg()[0]
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {load:.1f}, {arguments.runs} runs; seconds, median (range)"
    )
    for name in runs[0]:
        values = [run[name] for run in runs if name in run]
        print(f"  {name:45} {statistics.median(values):6.1f}  ({min(values):.1f} to {max(values):.1f})")


if __name__ == "__main__":
    main()
