"""Images that retention has removed and that a sender brings again."""

from collections.abc import Sequence

from sqlmodel import Session, col, select

from services.collect.handlers import StoredInstance, complete_study, instance_values, to_be_read
from services.collect.store.duplicates import reopen
from shared.store import Instance, Study


def write_returned(session: Session, study: Study, stored: Sequence[StoredInstance]) -> None:
    """Marks removed images as there again whose files have come again; the study's row is locked by the caller.

    The study is collected anew: it is whole when all that was removed has come again. Where the same bytes were found
    in their place, the file is older than this moment and may be the one that retention takes away: it says nothing.
    """
    removed = _removed(session, study, {one.header.sop_instance_uid for one in stored})
    back = [one for one in stored if one.header.sop_instance_uid in removed and not one.known]
    for one in back:
        row = removed[one.header.sop_instance_uid]
        for name, value in instance_values(one).items():
            setattr(row, name, value)
        row.removed_at = None
        session.add(row)
    if read := to_be_read(back):
        complete_study(study, read)
        session.add(study)
        what = f"{len(read)} image{'s' * (len(read) > 1)} that had been removed came again"
        reopen(session, study, what, read[0].calling_ae_title)
    session.flush()


def _removed(session: Session, study: Study, uids: set[str]) -> dict[str, Instance]:
    query = select(Instance).where(
        Instance.study_instance_uid == study.study_instance_uid,
        col(Instance.sop_instance_uid).in_(uids),
        col(Instance.removed_at).is_not(None),
    )
    return {row.sop_instance_uid: row for row in session.exec(query)}
