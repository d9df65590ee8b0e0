"""Shows studies on a terminal, or as the same JSON that the API gives, and presses the buttons."""

import json
from datetime import datetime

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text
from sqlmodel import Session

from shared.store import Book, Study, actions, utc_now
from shared.store.removed import removals_view
from shared.store.view_models import (
    DeliveryView,
    GateView,
    JournalLine,
    RemovalView,
    RunView,
    ShadowView,
    StepView,
    StudyDetail,
    StudyView,
)
from shared.store.views import StudyNotFound, find_study, studies_view, study_detail
from shared.store.words import count_in_words, number_in_words

# Colours that stay apart for colour-blind eyes; a sign and a word always stand beside them.
_STATE_STYLES = {
    "delivered": "bold blue",
    "held": "bold yellow",
    "replaced": "bold yellow",
    "refused": "bright_black",
    "cancelled": "bright_black",
    "dead": "bold red",
    "retrying": "bold magenta",
    "superseded": "bright_black",
}
_VERDICTS = {"pass": ("✓", "blue"), "warn": ("!", "magenta"), "hold": ("‖", "bold yellow")}
_STEPS = {
    "done": ("●", "blue"),
    "now": ("◐", "bold cyan"),
    "retrying": ("↻", "bold magenta"),
    "ahead": ("○", "bright_black"),
    "skipped": ("–", "bright_black"),
    "held": ("‖", "bold yellow"),
    "refused": ("⊘", "bright_black"),
    "cancelled": ("⊘", "bright_black"),
    "dead": ("✕", "bold red"),
}


def show_studies(book: Book, as_json: bool, state: str = "", console: Console | None = None) -> None:
    """Lists the studies, the one with the newest image first; as JSON it is `{"studies": […]}`."""
    with book.read() as session:
        views = studies_view(session, state=[state] if state else ())
    if as_json:
        print(json.dumps({"studies": [view.model_dump(mode="json") for view in views]}, indent=2))
        return
    console = console or Console()
    console.print(studies_table(views) if views else "[dim]no studies" + (f" are {state}" if state else " yet"))


def show_study(book: Book, name: str, as_json: bool, console: Console | None = None) -> bool:
    """Tells all about the study with that UID or accession number; False when there is none."""
    console = console or Console()
    try:
        with book.read() as session:
            detail = study_detail(session, find_study(session, name))
    except StudyNotFound as error:
        Console(stderr=True).print(escape(str(error)), highlight=False)
        return False
    if as_json:
        print(json.dumps(detail.model_dump(mode="json"), indent=2))
    else:
        console.print(study_page(detail))
    return True


def press(book: Book, button: str, name: str, actor: str, who: str = "", why: str = "") -> str:
    """Presses complete, replay, cancel or release on a study (replay: also a run's or delivery's id).

    Returns what is wrong, in words, or nothing.
    """

    def act(session: Session) -> Study:
        if button == "complete":
            return actions.complete(session, name, actor)
        if button == "cancel":
            return actions.cancel(session, name, actor, why)
        if button == "release":
            return actions.release(session, name, who, why, actor)
        return actions.replay(session, name, actor)

    try:
        actions.press(book, act)
    except (StudyNotFound, actions.NotPossible) as error:
        return str(error)
    return ""


def studies_table(studies: list[StudyView]) -> Table:
    """One line a study."""
    table = _table("Study", "Images", "Path", "State", "What")
    for study in studies:
        modality = "/".join(study.modalities) or "?"
        table.add_row(
            Text(study.accession_number or study.study_instance_uid[-18:], "bold", overflow="fold"),
            f"{modality} {study.instances}",
            _path(study.path),
            _state(study.state, study.activity),
            Group(*_what(study)),
        )
    return table


def _what(study: StudyView) -> list[Text]:
    lines = [Text(study.summary)]
    lines += [Text.assemble(_verdict(g.verdict), " ", g.name, _score(g)) for g in study.gates if g.verdict != "pass"]
    lines += [Text(sentence) for run in study.runs if run.kind == "reader" for sentence in run.findings_in_words]
    return lines


def study_page(study: StudyDetail) -> RenderableType:
    """All about one study."""
    parts: list[RenderableType] = [
        Text.assemble(
            (study.accession_number or "no accession number", "bold"), "  ", _state(study.state, study.activity)
        ),
        Text(study.study_instance_uid, "dim"),
        _path(study.path, named=True),
        Text(study.summary),
        Text(_facts(study), "dim"),
    ]
    for title, table in (
        ("Gates", _gates(study.gates)),
        ("Runs", _runs(study.runs)),
        ("Earlier runs", _runs(study.earlier_runs)),
        ("Shadows (compared, never sent)", _shadows(study.shadows)),
        ("Deliveries", _deliveries(study.deliveries)),
        ("Removed", removed_table(study.removed)),
        ("Journal", _journal(study.journal)),
    ):
        if table.row_count:
            parts += [Text(), Text(title, "bold underline"), table]
    return Group(*parts)


