"""Other bytes under a SOP Instance UID that is known already: which of them are read, by `[collect] duplicates`.

Usually they are corrected demographics, sent again under the same UIDs. Bytes that lie in the store never change and
never go for this: the row of the instance says which are read, a row `duplicate` tells of each of the others.
"""

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any, Literal

from sqlmodel import Session, col, select

from services.collect.handlers import StoredInstance, correct_study, instance_values, is_beside, makes_new_revision
from shared.own_results import is_own_result
from shared.store import Duplicate, Instance, Journal, Study
from shared.store.moves import move, state_of, supersede_unfinished
from shared.study import StudyEvent, StudyState

Policy = Literal["keep-first", "replace", "refuse"]

_BYTES = ("path", "size", "digest", "calling_ae_title", "received_at")
_CONTENT = (*_BYTES, "series_instance_uid", "sop_class_uid", "transfer_syntax_uid", "header")


def write_duplicates(session: Session, study: Study, others: Sequence[StoredInstance], policy: Policy) -> None:
    """Writes what `others`, whose UIDs are in the book with other bytes, change, in the order in which they came; the
    study's row is locked by the caller."""
    session.flush()
    uids = {other.header.sop_instance_uid for other in others}
    of_study = select(Instance).where(Instance.study_instance_uid == study.study_instance_uid)
    rows = session.exec(of_study.where(col(Instance.sop_instance_uid).in_(uids)))
    known = {row.sop_instance_uid: row for row in rows}
    told: dict[str, list[StoredInstance]] = {"conflict": [], "replaced": []}
    for other in sorted(others, key=lambda one: one.received_at):
        if event := _write(session, known[other.header.sop_instance_uid], other, policy):
            told[event].append(other)
    for event, ones in told.items():
        if ones:
            session.add(_line(study, event, ones))
    if replaced := [one for one in told["replaced"] if not _is_own(one.header.attributes)]:
        correct_study(study, replaced)
        reopen(session, study, f"{_count(replaced)} replaced by other bytes", replaced[0].calling_ae_title)


def _write(session: Session, row: Instance, other: StoredInstance, policy: Policy) -> str:
    """Returns what is to be told: "replaced" when the other bytes are the ones that are read from now on, "conflict"
    when they are kept beside, nothing when they were there before."""
    kept, new = session.get(Duplicate, other.path), instance_values(other)
    if other.digest == row.digest or (kept and (policy != "replace" or kept.overtaken)):
        return ""
    if not replaces(row, other, policy):
        if kept is None:
            session.add(_duplicate(row, overtaken=policy == "replace", **{name: new[name] for name in _BYTES}))
            row.conflicts += 1
            session.add(row)
        return "" if kept else "conflict"
    session.add(_duplicate(row, overtaken=True, **row.model_dump(include=set(_BYTES))))
    if kept:
        session.delete(kept)
    row.conflicts += kept is None
    for name in _CONTENT:
        setattr(row, name, new[name])
    session.add(row)
    session.flush()
    return "replaced"


def replaces(row: Instance, other: StoredInstance, policy: Policy) -> bool:
    """Whether the other bytes are read from now on.

    The file system says who came first, since only one file can take the instance's own name: two processes that write
    their rows in the other order, and a row that a crash swallowed, come to the same end. A result of our own that a
    PACS has changed on its way back never takes the place of an image.
    """
    if _is_own(other.header.attributes) and not _is_own(row.header):
        return False
    if policy != "replace":
        return _came_first(row, other)
    return not _came_first(row, other) and other.received_at >= row.received_at


def _came_first(row: Instance, other: StoredInstance) -> bool:
    """Whether `other` has the instance's own name and the row's bytes lie beside it."""
    here, there = PurePosixPath(row.path), PurePosixPath(other.path)
    return here.parent == there.parent and is_beside(here.name) and not is_beside(there.name)


def point_to_whole(session: Session, study: Study, others: Sequence[StoredInstance]) -> None:
    """Points rows to files that hold the very bytes that the rows tell of; the study's row is locked by the caller.

    They were not filed under the row's name since what lies there is something else: half a file, as a power cut leaves
    it where no sync was waited for. It stays, as bytes that are not read.
    """
    moved = []
    for other in others:
        row = session.get_one(Instance, (study.study_instance_uid, other.header.sop_instance_uid))
        if row.removed_at or row.path == other.path:
            continue
        if kept := session.get(Duplicate, other.path):
            session.delete(kept)
        if session.get(Duplicate, row.path) is None:
            session.add(_duplicate(row, overtaken=True, **row.model_dump(include=set(_BYTES))))
        row.path, row.size = other.path, other.size
        session.add(row)
        session.flush()
        moved.append(other)
    if moved:
        session.add(_line(study, "mended", moved))


def reopen(session: Session, study: Study, what: str, actor: str) -> None:
    """Sends a study that is past collecting round again, since what is read of it has changed; its row is locked."""
    state = StudyState(state_of(study))
    if state is StudyState.COLLECTING:
        return
    study.revision += makes_new_revision(state)
    move(session, study, StudyEvent.INSTANCE_STORED, f"{what} after {state}", actor=actor)
    # they would read the new images too, and send results that the next ones contradict
    supersede_unfinished(session, study, "other images came while it was under way")


def _duplicate(row: Instance, **facts: Any) -> Duplicate:
    return Duplicate(study_instance_uid=row.study_instance_uid, sop_instance_uid=row.sop_instance_uid, **facts)


def _is_own(header: dict[str, object]) -> bool:
    return is_own_result(header)


def _line(study: Study, event: str, ones: Sequence[StoredInstance]) -> Journal:
    first = ones[0]
    which = f" ({first.header.sop_instance_uid}, lies as {first.path})" if len(ones) == 1 else ""
    said = {
        "replaced": f"other bytes came for {_count(ones)}{which}: they are read from now on",
        "conflict": f"other bytes came for {_count(ones)}{which}: the ones before are read, these are kept beside",
        "mended": f"the disk had damaged {_count(ones)}{which}: what was sent again is read from now on",
    }
    return Journal(
        study_instance_uid=study.study_instance_uid, subject="study", event=event, state=study.state,
        reason=said[event], actor=first.calling_ae_title,
    )  # fmt: skip


def _count(ones: Sequence[StoredInstance]) -> str:
    return f"{len(ones)} image{'s' * (len(ones) > 1)}"
