"""Removes what a rule lets go: looked at again and written down in the transaction that takes the files away.

Order, for `kill -9` at each line: the study is locked and judged, its files are moved aside, the rows and the removal
are committed, the files are deleted, the removal is called finished. Before the commit a crash leaves files aside
without a removal (they are put back), after it a removal that is not finished (its files are deleted).
"""

import logging
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import delete as delete_rows
from sqlalchemy import func
from sqlmodel import Session, SQLModel, col, select

from shared import metrics
from shared.keeping import aside
from shared.keeping.rules import Rule
from shared.settings import Core
from shared.store import Book, Commitment, Delivery, Duplicate, Instance, Journal, Removal, Run, Study, utc_now
from shared.store.moves import state_of
from shared.study import DELIVERY_ENDED, RUN_ENDED, SETTLED, CommitmentState

log = logging.getLogger(__name__)

_CUT_SHORT = timedelta(minutes=1)  # no transaction of ours lasts that long
_NOT_OF_A_STUDY = {"removal", "orders"}  # tables that name a study and outlive it


@dataclass
class Taken:
    """What one removal takes: paths by the folder that they lie below, how many things, and their size."""

    paths: dict[Path, list[str]] = field(default_factory=dict)
    count: int = 0
    size: int = 0  # bytes


def remove_of_study(book: Book, core: Core, study_instance_uid: str, rule: Rule, early: bool = False) -> Removal | None:
    """Removes what the rule says of one study; None when the rule does not allow it, or nothing is there.

    Raises:
        OSError: the disk refuses; nothing was removed.
    """
    removal = Removal(id=str(uuid.uuid4()), study_instance_uid=study_instance_uid, what=rule.remove, rule=rule.name)
    taken = Taken()
    try:
        with book.write() as session:
            study = session.get(Study, study_instance_uid, with_for_update=True, populate_existing=True)
            if study is None or (why := why_not(session, study, rule, utc_now(), early)):
                log.debug("not removed study_instance_uid=%s cause=%s", study_instance_uid, why if study else "gone")
                return None
            _take(session, core, study, rule, removal.at, taken)
            if not taken.count:
                return None  # its marks are written all the same: it need not be looked at again
            removal.count, removal.size = taken.count, taken.size
            for root, paths in taken.paths.items():
                aside.set_aside(root, removal.id, paths)
            _write_down(session, study, rule, removal, early)
    except BaseException:
        _put_back(removal.id, taken.paths)
        raise
    finish(book, removal.id, taken.paths)
    return removal


def why_not(session: Session, study: Study, rule: Rule, now: datetime, early: bool = False) -> str:
    """Why the study may not lose anything by the rule at this moment; nothing when it may.

    The study's row is locked by the caller: all who move one of its runs or deliveries lock it first.
    """
    age = rule.age(early)
    if state_of(study) not in SETTLED or study.state not in rule.states:
        return f"it is {study.state}"
    if age is None or study.settled_at is None or now - study.settled_at < age:
        return "it was settled too short a time ago"
    uid = study.study_instance_uid
    runs = select(func.count()).where(Run.study_instance_uid == uid, col(Run.state).not_in(RUN_ENDED))
    if count := session.scalar(runs):
        return f"{count} of its runs are under way"
    deliveries = select(func.count()).where(
        Delivery.study_instance_uid == uid, col(Delivery.state).not_in(DELIVERY_ENDED)
    )
    if count := session.scalar(deliveries):
        return f"{count} of its results are not delivered"
    return "a sender waits for our word that we keep its images" if _is_asked_for(session, uid) else ""


def _is_asked_for(session: Session, study_instance_uid: str) -> bool:
    """Whether a storage commitment request (PS3.4 Annex J) that was not yet answered names an image of the study."""
    asked = session.exec(select(Commitment.references).where(Commitment.state == CommitmentState.ASKED))
    uids: set[str] = {sop_instance_uid for references in asked for _, sop_instance_uid in references}
    if not uids:
        return False
    of_study = select(Instance.sop_instance_uid).where(Instance.study_instance_uid == study_instance_uid)
    return not uids.isdisjoint(session.exec(of_study).all())


def _take(session: Session, core: Core, study: Study, rule: Rule, at: datetime, taken: Taken) -> None:
    if rule.remove in ("images", "record"):
        _take_images(session, core, study, at, taken)
    if rule.remove in ("results", "record"):
        _take_results(session, core, study, at, taken)
    taken.count += rule.remove == "record"


def _take_images(session: Session, core: Core, study: Study, at: datetime, taken: Taken) -> None:
    """Only files that a row names: an image whose row is still on its way is a late one, and stays."""
    uid = study.study_instance_uid
    kept = select(Instance).where(Instance.study_instance_uid == uid, col(Instance.removed_at).is_(None))
    rows = session.exec(kept.with_for_update()).all()
    others = session.exec(select(Duplicate).where(Duplicate.study_instance_uid == uid)).all()
    for row in rows:
        row.removed_at = at
        session.add(row)
    for other in others:
        session.delete(other)
    study.images_removed_at = at
    session.add(study)
    files = [(row.path, row.size) for row in rows] + [(row.path, row.size) for row in others]
    taken.paths[core.store_dir] = [path for path, _ in files]
    taken.count += len(files)
    taken.size += sum(size for _, size in files)


