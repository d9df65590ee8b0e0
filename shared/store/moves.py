"""Moves a row: the new state, its journal line and its outbox line, in the caller's transaction."""

from collections.abc import Sequence
from datetime import timedelta

from sqlmodel import Session, col, select

from shared import metrics
from shared.events import event_of
from shared.store.clock import database_now
from shared.store.tables import Commitment, Delivery, Journal, Outbox, Run, Study, utc_now
from shared.store.version_tables import ShadowRun
from shared.study import (
    BELLS,
    DELIVERY_ENDED,
    RUN_ENDED,
    SETTLED,
    CommitmentState,
    DeliveryEvent,
    DeliveryState,
    Event,
    RunEvent,
    RunState,
    ShadowState,
    State,
    StudyEvent,
    StudyState,
    next_state,
)

# A step of priority is worth this much waiting: routine work (5) that has waited ten minutes goes before fresh STAT.
AGEING = timedelta(minutes=2)

Row = Study | Run | Delivery | Commitment | ShadowRun


def state_of(row: Row) -> State:
    """The row's state, typed."""
    if isinstance(row, Study):
        return StudyState(row.state)
    if isinstance(row, Commitment):
        return CommitmentState(row.state)
    if isinstance(row, ShadowRun):
        return ShadowState(row.state)
    return RunState(row.state) if isinstance(row, Run) else DeliveryState(row.state)


def row_id(row: Row) -> str:
    """The row's primary key."""
    return row.study_instance_uid if isinstance(row, Study) else row.id


def subject_of(row: Row) -> str:
    """What the row is, in words for the journal."""
    if isinstance(row, Study):
        return "study"
    if isinstance(row, Run):
        return f"run {row.package} {row.version}"
    if isinstance(row, Commitment):
        return "storage commitment"
    if isinstance(row, ShadowRun):
        return f"shadow {row.package} {row.version}"
    return f"delivery {row.kind} to {row.destination}"


def move(session: Session, row: Row, event: Event, reason: str = "", actor: str = "") -> None:
    """Moves `row` by `event`; rings the stage that the new state waits for.

    A commitment is of no one study: its move has no journal line of its own, and nobody outside is told of it, nor of a
    shadow's.

    Raises:
        ImpossibleMove: the event is not possible in the row's state.
    """
    state = next_state(state_of(row), event)
    now = utc_now()
    row.state, row.reason = state, reason
    row.lease_owner, row.lease_until, row.next_at = "", None, None
    row.attempts = row.attempts if state in SETTLED | RUN_ENDED | DELIVERY_ENDED else 0  # how often its end took
    row.waiting_since, row.due_at = now, now + row.priority * AGEING
    _stamp(row, event, state)
    session.add(row)
    metrics.MOVES.labels(type(row).__name__.lower(), state).inc()
    if isinstance(row, Commitment):
        return
    session.add(
        Journal(
            study_instance_uid=row.study_instance_uid, subject=subject_of(row), event=event, state=state,
            reason=reason, actor=actor, at=now,
        )
    )  # fmt: skip
    if isinstance(row, ShadowRun):
        return
    session.add(Outbox(stage=BELLS.get(state, ""), row_id=row_id(row), event=event_of(row, event, state), at=now))


def enter(session: Session, row: Row) -> None:
    """Writes a new row in its first state and rings the stage that waits for it."""
    row.due_at = row.waiting_since + row.priority * AGEING
    session.add(row)
    stage = BELLS.get(state_of(row), "")
    if stage:
        session.add(Outbox(stage=stage, row_id=row_id(row)))


def _stamp(row: Row, event: Event, state: State) -> None:
    now = utc_now()
    if isinstance(row, Study):
        row.completed_at = now if state == StudyState.WAITING else row.completed_at
        row.settled_at = now if state in SETTLED else None
    elif isinstance(row, Run):
        row.failure = row.failure if state in (RunState.FAILING, RunState.DEAD) else ""
        row.read_at = now if state == RunState.READ else row.read_at
        row.reported_at = now if state == RunState.SENDING else row.reported_at
        row.delivered_at = now if state == RunState.DELIVERED else row.delivered_at
    elif isinstance(row, Delivery) and event in (DeliveryEvent.REPLAYED, DeliveryEvent.STEPPED_IN):
        row.times_stored = 0
    elif isinstance(row, Commitment):
        row.reported_at = now if state is CommitmentState.REPORTED else row.reported_at
    elif state == DeliveryState.DELIVERED:
        row.delivered_at = now


