"""Reads from the book what a run's report rests on, and writes its deliveries into it."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from sqlalchemy import or_
from sqlmodel import Session, col, select

from services.report.facts import Predecessor, ResultObject
from services.report.identity import FLAVOURS_APART, control_id
from shared.own_results import is_own_result
from shared.result_profiles import NOTICE, PICTURE
from shared.stage import GiveUp
from shared.store import Delivery, GateResult, Instance, Journal, Order, Run, Study
from shared.store.actions import RELEASED
from shared.store.moves import enter, move, state_of, subject_of
from shared.study import DeliveryEvent, DeliveryState, RunEvent
from shared.uids import derived_uuid

SERIES_PER_RUN, RUNS_APART = 10, 100_000  # in series numbers; the second of every ten runs


@dataclass(frozen=True)
class Rows:
    """A run and what belongs to it, as the book has it."""

    run: Run
    study: Study
    order: Order | None
    first_at: datetime  # when the run was first read, held or given up
    instances: list[Instance]  # of the run's series
    gate_results: list[GateResult]  # of the study and of the run's series
    first_series_number: int
    predecessors: list[Predecessor]
    corrects: frozenset[str]
    released: str


def read_rows(session: Session, run_id: str, series_number: int, flavours: int = 1) -> Rows:
    """Everything about a run; `series_number` is where the results' series begin, of each of the `flavours`.

    The run is apart from the session, and its reason is the gates': a failed attempt overwrites the row's own.

    Raises:
        GiveUp: the run or its study is not in the book.
    """
    run = session.get(Run, run_id)
    study = session.get(Study, run.study_instance_uid) if run else None
    if run is None or study is None:
        raise GiveUp("the run is not in the book")
    session.expunge(run)
    run.reason = _reason(session, run)
    of_study = select(Instance).where(Instance.study_instance_uid == study.study_instance_uid)
    instances = session.exec(of_study.order_by(col(Instance.series_instance_uid), col(Instance.sop_instance_uid))).all()
    return Rows(
        run=run, study=study, order=session.get(Order, study.order_id) if study.order_id else None,
        first_at=_first_at(session, run),
        instances=[i for i in instances if i.series_instance_uid in run.series],
        gate_results=_gate_results(session, run),
        first_series_number=_first_series_number(session, run, instances, series_number, flavours),
        predecessors=_predecessors(session, run),
        corrects=_corrects(session, run),
        released=_released(session, run),
    )  # fmt: skip


def _reason(session: Session, run: Run) -> str:
    """The reason of the move that brought the run here."""
    query = select(Journal).where(
        Journal.study_instance_uid == run.study_instance_uid, Journal.subject == subject_of(run)
    )
    line = session.exec(query.order_by(col(Journal.id).desc()).limit(1)).first()
    return line.reason if line else run.reason


def _first_at(session: Session, run: Run) -> datetime:
    """When the run first came to its state; `read_at` is the last time, and a replay of the same UIDs would move it.

    Runs of a package on other images of the study have the same subject, so only what came after its own start counts.
    """
    query = select(Journal.at).where(
        Journal.study_instance_uid == run.study_instance_uid, Journal.subject == subject_of(run),
        Journal.state == run.state, Journal.at >= run.created_at,
    )  # fmt: skip
    return session.exec(query.order_by(col(Journal.at)).limit(1)).first() or run.created_at


def _gate_results(session: Session, run: Run) -> list[GateResult]:
    """What every gate said of the run's series; of a gate package's own run also what it said itself."""
    query = select(GateResult).where(
        GateResult.study_instance_uid == run.study_instance_uid,
        GateResult.revision == run.revision,
    )
    results = session.exec(query.order_by(col(GateResult.id))).all()
    return [r for r in results if not r.series_instance_uid or r.series_instance_uid in run.series]


def _first_series_number(session: Session, run: Run, instances: Sequence[Instance], start: int, flavours: int) -> int:
    """A place for the run's series, apart from the study's own and from other runs'.

    It is the same at every replay, also once the PACS has routed our results back to us.
    """
    taken = {i.header.get("series_number") for i in instances if not is_own_result(i.header)}
    query = select(Run.id).where(Run.study_instance_uid == run.study_instance_uid)
    runs = list(session.exec(query.order_by(col(Run.created_at), col(Run.id))).all())
    return first_series_number(start, {n for n in taken if isinstance(n, int)}, flavours, runs.index(run.id))


def first_series_number(start: int, taken: Collection[int], flavours: int, place: int) -> int:
    """Of the run at `place` (from 0) in its study: ten runs have ten numbers each, and the next ten stand far away.

    `start` moves on until no number that a run of the study may have is `taken`.
    """
    while any(number >= start and (number - start) % RUNS_APART < flavours * FLAVOURS_APART for number in taken):
        start += FLAVOURS_APART
    many, few = divmod(place, 10)
    return start + SERIES_PER_RUN * few + RUNS_APART * many


def _earlier(session: Session, run: Run) -> Iterator[Run]:
    """The runs that this one replaces, the nearest first; a package that was put back to an older version may have
    replaced its own successor."""
    seen, earlier = {run.id}, session.get(Run, run.supersedes)
    while earlier is not None and earlier.id not in seen:
        yield earlier
        seen.add(earlier.id)
        earlier = session.get(Run, earlier.supersedes)


def _arrived(session: Session, run: Run) -> Sequence[Delivery]:
    """The deliveries of a run that their destinations have, whatever became of sending them again."""
    there = (DeliveryState.DELIVERED, DeliveryState.COMMITTING)
    arrived = or_(col(Delivery.delivered_at).is_not(None), col(Delivery.state).in_(there))
    return session.exec(select(Delivery).where(Delivery.run_id == run.id, arrived)).all()


def _predecessors(session: Session, run: Run) -> list[Predecessor]:
    """The DICOM objects that this run's replace: at each destination those that arrived last. A run in between that was
    overtaken before it had a report, or whose report never arrived, is passed over. And what told that this run was
    held, or had failed."""
    found: dict[tuple[str, str], set[Predecessor]] = {}
    for earlier in _earlier(session, run):
        there = [d for d in _arrived(session, earlier) if d.kind != "ORU"]
        fresh = {(d.kind, d.destination) for d in there} - found.keys()
        for delivery in there:
            if (place := (delivery.kind, delivery.destination)) in fresh:
                found.setdefault(place, set()).add(Predecessor(delivery.kind, earlier.id, delivery.identifier))
    told = {Predecessor(d.kind, run.id, d.identifier) for d in _arrived(session, run) if d.kind == NOTICE}
    every = told.union(*found.values())
    return sorted(every, key=lambda p: (p.kind, p.sop_instance_uid))


def _corrects(session: Session, run: Run) -> frozenset[str]:
    """The destinations that accepted the results of an earlier run, which this run's replace (table 0085: C).

    A message that said only why the earlier run was held, or that never arrived, is nothing to be corrected.
    """
    return frozenset(
        delivery.destination
        for earlier in _earlier(session, run)
        for delivery in _arrived(session, earlier)
        if delivery.identifier == control_id(earlier.id, delivery.destination, "read")
    )


def _released(session: Session, run: Run) -> str:
    """Who let the run through against its gates, and why; the run's own reason is another once it was replayed."""
    if run.verdict != RELEASED:
        return ""
    query = select(Journal.reason).where(
        Journal.study_instance_uid == run.study_instance_uid, Journal.subject == subject_of(run),
        Journal.event == RunEvent.RELEASED, Journal.at >= run.created_at,
    )  # fmt: skip
    return session.exec(query.order_by(col(Journal.at).desc()).limit(1)).first() or ""