def _take_results(session: Session, core: Core, study: Study, at: datetime, taken: Taken) -> None:
    folder = core.results_dir / study.study_instance_uid
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()] if folder.is_dir() else []
    kept = select(Delivery).where(
        Delivery.study_instance_uid == study.study_instance_uid, col(Delivery.removed_at).is_(None)
    )
    for row in session.exec(kept.with_for_update()):
        if core.data_dir / row.path in files:
            row.removed_at = at
            session.add(row)
    study.results_removed_at = at
    session.add(study)
    taken.paths[core.results_dir] = [path.relative_to(core.results_dir).as_posix() for path in files]
    taken.count += len(files)
    taken.size += sum(path.stat().st_size for path in files)


def _write_down(session: Session, study: Study, rule: Rule, removal: Removal, early: bool) -> None:
    session.add(removal)
    session.flush()
    if rule.remove == "record":
        for table in reversed(SQLModel.metadata.sorted_tables):
            if "study_instance_uid" in table.c and table.name not in _NOT_OF_A_STUDY:
                session.execute(delete_rows(table).where(table.c.study_instance_uid == removal.study_instance_uid))
        session.expunge(study)
        return
    why = f"rule {rule.name!r}: {study.state} since {study.settled_at:%Y-%m-%d}"
    session.add(
        Journal(
            study_instance_uid=study.study_instance_uid, subject="study", event="removed", state=study.state,
            reason=f"{removal.what} removed ({removal.count}, {removal.size} bytes) by retention {why}"
            + (", early: room was short" if early else ""), actor="retention",
        )
    )  # fmt: skip


def finish(book: Book, removal_id: str, roots: Iterable[Path]) -> None:
    """Deletes the files of a removal that was committed, and says so in the book.

    Raises:
        OSError: the disk refuses; the removal stays unfinished and is taken up again.
    """
    for root in roots:
        aside.delete(root, removal_id)
    with book.write() as session:
        removal = session.get(Removal, removal_id, with_for_update=True)
        if removal is None or removal.finished_at:
            return
        removal.finished_at = utc_now()
        session.add(removal)
    metrics.REMOVED.labels(removal.what, removal.rule).inc(removal.count)
    metrics.REMOVED_BYTES.labels(removal.what, removal.rule).inc(removal.size)
    log.info(
        "removed what=%s study_instance_uid=%s count=%d bytes=%d rule=%r",
        removal.what, removal.study_instance_uid, removal.count, removal.size, removal.rule,
    )  # fmt: skip


def roots_of(core: Core) -> tuple[Path, ...]:
    """The folders from which something may be removed."""
    return core.store_dir, core.results_dir, core.quarantine_dir


def finish_cut_short(book: Book, core: Core) -> tuple[int, int]:
    """Finishes removals that a crash cut short, and puts back what was not committed; safe beside a running system.

    Returns how many removals were finished, and how many files were put back.
    """
    with book.read() as session:
        unfinished = session.exec(select(Removal.id).where(col(Removal.finished_at).is_(None))).all()
    finished = back = 0
    for removal_id in unfinished:
        with _refused_by_the_disk(removal_id):
            finish(book, removal_id, roots_of(core))
            finished += 1
    for root in roots_of(core):
        for folder in aside.lying_aside(root):
            with _refused_by_the_disk(folder.name):
                back += _settle_folder(book, root, folder)
    return finished, back


@contextmanager
def _refused_by_the_disk(removal_id: str) -> Iterator[None]:
    """One removal that the disk refuses keeps no other from its end; it is taken up again with the next round."""
    try:
        yield
    except OSError as error:
        log.error("a removal that was cut short can't be ended id=%s cause=%s", removal_id, error.strerror)


def _settle_folder(book: Book, root: Path, folder: Path) -> int:
    with suppress(FileNotFoundError):
        if utc_now().timestamp() - folder.stat().st_mtime < _CUT_SHORT.total_seconds():
            return 0
        with book.read() as session:
            committed = session.get(Removal, folder.name) is not None
        if committed:
            aside.delete(root, folder.name)
            return 0
        count = aside.put_back(root, folder.name)
        log.warning("a removal was cut short before it was written down: put back count=%d", count)
        return count
    return 0


def _put_back(removal_id: str, roots: Iterable[Path]) -> None:
    for root in roots:
        try:
            aside.put_back(root, removal_id)
        except OSError as error:
            log.error("not put back, it lies in %s cause=%s", aside.FOLDER, error.strerror)
