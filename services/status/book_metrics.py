"""Counts the book for Prometheus: studies, runs and deliveries by state, the longest wait, the turnaround."""

import threading
from collections import Counter
from datetime import timedelta

import sqlalchemy
from sqlalchemy import func
from sqlmodel import Session, col, select

from services.status.handlers import age_seconds, median_turnaround
from shared import metrics
from shared.packages.installed import Installed
from shared.store import Book, Commitment, Delivery, Run, ShadowRun, Study, utc_now
from shared.store.circuits import open_circuits
from shared.study import BELLS, CommitmentState, DeliveryState, RunState, ShadowState, State, StudyState
from shared.versions.choice import waiting_versions

_RECENT = timedelta(hours=1)
_OF_SHADOWS = timedelta(days=7)
_TABLES: dict[type, type[Study] | type[Run] | type[Delivery]] = {
    StudyState: Study,
    RunState: Run,
    DeliveryState: Delivery,
}
_lock = threading.Lock()  # two scrapes at once would see half-filled gauges


def scrape(book: Book, installed: Installed) -> bytes:
    """Every metric of this process, the book's gauges fresh, in Prometheus' text format."""
    from prometheus_client import generate_latest

    with _lock:
        with book.read() as session:
            _studies(session)
            _runs_and_deliveries(session)
            _shadows(session)
            _waiting(session)
            _packages(session)
            _versions(session, installed)
            _commitments(session)
            _turnaround(session)
        return generate_latest()


def _studies(session: Session) -> None:
    counts = dict.fromkeys([str(s) for s in StudyState], 0)
    counts |= dict(session.exec(select(Study.state, func.count()).group_by(Study.state)).all())
    for state, count in counts.items():
        metrics.STUDIES.labels(state).set(count)


def _runs_and_deliveries(session: Session) -> None:
    metrics.RUNS.clear()
    query = select(Run.package, Run.version, Run.state, func.count()).group_by(Run.package, Run.version, Run.state)
    for package, version, state, count in session.exec(query):
        metrics.RUNS.labels(package, version, state).set(count)
    metrics.DELIVERIES.clear()
    deliveries = select(Delivery.destination, Delivery.state, func.count()).group_by(
        Delivery.destination, Delivery.state
    )
    for destination, state, count in session.exec(deliveries):
        metrics.DELIVERIES.labels(destination, state).set(count)


def _shadows(session: Session) -> None:
    metrics.SHADOWS.clear()
    columns = (col(ShadowRun.package), col(ShadowRun.version), col(ShadowRun.state), col(ShadowRun.differs))
    recent = sqlalchemy.select(*columns, func.count()).where(col(ShadowRun.created_at) >= utc_now() - _OF_SHADOWS)
    counts: Counter[tuple[str, str, str]] = Counter()
    for package, version, state, differs, count in session.execute(recent.group_by(*columns)):
        counts[package, version, state if state != ShadowState.READ else "differs" if differs else "agrees"] += count
    for labels, count in counts.items():
        metrics.SHADOWS.labels(*labels).set(count)


def _waiting(session: Session) -> None:
    now = utc_now()
    stages: dict[str, list[State]] = {}
    for state, stage in BELLS.items():
        if state is DeliveryState.COMMITTING:  # it waits for its destination, not for us: see below
            continue
        stages.setdefault(stage, []).append(state)
    for stage, states in stages.items():
        table = _TABLES[type(states[0])]
        oldest = session.scalar(select(func.min(col(table.waiting_since))).where(col(table.state).in_(states)))
        metrics.OLDEST_WAITING_SECONDS.labels(stage).set(age_seconds(oldest, now))


def _packages(session: Session) -> None:
    metrics.PACKAGE_FAILURES.clear()
    for key, circuit in open_circuits(session).items():
        metrics.PACKAGE_FAILURES.labels(*key).set(circuit.times)


def _versions(session: Session, installed: Installed) -> None:
    metrics.VERSION_WAITS.clear()
    for name in installed.names():
        for version in waiting_versions(session, installed, name):
            metrics.VERSION_WAITS.labels(name, version).set(1)


def _commitments(session: Session) -> None:
    """What senders asked of us, and what destinations owe us an answer on."""
    counts = dict.fromkeys([str(s) for s in CommitmentState], 0)
    counts |= dict(session.exec(select(Commitment.state, func.count()).group_by(Commitment.state)).all())
    for state, count in counts.items():
        metrics.COMMITMENTS.labels(state).set(count)
    metrics.OLDEST_UNCOMMITTED_SECONDS.clear()
    oldest = (
        select(Delivery.destination, func.min(col(Delivery.waiting_since)))
        .where(Delivery.state == DeliveryState.COMMITTING)
        .group_by(Delivery.destination)
    )
    for destination, since in session.exec(oldest):
        metrics.OLDEST_UNCOMMITTED_SECONDS.labels(destination).set(age_seconds(since, utc_now()))


def _turnaround(session: Session) -> None:
    ends = session.exec(
        select(Study.last_instance_at, Study.settled_at).where(
            col(Study.settled_at) >= utc_now() - _RECENT,
            col(Study.state).in_([StudyState.DELIVERED, StudyState.HELD]),
        )
    ).all()
    metrics.TURNAROUND_SECONDS.set(median_turnaround([(last, settled) for last, settled in ends if settled]))
