"""What retention has removed, for people: the list, and why a study's images or a result are not there any more."""

from collections.abc import Sequence
from datetime import datetime

from sqlmodel import Session, col, select

from shared.own_results import is_own_result
from shared.store.tables import Delivery, Instance, Removal
from shared.store.view_models import RemovalView


def removals_view(
    session: Session, study_instance_uid: str = "", since: datetime | None = None, limit: int = 1000
) -> list[RemovalView]:
    """The last removals, the newest first; of one study, or since a time."""
    query = select(Removal)
    if study_instance_uid:
        query = query.where(Removal.study_instance_uid == study_instance_uid)
    if since:
        query = query.where(Removal.at >= since)
    rows = session.exec(query.order_by(col(Removal.at).desc(), col(Removal.id)).limit(limit))
    return [RemovalView.model_validate(row, from_attributes=True) for row in rows]


def why_no_images(session: Session, study_instance_uid: str) -> str:
    """In words, which of a study's images retention has removed and what helps; nothing when all are there."""
    query = select(Instance).where(Instance.study_instance_uid == study_instance_uid)
    return why_not_whole(session, session.exec(query).all())


def why_not_whole(session: Session, instances: Sequence[Instance]) -> str:
    """The same, of a study's instances."""
    images = [row for row in instances if not is_own_result(row.header)]
    gone = [row.removed_at for row in images if row.removed_at]
    if not gone:
        return ""
    rule = _rule(session, images[0].study_instance_uid, ("images", "record"), max(gone))
    many = "all" if len(gone) == len(images) else f"{len(gone)} of {len(images)}"
    return (
        f"{many} images of the study were removed on {max(gone):%Y-%m-%d}{rule}: "
        "have the PACS send the whole study again"
    )


def why_no_result(session: Session, delivery: Delivery) -> str:
    """In words, when and why a result object was removed and what helps; nothing when it was not."""
    if delivery.removed_at is None:
        return ""
    rule = _rule(session, delivery.study_instance_uid, ("results", "record"), delivery.removed_at)
    return f"the {delivery.kind} was removed on {delivery.removed_at:%Y-%m-%d}{rule}: replay its run to make it again"


def why_no_study(session: Session, name: str) -> str:
    """In words, when and why the whole record of a study was removed; nothing when it was not."""
    query = select(Removal).where(Removal.study_instance_uid == name, Removal.what == "record")
    row = session.exec(query.order_by(col(Removal.at).desc())).first() if name else None
    return f"the study {name} was removed on {row.at:%Y-%m-%d} by retention rule {row.rule!r}" if row else ""


def _rule(session: Session, study_instance_uid: str, whats: Sequence[str], at: datetime) -> str:
    query = select(Removal.rule).where(
        Removal.study_instance_uid == study_instance_uid, col(Removal.what).in_(whats), Removal.at == at
    )
    rule = session.exec(query).first()
    return f" by retention rule {rule!r}" if rule else ""