def supersede(session: Session, run: Run, reason: str) -> None:
    """Ends a run that another takes the place of, with what it has still to send."""
    move(session, run, RunEvent.SUPERSEDED, reason)
    withdraw(session, run, "its run was superseded")


def supersede_unfinished(session: Session, study: Study, reason: str) -> None:
    """Supersedes the runs of a study that are still under way; its row is locked by the caller."""
    session.flush()
    runs = select(Run).where(Run.study_instance_uid == study.study_instance_uid).order_by(col(Run.id))
    unfinished = runs.where(col(Run.state).not_in(RUN_ENDED)).with_for_update()
    for run in session.exec(unfinished.execution_options(populate_existing=True)):
        supersede(session, run, reason)


def withdraw(session: Session, run: Run, reason: str) -> None:
    """Cancels the deliveries of a run that have failed or still wait. What is being sent at this moment, or is stored
    and waits for its destination's commitment, ends by itself: the book must say that the destination has it."""
    session.flush()
    undelivered = (DeliveryState.WAITING, DeliveryState.DEAD)
    query = select(Delivery).where(Delivery.run_id == run.id, col(Delivery.state).in_(undelivered))
    rows = query.order_by(col(Delivery.id)).with_for_update().execution_options(populate_existing=True)
    for delivery in session.exec(rows):
        if delivery.lease_until is None or delivery.lease_until < database_now(session):
            move(session, delivery, DeliveryEvent.CANCELLED, reason)


def settle(session: Session, study_instance_uid: str) -> None:
    """Ends the study's runs whose deliveries have ended, and the study when all its runs have.

    The study's row is locked first, so that of two deliveries that end at once the later one sees the other.
    A superseded run has no say: what became of it is not what became of the study.
    """
    study = session.get(Study, study_instance_uid, with_for_update=True)
    if study is None or state_of(study) is not StudyState.RUNNING:
        return
    session.flush()
    of_revision = session.exec(
        select(Run).where(Run.study_instance_uid == study_instance_uid, Run.revision == study.revision)
    ).all()
    runs = [run for run in of_revision if state_of(run) is not RunState.SUPERSEDED]
    deliveries = session.exec(
        select(Delivery)
        .where(col(Delivery.run_id).in_([run.id for run in runs]), col(Delivery.state) != DeliveryState.SPARE)
        .execution_options(populate_existing=True)
    ).all()
    for run in runs:
        _settle_run(session, run, [d for d in deliveries if d.run_id == run.id])
    if all(state_of(r) in RUN_ENDED for r in runs) and all(state_of(d) in DELIVERY_ENDED for d in deliveries):
        event, reason = _ending(runs, deliveries)
        move(session, study, event, reason)


def _settle_run(session: Session, run: Run, deliveries: Sequence[Delivery]) -> None:
    if state_of(run) is not RunState.SENDING or any(state_of(d) not in DELIVERY_ENDED for d in deliveries):
        return
    dead = [d for d in deliveries if state_of(d) is DeliveryState.DEAD]
    if dead:
        move(session, run, RunEvent.GAVE_UP, f"{dead[0].kind} to {dead[0].destination}: {dead[0].reason}")
    elif deliveries and all(state_of(d) is DeliveryState.CANCELLED for d in deliveries):
        move(session, run, RunEvent.CANCELLED, f"each of its results was cancelled: {deliveries[0].reason}")
    else:
        move(session, run, RunEvent.DELIVERED, run.reason)


def _ending(runs: Sequence[Run], deliveries: Sequence[Delivery]) -> tuple[StudyEvent, str]:
    dead: list[Run | Delivery] = [r for r in runs if state_of(r) is RunState.DEAD]
    dead += [d for d in deliveries if state_of(d) is DeliveryState.DEAD]
    if dead:
        return StudyEvent.GAVE_UP, f"{subject_of(dead[0])}: {dead[0].reason}"
    # a gate that could not judge holds nothing where its package says that it then only warns
    held = [r for r in runs if r.verdict == "hold" or (state_of(r) is RunState.HELD and r.kind != "gate")]
    if held:
        return StudyEvent.HELD, held[0].reason
    if runs and all(state_of(r) is RunState.CANCELLED for r in runs):
        return StudyEvent.CANCELLED, runs[0].reason
    return StudyEvent.DELIVERED, ""
