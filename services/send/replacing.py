"""What goes in place of an object that a destination does not take: the pictures of its run, once."""

import logging

from sqlmodel import Session, col, select

from shared.result_profiles import PICTURE
from shared.stage import GiveUp, Save
from shared.store import Delivery
from shared.store.moves import Row, move, settle, state_of
from shared.study import DeliveryEvent, DeliveryState

log = logging.getLogger(__name__)


def replaced(refusal: str, giving_up: GiveUp) -> Save:
    """Ends a delivery whose object is not taken, and sends the run's pictures to its destination.

    Both in one transaction, so that neither is without the other, and only pictures that are spare, so that none goes
    twice. Where meanwhile there is none any more that is on its way or there, the delivery is dead by `giving_up`.
    """

    def save(session: Session, row: Row) -> None:
        assert isinstance(row, Delivery)
        pictures = pictures_of(session, row, lock=True)
        if not pictures:
            move(session, row, DeliveryEvent.GAVE_UP, str(giving_up))
        for picture in pictures:
            if state_of(picture) is DeliveryState.SPARE:
                reason = f"in place of {row.kind}, which {row.destination} does not take"
                move(session, picture, DeliveryEvent.STEPPED_IN, reason)
        if pictures:
            attempts = row.attempts
            move(session, row, DeliveryEvent.REPLACED, f"replaced by {PICTURE}: {refusal}")
            row.attempts = attempts
            log.warning("not taken destination=%s kind=%s replaced_by=%s", row.destination, row.kind, PICTURE)
        settle(session, row.study_instance_uid)

    return save


def pictures_of(session: Session, row: Delivery, lock: bool = False) -> list[Delivery]:
    """The pictures of a delivery's run that its destination has, or may still get."""
    query = select(Delivery).where(
        Delivery.run_id == row.run_id, Delivery.destination == row.destination, Delivery.kind == PICTURE
    )
    query = query.order_by(col(Delivery.id)).execution_options(populate_existing=True)
    rows = session.exec(query.with_for_update() if lock else query)
    return [one for one in rows if state_of(one) not in (DeliveryState.DEAD, DeliveryState.CANCELLED)]
