"""`python -m tests.chaos`: what `make chaos` runs."""

import argparse
import random
import signal
import sys
import time
from typing import Any

from tests.chaos.run import run_chaos
from tests.chaos.table import Run, table


def main() -> int:
    """Exit code 1 on any loss, anything stuck, duplicate or otherwise wrong."""
    asked = _arguments()
    signal.signal(signal.SIGTERM, _stop)
    stores = ("embedded", "servers") if asked.store == "both" else (asked.store,)
    runs: list[Run] = []
    for store in stores:
        seconds = 60 * asked.minutes if asked.minutes else max(40.0, 1.6 * asked.studies)
        print(f"seed {asked.seed}, {store}: {asked.studies} studies, {seconds:.0f} s of faults", flush=True)
        runs.append(run_chaos(asked.seed, store, asked.studies, seconds, say=_say, keep=asked.keep))
    print(f"\n{table(runs)}\n")
    for run in runs:
        for violation in run.count.violations:
            print(f"{run.store}: {violation}")
        if run.kept:
            print(f"{run.store}: everything is kept in {run.kept}")
    bad = any(run.count.violations for run in runs)
    print(f"{'FAILED' if bad else 'nothing lost, nothing stuck, nothing twice'}: SEED={asked.seed}")
    return 1 if bad else 0


def _arguments() -> Any:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--store", choices=("embedded", "servers", "both"), default="both")
    parser.add_argument("--minutes", type=float, default=0.0, help="length of the faults; by default 1.6 s a study")
    parser.add_argument("--keep", action="store_true", help="keep the folder with logs also when all is well")
    return parser.parse_args()


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("stopped: nothing was counted; everything that was started has been ended", flush=True)
        sys.exit(130)
