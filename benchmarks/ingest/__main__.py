"""How fast listeners store what storescu sends: Isocenter beside pynetdicom, DCMTK, Orthanc and the machine's limit.

    make bench-ingest [DATA=ct,mr,dx] [ASSOCIATIONS=1,4,16] [RECEIVERS=…] [RUNS=3] [QUICK=1] [JSON=file] [SHORT=1]

Interleaved: each round runs every receiver once, each with an empty store on the same disk. A run whose sender failed,
or after which something is not there, is told of and not counted. benchmarks/README.md has the method and the last
table.
"""

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.ingest.images import KINDS, Sent, write_images
from benchmarks.ingest.receivers import FAILURES, RECEIVERS, missing_program, new_receiver
from benchmarks.ingest.runs import run
from benchmarks.ingest.short import short_associations
from benchmarks.ingest.tables import Results

_QUICK = {"associations": "4", "runs": 1, "share": 0.5}


def main() -> int:
    """Runs what was asked for; 1 when a run failed."""
    asked = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the listener under test is ended too
    if shutil.which("storescu") is None:
        print("storescu is not installed (Debian: dcmtk): nothing can be sent", file=sys.stderr)
        return 2
    receivers = [name for name in asked.receivers.split(",") if _can_run(name)]
    with tempfile.TemporaryDirectory(prefix="isocenter-bench-", dir=asked.folder) as folder:
        if asked.short_associations:
            return short_associations(receivers, Path(folder))
        sent = {}
        for data in asked.data.split(","):
            print(f"writing {data} images …", flush=True)
            sent[data] = write_images(KINDS[data], Path(folder) / data, asked.share)
        results = measure(sent, [int(n) for n in asked.associations.split(",")], receivers, asked.runs, Path(folder))
    print("\n" + results.text())
    if asked.json:
        asked.json.write_text(json.dumps(results.as_json(), indent=1) + "\n")
    return 1 if results.failures else 0


def measure(sent: dict[str, Sent], associations: list[int], receivers: list[str], runs: int, folder: Path) -> Results:
    """Every receiver once a round, for each data and number of associations; says where it is as it goes."""
    results, began = Results(), time.monotonic()
    plan = [
        (data, count, name) for data in sent for count in associations for _ in range(runs) for name in receivers
    ]  # fmt: skip
    for done, (data, count, name) in enumerate(plan):
        left = (time.monotonic() - began) / done * (len(plan) - done) if done else 0
        when = f"about {left / 60:.0f} min left" if done else f"{len(plan)} runs"
        try:
            measured = run(new_receiver(name, folder / "receivers"), sent[data], count)
        except FAILURES as error:
            results.failures.append(f"{name}, {data}, {count} associations: {error}")
            print(f"[{done + 1}/{len(plan)}] FAILED {results.failures[-1]}", flush=True)
            continue
        results.runs[data, count, name].append(measured)
        print(
            f"[{done + 1}/{len(plan)}] {data} {count:2} {name:22} {measured.instances_per_s:7.1f}/s "
            f"{measured.cpu_s_per_1000:6.2f} CPU s per 1,000  ({when})", flush=True,
        )  # fmt: skip
    return results


def _can_run(name: str) -> bool:
    if program := missing_program(name):
        print(f"skipped: {name} ({program} is not installed)")
    return not program


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-ingest", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="4 associations, one round, half the images")
    parser.add_argument("--data", default=",".join(KINDS), help="of ct,mr,dx")
    parser.add_argument("--associations", help="at a time; default 1,2,4,8,16")
    parser.add_argument("--receivers", default=",".join(RECEIVERS), help=f"of {','.join(RECEIVERS)}")
    parser.add_argument("--runs", type=int, help="rounds; default 3")
    parser.add_argument("--share", type=float, help="of the images of each study; default 1")
    parser.add_argument("--json", type=Path, help="write the medians and all runs here too")
    parser.add_argument("--folder", type=Path, help="work in a folder of this one; it decides which disk is measured")
    parser.add_argument("--short-associations", action="store_true", help="20 × 200 associations of one instance")
    asked = parser.parse_args()
    defaults = _QUICK if asked.quick else {"associations": "1,2,4,8,16", "runs": 3, "share": 1.0}
    for name, value in defaults.items():
        if getattr(asked, name) is None:
            setattr(asked, name, value)
    unknown = set(asked.data.split(",")) - set(KINDS) | set(asked.receivers.split(",")) - set(RECEIVERS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    return asked


if __name__ == "__main__":
    sys.exit(main())
