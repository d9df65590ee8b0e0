"""The HL7 segments of an order, read again as they were received."""

from shared.hl7.message import Segment, read_header
from shared.store import Order


def segments_of(order: Order, name: str) -> list[Segment]:
    """Those of that name; several where several procedures were ordered.

    Raises:
        Hl7Error: the order's MSH can't be read.
    """
    separators = read_header(order.segments.get("MSH", "MSH|^~\\&").encode("utf-8")).separators
    return [Segment(line, separators, "") for line in order.segments.get(name, "").split("\r") if line]


def first_segment(order: Order, name: str) -> Segment | None:
    """The first of that name, if there is any.

    Raises:
        Hl7Error: the order's MSH can't be read.
    """
    return next(iter(segments_of(order, name)), None)
