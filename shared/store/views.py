"""Reads the book for people: the one view of a study, for the API, the page and the command line."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TypeVar

import sqlalchemy
from sqlalchemy import func, or_
from sqlmodel import Session, col, select

from shared.store.circuits import Circuit, Key, marked_circuits, why_it_waits
from shared.store.journey import journey
from shared.store.removed import removals_view, why_no_study
from shared.store.tables import Delivery, GateResult, Instance, Journal, Leased, Run, Study, utc_now
from shared.store.version_tables import ShadowRun
from shared.store.view_models import (
    Activity,
    DeliveryView,
    GateView,
    InstanceScoreView,
    JournalLine,
    RunView,
    SeriesView,
    ShadowView,
    StudyDetail,
    StudyView,
    TimesView,
)
from shared.store.words import findings_in_words, summary_of
from shared.study import DELIVERY_ENDED, RUN_ENDED, SETTLED, DeliveryState, RunState

_AT_ONCE = 500  # studies whose rows are read by one query; SQLite bounds the number of parameters
JOURNAL_LINES = 200

T = TypeVar("T", Run, GateResult, Delivery)


class StudyNotFound(LookupError):
    """No study in the book answers to the name."""


class SeveralStudies(StudyNotFound):
    """More than one study carries the accession number."""


def find_study(session: Session, name: str, for_update: bool = False) -> Study:
    """The study of a Study Instance UID or an accession number.

    Raises:
        StudyNotFound: there is none.
        SeveralStudies: they share the accession number.
    """
    study = session.get(Study, name, with_for_update=for_update or None)
    if study is not None:
        return study
    query = select(Study).where(Study.accession_number == name).limit(10) if name else None
    found = session.exec(query.with_for_update() if for_update else query).all() if query is not None else []
    if not found:
        raise StudyNotFound(why_no_study(session, name) or f"no study has the UID or accession number {name!r}")
    if len(found) > 1:
        uids = ", ".join(study.study_instance_uid for study in found)
        raise SeveralStudies(f"several studies have the accession number {name!r}; give the UID of one: {uids}")
    return found[0]


def study_view(session: Session, study: Study) -> StudyView:
    """The view of one study."""
    return _views(session, [study])[0]


def study_detail(session: Session, study: Study, journal_lines: int = JOURNAL_LINES) -> StudyDetail:
    """The view of one study with its last journal lines."""
    lines = journal_view(session, study.study_instance_uid, journal_lines)
    removed = removals_view(session, study.study_instance_uid)
    view = study_view(session, study).model_dump()
    return StudyDetail(**view, journal=lines, removed=removed, shadows=_shadows(session, study))


def _shadows(session: Session, study: Study) -> list[ShadowView]:
    query = select(ShadowRun).where(ShadowRun.study_instance_uid == study.study_instance_uid)
    return [
        ShadowView(
            run_id=row.run_id, package=row.package, version=row.version, state=row.state, reason=row.reason,
            differs=row.differs, findings_in_words=findings_in_words(row.findings),
        )
        for row in session.exec(query.order_by(col(ShadowRun.created_at)))
    ]  # fmt: skip


def journal_view(session: Session, study_instance_uid: str, limit: int = JOURNAL_LINES) -> list[JournalLine]:
    """The study's last journal lines, oldest first."""
    query = select(Journal).where(Journal.study_instance_uid == study_instance_uid)
    rows = session.exec(query.order_by(col(Journal.id).desc()).limit(limit)).all()
    return [JournalLine.model_validate(row, from_attributes=True) for row in reversed(rows)]


def studies_view(
    session: Session, *, state: Sequence[str] = (), since: datetime | None = None, q: str = "",
    limit: int | None = None, offset: int = 0,
) -> list[StudyView]:  # fmt: skip
    """Views of the studies that pass every filter, the one with the newest image first.

    `since` asks for a new image or a move at or after it; `q` is the start of an accession number or of a UID.
    """
    query = select(Study)
    if state:
        query = query.where(col(Study.state).in_(state))
    if since:
        query = query.where(or_(col(Study.last_instance_at) >= since, col(Study.waiting_since) >= since))
    if q:
        starts = (col(c).startswith(q, autoescape=True) for c in (Study.accession_number, Study.study_instance_uid))
        query = query.where(or_(*starts))
    query = query.order_by(col(Study.last_instance_at).desc(), col(Study.study_instance_uid)).offset(offset)
    return _views(session, session.exec(query.limit(limit) if limit is not None else query).all())


def views_of(session: Session, study_instance_uids: Sequence[str]) -> list[StudyView]:
    """Views of the named studies that are in the book."""
    return _views(
        session, session.exec(select(Study).where(col(Study.study_instance_uid).in_(study_instance_uids))).all()
    )


def _views(session: Session, studies: Sequence[Study]) -> list[StudyView]:
    views: list[StudyView] = []
    for start in range(0, len(studies), _AT_ONCE):
        views += _views_at_once(session, studies[start : start + _AT_ONCE])
    return views


