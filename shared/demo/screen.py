"""What a person sees of the demonstration: where every study is, live, and at the end what came out."""

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from shared.cli.studies import studies_table
from shared.store.view_models import StudyView

if TYPE_CHECKING:
    from shared.demo.hospital import Progress

_COLOUR = {
    "delivered": "green", "held": "yellow", "refused": "bright_black", "dead": "red", "cancelled": "red",
    "pass": "green", "warn": "yellow", "hold": "red",
}  # fmt: skip
MOST_ROWS = 24


class Screen:
    """One live screen; where standard output is no terminal, a line for each change instead."""

    def __init__(self, progress: "Progress", live: bool) -> None:
        self.progress, self.console = progress, Console(highlight=False, stderr=not live)
        self._plain = not self.console.is_terminal
        self._said: dict[str, str] = {}
        self._down: list[str] = []
        self._live = None if self._plain or not live else Live(console=self.console, refresh_per_second=4)
        if self._live:
            self._live.start()

    def update(self, views: list[StudyView]) -> None:
        """Shows where the studies are."""
        if self._live:
            self._live.update(self._render(views))
            return
        self._say("phase", self.progress.phase)
        for view in views:
            self._say(view.study_instance_uid, f"{_name(view)}: {view.state}{_because(view)}")

    def down(self, names: list[str]) -> None:
        """Says which services are down."""
        self._down = names
        if names:
            self._say("down", f"down, being started again: {', '.join(names)}")

    def _say(self, key: str, text: str) -> None:
        if self._plain and self._said.get(key) != text:
            self._said[key] = text
            self.console.print(text, soft_wrap=True, markup=False)

    def _render(self, views: list[StudyView]) -> RenderableType:
        progress = self.progress
        head = Table.grid(padding=(0, 2))
        head.add_row(Text(progress.phase, style="bold"), _bar(progress), f"{progress.sent}/{progress.files} images")
        if progress.models:
            head.add_row(Text("models", style="dim"), Text(progress.models, style="dim"))
        if progress.pushed:
            head.add_row(Text("page", style="dim"), Text(progress.page, style="cyan"))
        if self._down:
            head.add_row(Text("down", style="red"), Text(", ".join(self._down), style="red"))
        more = Text(f"… and {len(views) - MOST_ROWS} more", "dim") if len(views) > MOST_ROWS else Text()
        return Panel(
            Group(head, Text(), studies_table(views[:MOST_ROWS]), more), title="Isocenter", border_style="blue"
        )

    def results(self, views: list[StudyView], in_pacs: int, in_ris: int) -> None:
        """What came out, once everything is settled; the screen stays live below."""
        if not self._live:
            self.summary(views, in_pacs, in_ris, None)
            self.console.print(f"page: {self.progress.page} (Ctrl-C stops)")
        else:
            came = f"{in_pacs} objects in the PACS, {in_ris} messages in the RIS"
            self.progress.phase = f"all settled: {came}; Ctrl-C stops"

    def summary(self, views: list[StudyView], in_pacs: int, in_ris: int, out: Path | None) -> None:
        """What came out, at the end."""
        table = Table(title="What came out", title_justify="left", expand=True, header_style="bold")
        for column in ("study", "state", "gates", "findings", "delivered"):
            table.add_column(column, overflow="fold")
        for view in views:
            table.add_row(_name(view), _state(view), _gates(view), _findings(view), _deliveries(view))
        self.console.print(table)
        self.console.print(f"{in_pacs} objects in the PACS, {in_ris} messages in the RIS.")
        if self.progress.skipped:
            self.console.print(f"{self.progress.skipped} files below the folder are not DICOM and were skipped.")
        if self.progress.refused:
            self.console.print(f"{len(self.progress.refused)} files were not taken:")
            for refusal in self.progress.refused:
                self.console.print(f"  {refusal.file}: {refusal.reason}", markup=False, soft_wrap=True)
        if out:
            self.console.print(f"Kept in {out}: pacs/, ris/, studies.json, logs/")

    def error(self, text: str) -> None:
        self.console.print(Text(text, style="bold red"))

    def close(self, phase: str) -> None:
        self.progress.phase = phase
        if self._live:
            self._live.stop()


def _bar(progress: "Progress") -> ProgressBar:
    return ProgressBar(total=max(progress.files, 1), completed=progress.sent, width=30)


def _name(view: StudyView) -> str:
    return view.accession_number or f"…{view.study_instance_uid[-12:]}"


def _because(view: StudyView) -> str:
    return f" ({view.reason})" if view.reason else ""


def _state(view: StudyView) -> Text:
    return Text(view.state, style=_COLOUR.get(view.state, "bold"))


def _gates(view: StudyView) -> Text:
    text = Text()
    for gate in view.gates:
        score = f" {gate.score:.3f}" if gate.score is not None else ""
        text.append(f"{gate.name}{score} ").append(f"{gate.verdict}\n", style=_COLOUR.get(gate.verdict, ""))
    text.rstrip()
    return text


def _findings(view: StudyView) -> str:
    return "\n".join(words for run in view.runs for words in run.findings_in_words) or view.reason


def _deliveries(view: StudyView) -> str:
    return "\n".join(f"{d.kind} → {d.destination}: {d.state}" for d in view.deliveries)
