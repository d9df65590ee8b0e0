"""Writes admitted orders into the book, each once however often its message comes."""

from collections.abc import Sequence

from sqlalchemy import or_
from sqlmodel import Session, col, select

from services.admit.handlers import STATUS
from shared.store import Order

_UPDATED = (
    "patient_id", "placer_order_number", "filler_order_number", "study_instance_uid", "requested_procedure",
    "scheduled_at", "character_set",
)  # fmt: skip


def record(session: Session, orders: list[Order]) -> list[Order]:
    """Inserts or updates each order by its accession number; returns those that brought something new.

    The same message again (MSH-10 and content) brings nothing. An update leaves alone what it does not speak of; a
    cancelled order stays cancelled under a status message, and lives again under a new order.
    """
    changed = []
    for order in sorted(orders, key=lambda o: o.accession_number):  # one locking order: two senders can't block
        known = _known(session, order)
        fresh = [row for row in known if not _says_the_same(row, order)]
        for row in fresh:
            _update(row, order)
            session.add(row)
        if not known:
            session.add(order)
        if fresh or not known:
            changed.append(order)
    return changed


def _known(session: Session, order: Order) -> Sequence[Order]:
    """The order's row; or, where the message gives only the order's numbers (a cancellation often does), the patient's
    rows that have them."""
    by_accession = select(Order).where(Order.accession_number == order.accession_number).with_for_update()
    if found := session.exec(by_accession).all():
        return found
    if order.accession_number not in (order.filler_order_number, order.placer_order_number):
        return []
    numbers = [
        column == value
        for column, value in (
            (col(Order.filler_order_number), order.filler_order_number),
            (col(Order.placer_order_number), order.placer_order_number),
        )
        if value
    ]
    same = select(Order).where(Order.patient_id == order.patient_id, or_(*numbers))
    return session.exec(same.order_by(Order.accession_number).with_for_update()).all()


def _says_the_same(known: Order, order: Order) -> bool:
    same = all(known.segments.get(name) == text for name, text in order.segments.items())
    return same and known.message_control_id == order.message_control_id


def _update(known: Order, order: Order) -> None:
    for name in _UPDATED:
        if value := getattr(order, name):
            setattr(known, name, value)
    if order.order_control not in STATUS:
        known.order_control = order.order_control
        known.priority = order.priority if "OBR" in order.segments else known.priority
    known.message_control_id, known.received_at = order.message_control_id, order.received_at
    known.segments = {**known.segments, **order.segments}