def _views_at_once(session: Session, studies: Sequence[Study]) -> list[StudyView]:
    """Six queries, however many studies."""
    uids = [study.study_instance_uid for study in studies]
    runs = _by_study(session.exec(
        select(Run).where(col(Run.study_instance_uid).in_(uids)).order_by(col(Run.created_at), col(Run.package))
    ))  # fmt: skip
    gates = _by_study(session.exec(
        select(GateResult).where(col(GateResult.study_instance_uid).in_(uids)).order_by(col(GateResult.id))
    ))  # fmt: skip
    deliveries = _by_study(session.exec(
        select(Delivery).where(col(Delivery.study_instance_uid).in_(uids))
        .order_by(col(Delivery.created_at), col(Delivery.destination), col(Delivery.kind))
    ))  # fmt: skip
    series = _series(session, uids)
    now, circuits = utc_now(), marked_circuits(session)
    return [
        _view(s, runs[u], gates[u], deliveries[u], series[u], now, circuits) for s, u in zip(studies, uids, strict=True)
    ]


def _by_study(rows: Iterable[T]) -> dict[str, list[T]]:
    found: dict[str, list[T]] = defaultdict(list)
    for row in rows:
        found[row.study_instance_uid].append(row)
    return found


def _series(session: Session, uids: Sequence[str]) -> dict[str, list[SeriesView]]:
    modality = func.max(col(Instance.header)["modality"].as_string())
    study, series = col(Instance.study_instance_uid), col(Instance.series_instance_uid)
    query = (
        sqlalchemy.select(study, series, modality, func.count(), func.sum(col(Instance.conflicts)))
        .where(study.in_(uids))
        .group_by(study, series)
        .order_by(func.min(Instance.received_at), series)
    )
    found: dict[str, list[SeriesView]] = defaultdict(list)
    for study_uid, series_uid, name, count, conflicts in session.execute(query):
        found[study_uid].append(
            SeriesView(series_instance_uid=series_uid, modality=name or "", instances=count, conflicts=conflicts)
        )
    return found


def _view(
    study: Study, runs: list[Run], gates: list[GateResult], deliveries: list[Delivery], series: list[SeriesView],
    now: datetime, circuits: dict[Key, Circuit],
) -> StudyView:  # fmt: skip
    current = [run for run in runs if run.revision == study.revision and run.state != RunState.SUPERSEDED]
    packages = {run.id: run.package for run in current}
    on_their_way = [d for d in deliveries if d.run_id in packages and d.state != DeliveryState.SPARE]
    retrying = any(_activity(row, now) == "retrying" for row in [study, *current, *on_their_way])
    view = StudyView(
        study_instance_uid=study.study_instance_uid, accession_number=study.accession_number, state=study.state,
        reason=study.reason, gates=_gate_views(gates, study.revision),
        runs=[_run_view(run, now, circuits) for run in current],
        deliveries=[_delivery_view(d, packages[d.run_id], now) for d in on_their_way], times=_times(study),
        summary="", activity=_activity(study, now), path=journey(study, current, on_their_way, retrying),
        revision=study.revision, priority=study.priority, calling_ae_title=study.calling_ae_title,
        order_found=study.order_id is not None, instances=sum(s.instances for s in series),
        conflicts=sum(s.conflicts for s in series),
        modalities=sorted({s.modality for s in series if s.modality}), series=series,
        earlier_runs=[_run_view(run, now, {}) for run in runs if run not in current],
    )  # fmt: skip
    return view.model_copy(update={"summary": summary_of(view)})


def _activity(row: Leased, now: datetime) -> Activity:
    """What happens to the row: a claim counts as an attempt, so a first attempt under way is not yet a retry."""
    if row.lease_until is not None and row.lease_until >= now:
        return "running"
    state = getattr(row, "state", "")
    return "retrying" if row.attempts and state not in SETTLED | RUN_ENDED | DELIVERY_ENDED else ""


def _gate_views(gates: list[GateResult], revision: int) -> list[GateView]:
    """The gates' last word of this revision, a replay's replacing the one before."""
    last = {(g.name, g.series_instance_uid): g for g in gates if g.revision == revision}
    return [
        GateView(
            name=g.name, version=g.version, series_instance_uid=g.series_instance_uid, score=g.score, unit=g.unit,
            verdict=g.verdict, reason=g.reason,
            instances=[InstanceScoreView.model_validate(instance) for instance in g.instances],
        )
        for g in last.values()
    ]  # fmt: skip


def _run_view(run: Run, now: datetime, circuits: dict[Key, Circuit]) -> RunView:
    return RunView(
        **run.model_dump(include=set(RunView.model_fields)),
        activity=_activity(run, now),
        waits=why_it_waits(run, circuits),
        findings_in_words=findings_in_words(run.findings),
    )


def _delivery_view(delivery: Delivery, package: str, now: datetime) -> DeliveryView:
    facts = delivery.model_dump(include=set(DeliveryView.model_fields))
    activity = _activity(delivery, now)
    under_way = 1 if activity == "running" else 0
    if delivery.state not in DELIVERY_ENDED and delivery.attempts - under_way > 0:
        facts["state"] = "retrying"
    return DeliveryView(**facts, package=package, activity=activity)


def _times(study: Study) -> TimesView:
    first, last, settled = study.first_instance_at, study.last_instance_at, study.settled_at
    return TimesView(
        first_instance_at=first, last_instance_at=last, completed_at=study.completed_at, settled_at=settled,
        collecting_seconds=round((last - first).total_seconds(), 3),
        turnaround_seconds=round((settled - last).total_seconds(), 3) if settled else None,
    )  # fmt: skip
