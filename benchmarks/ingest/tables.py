"""Medians of the runs, as tables for people and as JSON."""

import os
import platform
import statistics
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.ingest.runs import Measured

OURS = ("isocenter-instance", "isocenter-association")


@dataclass
class Results:
    """Runs by data, associations and receiver."""

    runs: dict[tuple[str, int, str], list[Measured]] = field(default_factory=lambda: defaultdict(list))
    failures: list[str] = field(default_factory=list)

    def medians(self) -> list[dict[str, Any]]:
        """A line for each receiver, data and number of associations."""
        lines = []
        for (data, associations, receiver), runs in self.runs.items():
            keys = ("instances_per_s", "mb_per_s", "cpu_s_per_1000", "peak_rss_mb")
            figures = {key: round(statistics.median(getattr(run, key) for run in runs), 3) for key in keys}
            lines.append({"receiver": receiver, "data": data, "associations": associations, **figures})
        return lines

    def as_json(self) -> dict[str, Any]:
        return {
            "results": self.medians(),
            "failures": self.failures,
            "machine": machine(),
            "runs": [
                {"data": data, "associations": associations, "receiver": receiver, **asdict(run)}
                for (data, associations, receiver), runs in self.runs.items()
                for run in runs
            ],
        }

    def text(self) -> str:
        """Markdown: a table for each data and number of associations."""
        lines = [machine(), ""]
        for data, associations in dict.fromkeys((data, associations) for data, associations, _ in self.runs):
            lines += self._table(data, associations)
        if self.failures:
            lines += ["Failed runs, in no figure above:", *(f"- {failure}" for failure in self.failures)]
        return "\n".join(lines)

    def _table(self, data: str, associations: int) -> list[str]:
        rows = [line for line in self.medians() if (line["data"], line["associations"]) == (data, associations)]
        rows.sort(key=lambda line: -line["instances_per_s"])
        speeds = {line["receiver"]: line["instances_per_s"] for line in rows}
        ours = [name for name in OURS if name in speeds]
        lines = [
            f"### {data.upper()}, {associations} association{'s' * (associations > 1)} at a time",
            "",
            "| receiver | instances/s | range | MB/s | CPU s per 1,000 | peak RSS, MB | "
            + "".join(f"{name} ÷ it | " for name in ours) + "runs |",
            "| --- |" + " --- |" * (6 + len(ours)),
        ]  # fmt: skip
        for line in rows:
            name, runs = line["receiver"], self.runs[data, associations, line["receiver"]]
            least, most = (f(run.instances_per_s for run in runs) for f in (min, max))
            lines.append(
                f"| {name} | {line['instances_per_s']:.0f} | {least:.0f}–{most:.0f} | {line['mb_per_s']:.0f} "
                f"| {line['cpu_s_per_1000']:.2f} | {line['peak_rss_mb']:.0f} | "
                + "".join(f"{speeds[own] / speeds[name]:.2f} | " for own in ours) + f"{len(runs)} |"
            )  # fmt: skip
        return [*lines, "", f"Used by others meanwhile: {self._beside(data, associations):.0%} of the machine.", ""]

    def _beside(self, data: str, associations: int) -> float:
        return statistics.median(
            run.beside for (d, a, _), runs in self.runs.items() if (d, a) == (data, associations) for run in runs
        )


def machine() -> str:
    """What it ran on."""
    model = "processor unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    kernel = f"Linux {platform.release()}"
    return f"{platform.machine()}, {os.cpu_count()} cores ({model}), {kernel}, TCP_NODELAY=1 on both sides"