def _facts(study: StudyView) -> str:
    order = "order found" if study.order_found else "no order found"
    sender = study.calling_ae_title or "an unnamed AE"
    facts = [
        f"{count_in_words(study.instances, 'image')} in {len(study.series)} series from {sender}",
        order,
        f"last image {_when(study.times.last_instance_at)}",
    ]
    if study.conflicts:
        facts.append(f"other bytes came under known UIDs {study.conflicts} times: see the journal")
    if study.times.turnaround_seconds is not None:
        facts.append(f"settled {study.times.turnaround_seconds:.1f} s after the last image")
    return " · ".join(facts)


def _gates(gates: list[GateView]) -> Table:
    table = _table("Gate", "Series", "Verdict", "Score", "Reason")
    for gate in gates:
        series = f"…{gate.series_instance_uid[-8:]}" if gate.series_instance_uid else "study"
        table.add_row(gate.name, series, _verdict(gate.verdict), _score(gate).strip(), Text(gate.reason))
    return table


def _runs(runs: list[RunView]) -> Table:
    table = _table("Package", "State", "Findings", "Reason")
    for run in runs:
        findings = Text("\n".join(run.findings_in_words))
        table.add_row(f"{run.package} {run.version}", _state(run.state, run.activity), findings, Text(run.reason))
    return table


def _shadows(shadows: list[ShadowView]) -> Table:
    table = _table("Package", "State", "Findings", "Reason")
    for shadow in shadows:
        findings = Text("\n".join(shadow.findings_in_words))
        table.add_row(f"{shadow.package} {shadow.version}", shadow.state, findings, Text(shadow.reason))
    return table


def _deliveries(deliveries: list[DeliveryView]) -> Table:
    table = _table("Result", "To", "State", "Attempts", "Reason")
    for delivery in deliveries:
        state = _state(delivery.state, delivery.activity)
        table.add_row(delivery.kind, delivery.destination, state, str(delivery.attempts), Text(delivery.reason))
    return table


def show_removed(book: Book, as_json: bool, since: datetime | None = None, console: Console | None = None) -> None:
    """Lists what retention has removed, the newest first; as JSON it is `{"removed": […]}`."""
    with book.read() as session:
        removed = removals_view(session, since=since)
    if as_json:
        print(json.dumps({"removed": [one.model_dump(mode="json") for one in removed]}, indent=2))
        return
    (console or Console()).print(removed_table(removed) if removed else "[dim]nothing has been removed")


def removed_table(removed: list[RemovalView]) -> Table:
    """One line a removal."""
    table = _table("When", "Removed", "Count", "MB", "Rule", "Study")
    for one in removed:
        what = one.what if one.finished_at else f"{one.what} (under way)"
        size = f"{one.size / 1e6:.1f}"
        table.add_row(_when(one.at), what, str(one.count), size, Text(one.rule), Text(one.study_instance_uid))
    return table


def _journal(lines: list[JournalLine]) -> Table:
    table = _table("When", "What", "Event", "By", "Reason")
    for line in lines:
        event = f"{line.event} → {line.state}" if line.state else line.event
        table.add_row(_when(line.at), Text(line.subject), event, Text(line.actor), Text(line.reason))
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for name in columns:
        wide = name in ("What", "Reason", "Findings")
        table.add_column(name, overflow="fold", ratio=1 if wide else None, no_wrap=name in ("Images", "Path", "State"))
    return table


def _state(state: str, activity: str) -> Text:
    shown = state if activity != "retrying" or state == "retrying" else f"{state}, retrying"
    return Text(shown, _STATE_STYLES.get("retrying" if activity == "retrying" else state, "cyan"))


def _verdict(verdict: str) -> Text:
    sign, style = _VERDICTS.get(verdict, ("?", ""))
    return Text(f"{sign} {verdict}", style)


def _score(gate: GateView) -> str:
    if gate.score is None:
        return ""
    return f" {number_in_words(gate.score, gate.unit)}"


def _path(steps: list[StepView], named: bool = False) -> Text:
    text = Text()
    for step in steps:
        sign, style = _STEPS[step.status]
        text.append(f"{sign} {step.stage}  " if named else sign, style)
    return text


def _when(at: datetime) -> str:
    here = at.astimezone()
    return here.strftime("%H:%M:%S" if here.date() == utc_now().astimezone().date() else "%Y-%m-%d %H:%M")
