"""Writes a decision into the book: the order that belongs to the study, its runs, and why."""

import hashlib
from collections.abc import Sequence
from itertools import groupby

from sqlmodel import Session, col, select

from services.decide.handlers import Choice, StudyFacts, refusal
from services.decide.named import Named
from services.decide.selection import SeriesFacts, series_facts
from shared.order_values import order_values
from shared.own_results import is_own_result
from shared.store import Instance, Journal, Order, Run, Study
from shared.store.moves import enter, move, state_of, supersede, withdraw
from shared.store.removed import why_no_images
from shared.study import TRANSITIONS, RunEvent, RunState, StudyEvent, StudyState
from shared.uids import derived_uuid


def find_order(session: Session, study: Study) -> Order | None:
    """The order by accession number; for a study without one, the only order for that patient on that day; else none.

    An order for another patient is not taken, whatever its number: results would go to that patient's record.
    """
    if study.accession_number:
        order = session.exec(select(Order).where(Order.accession_number == study.accession_number)).first()
        return order if order and _same_patient(order.patient_id, study.patient_id) else None
    if not (study.patient_id and study.study_date):
        return None
    orders = session.exec(select(Order).where(Order.patient_id == study.patient_id)).all()
    that_day = [
        o for o in orders if (o.scheduled_at or o.received_at).astimezone().strftime("%Y%m%d") == study.study_date
    ]
    return that_day[0] if len(that_day) == 1 else None


def _same_patient(ordered: str, shown: str) -> bool:
    """Whether two patient IDs may be one, as far as both are known; systems differ in leading zeros and case."""
    one, other = (value.strip().lstrip("0").casefold() for value in (ordered, shown))
    return not one or not other or one == other


def instances_of(session: Session, study_instance_uid: str) -> list[Instance]:
    """A study's instances, by series."""
    query = select(Instance).where(Instance.study_instance_uid == study_instance_uid)
    return list(session.exec(query.order_by(col(Instance.series_instance_uid), col(Instance.sop_instance_uid))).all())


def not_whole(session: Session, study: Study) -> str:
    """Why a part of the study must not be read as the whole: retention has removed the rest. Else nothing."""
    return why_no_images(session, study.study_instance_uid) if study.images_removed_at else ""


def study_facts(study: Study, order: Order | None, instances: Sequence[Instance]) -> StudyFacts:
    """What the rules look at."""
    series: list[SeriesFacts] = []
    images = [instance for instance in instances if not is_own_result(instance.header)]
    for uid, group in groupby(instances, key=lambda i: i.series_instance_uid):
        rows = list(group)
        classes, uids = [r.sop_class_uid for r in rows], [r.sop_instance_uid for r in rows]
        series.append(series_facts(uid, [r.header for r in rows], classes, uids))
    return StudyFacts(
        calling_ae_title=study.calling_ae_title,
        series=tuple(series),
        requested_procedure=order.requested_procedure if order else "",
        priority=order.priority if order else 5,
        patients=len({i.header["patient_id"] for i in images if i.header.get("patient_id")}),
    )


def input_digest(instances: Sequence[Instance], series: Sequence[str]) -> str:
    """SHA-256 over the digests of what a run reads: the same input gives the same run, also one that was planned when
    digests did not say their algorithm."""
    lines = sorted(
        f"{i.sop_instance_uid} {i.digest.removeprefix('sha256:')}" for i in instances if i.series_instance_uid in series
    )
    return _sha256(lines)


def named_digest(instances: Sequence[Instance], named: Sequence[Named]) -> str:
    """The same of a run that reads a study: of the images that it reads, and as what."""
    digests = {i.sop_instance_uid: i.digest.removeprefix("sha256:") for i in instances}
    return _sha256(sorted(f"{one.name} {uid} {digests[uid]}" for one in named for uid in one.images))


def _sha256(lines: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def save_decision(
    session: Session, study: Study, order: Order | None, instances: Sequence[Instance], choices: Sequence[Choice]
) -> None:
    """Runs for what was chosen, a journal line for every choice, and the study's move."""
    study.order_id = order.id if order else None
    study.accession_number = study.accession_number or (order.accession_number if order else "")
    for choice in choices:
        session.add(_line(study, choice))
    chosen = [choice for choice in choices if choice.runs]
    study.priority = min((c.priority for c in chosen), default=study.priority)
    again = _is_replayed(session, study)
    current = {_save_run(session, study, instances, order, choice, again) for choice in chosen}
    _supersede_others(session, study, current)
    if chosen:
        move(session, study, StudyEvent.CHOSEN, ", ".join(c.package.name for c in chosen))
    else:
        move(session, study, StudyEvent.REFUSED, refusal(choices))


def _line(study: Study, choice: Choice) -> Journal:
    event = "chosen" if choice.runs else "not_chosen"
    subject = f"package {choice.package.name} {choice.package.version}"
    return Journal(
        study_instance_uid=study.study_instance_uid, subject=subject, event=event, state="", reason=choice.reason
    )


def _is_replayed(session: Session, study: Study) -> bool:
    """Whether a person sent the study round again, or else late images did."""
    query = select(Journal.event).where(
        Journal.study_instance_uid == study.study_instance_uid,
        Journal.subject == "study",
        Journal.state == StudyState.WAITING,
    )
    return session.exec(query.order_by(col(Journal.id).desc())).first() == StudyEvent.REPLAYED


def _digest(instances: Sequence[Instance], order: Order | None, choice: Choice) -> str:
    """Of all that the run reads: where it takes values of the order as features, of these too."""
    digest = named_digest(instances, choice.named) if choice.named else input_digest(instances, choice.series)
    asked = choice.package.manifest.asked_of_the_order
    said = [f"{name} {text}" for name, texts in order_values(order).items() if name in asked for text in texts]
    return _sha256([digest, *sorted(said)]) if asked else digest


def _save_run(
    session: Session, study: Study, instances: Sequence[Instance], order: Order | None, choice: Choice, replayed: bool
) -> str:
    digest = _digest(instances, order, choice)
    inputs = {one.name: one.series_instance_uid for one in choice.named}
    name, version = choice.package.name, choice.package.version
    key = str(derived_uuid(study.study_instance_uid, name, version, digest))
    run = session.get(Run, key)
    if run is None:
        older = session.exec(
            select(Run)
            .where(Run.study_instance_uid == study.study_instance_uid, Run.package == name)
            .order_by(col(Run.created_at).desc())
        ).first()
        run = Run(
            id=key, study_instance_uid=study.study_instance_uid, revision=study.revision, package=name, version=version,
            kind=choice.package.manifest.package.kind, series=list(choice.series), inputs=inputs,
            input_digest=digest, priority=choice.priority, supersedes=older.id if older else "",
        )  # fmt: skip
        enter(session, run)
        return key
    run.revision, run.series, run.priority = study.revision, list(choice.series), choice.priority
    run.inputs = inputs
    # What late images did not touch was read and told of: it is not told twice.
    stands = state_of(run) in (RunState.DELIVERED, RunState.HELD) and not replayed
    if not stands and (state_of(run), RunEvent.REPLAYED) in TRANSITIONS:
        move(session, run, RunEvent.REPLAYED)
        withdraw(session, run, "its run is done again")  # report enters anew what is still wanted
    return key


def _supersede_others(session: Session, study: Study, current: set[str]) -> None:
    runs = session.exec(select(Run).where(Run.study_instance_uid == study.study_instance_uid)).all()
    for run in runs:
        if run.id not in current and (state_of(run), RunEvent.SUPERSEDED) in TRANSITIONS:
            supersede(session, run, "the study's images or the packages have changed since")