def without_told(
    session: Session, run: Run, objects: Sequence[ResultObject], held: Collection[str]
) -> list[ResultObject]:
    """The notice of a failed run for those who know nothing of the run: where its results arrived in an earlier round
    they stand, and that it failed is told once, however often it is tried. `held` are the UIDs that a notice of its
    being held may have: after that, more may be told."""
    knowing = {d.destination for d in _arrived(session, run) if d.kind != "ORU" and d.identifier not in held}
    return [replace(made, destinations=tuple(d for d in made.destinations if d not in knowing)) for made in objects]


def enter_deliveries(
    session: Session, run: Run, folder: Path, objects: Sequence[ResultObject], spares: Collection[str] = ()
) -> None:
    """One delivery for each object and destination; `folder` is where the objects lie, below the data folder, and
    `spares` are the destinations that get pictures only in place of what they don't take.

    A delivery that an earlier attempt or a replay has entered is sent again, unless it still waits.
    """
    for result in objects:
        for destination in result.destinations:
            spare = result.kind == PICTURE and destination in spares
            _enter_delivery(session, run, destination, result, (folder / result.file_name).as_posix(), spare)


def _enter_delivery(session: Session, run: Run, destination: str, result: ResultObject, path: str, spare: bool) -> None:
    key = str(derived_uuid(run.id, destination, result.identifier))
    known = session.get(Delivery, key, with_for_update=True)
    if known is None:
        new = Delivery(
            id=key, run_id=run.id, study_instance_uid=run.study_instance_uid, destination=destination,
            kind=result.kind, identifier=result.identifier, path=path, priority=run.priority,
            state=DeliveryState.SPARE if spare else DeliveryState.WAITING,
        )  # fmt: skip
        enter(session, new)
        return
    known.path, known.priority, known.removed_at = path, run.priority, None
    session.add(known)
    if state_of(known) is not DeliveryState.WAITING:
        move(session, known, DeliveryEvent.SPARED if spare else DeliveryEvent.REPLAYED, "reported again")
