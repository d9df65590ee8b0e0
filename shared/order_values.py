"""What an order says that a model may take as a feature, by the names of shared.packages.input_tables."""

from datetime import datetime

from sqlmodel import Session

from shared.hl7.message import component_of
from shared.hl7.text import Hl7Error
from shared.imaging.features import OrderValues
from shared.order_segments import segments_of
from shared.store import Order, Study

_DAYS_A_YEAR = 365.25


def order_of(session: Session, study_instance_uid: str) -> Order | None:
    """The order that decide found for a study."""
    study = session.get(Study, study_instance_uid)
    return session.get(Order, study.order_id) if study and study.order_id is not None else None


def order_values(order: Order | None) -> OrderValues:
    """Each value as text, of a field that is there several times each; none where the order does not say it, or there
    is no order."""
    if order is None:
        return {}
    said = {
        "patient_age": [_age(order)],
        "patient_class": _codes(order, "PV1", 2),
        "patient_sex": _codes(order, "PID", 8),
        "priority": [str(order.priority)],  # 0 is STAT, 5 routine
        "reason_for_study": _codes(order, "OBR", 31),
        "requested_procedure": _codes(order, "OBR", 4),
    }
    return {name: [text for text in texts if text] for name, texts in said.items()}


def _codes(order: Order, name: str, number: int) -> list[str]:
    """The first component of each repetition of a field."""
    try:
        return [
            component_of(text, 1, segment.separators)
            for segment in segments_of(order, name)
            for text in segment.repetitions(number)
        ]
    except Hl7Error:  # it was admitted for what else it says
        return []


def _age(order: Order) -> str:
    """In years, from the date of birth (PID-7) to the day for which the study was ordered, else that of the order."""
    born = next(iter(_codes(order, "PID", 7)), "")[:8]
    that_day = (order.scheduled_at or order.received_at).astimezone().date()
    try:
        days = (that_day - datetime.strptime(born, "%Y%m%d").date()).days
    except ValueError:
        return ""
    return str(days / _DAYS_A_YEAR) if days >= 0 else ""
