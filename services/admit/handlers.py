"""An order message in, orders out: what of ORM^O01 and OMI^O23 becomes an `Order`, and what is an error."""

import re
from dataclasses import dataclass, field
from datetime import datetime

from services.admit.settings import Settings
from shared.hl7.message import DICTIONARIES, Header, Message, Segment, component_of
from shared.hl7.text import Hl7Error
from shared.store import Order
from shared.uids import is_valid_uid

ORDER_MESSAGES = ("ORM^O01", "OMI^O23")

# HL7 table 0119. All that ends an order is marked CA; a status change (SC, SN …) leaves the mark as it was.
CANCELS = {"CA", "OC", "DC", "OD", "CR", "DR"}
STATUS = {"SC", "SN", "NA", "OK", "UA", "HD", "RL", "OH", "OR"}
ORDERS = {"NW", "XO", "RP", "RO", "RU", "PA", "CH", "XX", "XR"}

# HL7 table 0485 and DICOM's RequestedProcedurePriority: smaller goes first.
_PRIORITIES = {
    "S": 0, "STAT": 0, "A": 2, "ASAP": 2, "P": 2, "H": 2, "HIGH": 2, "T": 2,
    "R": 5, "ROUTINE": 5, "MEDIUM": 5, "LOW": 7,
}  # fmt: skip
ROUTINE = 5

_KEPT = ("MSH", "PID", "PV1", "ORC", "TQ1", "OBR", "IPC", "ZDS")
_TIMESTAMP = re.compile(r"(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d)?(?:\.\d+)?([+-]\d{4})?$")


@dataclass
class Admission:
    """What a message brings: orders, and what its sender should know though they were taken."""

    orders: list[Order]
    warning: Hl7Error | None = None


@dataclass
class _Block:
    """The segments of one ORC, with the patient's that stand before it."""

    segments: list[Segment] = field(default_factory=list)

    def all(self, name: str) -> list[Segment]:
        return [s for s in self.segments if s.name == name]

    def first(self, name: str) -> Segment | None:
        return next(iter(self.all(name)), None)

    def read(self, name: str, number: int, component: int = 1) -> str:
        segment = self.first(name)
        return segment.field(number, component) if segment else ""


def check_header(header: Header, processing_ids: list[str]) -> None:
    """Refuses what is not an order that can be read.

    Raises:
        Hl7Error: and what to send instead.
    """
    if not header.control_id.strip():
        raise Hl7Error(101, "MSH-10 is empty: send a message control ID of your own", "MSH^1^10")
    if not header.field(9):
        raise Hl7Error(101, f"MSH-9 is empty: send {' or '.join(ORDER_MESSAGES)}", "MSH^1^9")
    if header.version not in DICTIONARIES:
        raise Hl7Error(203, f"MSH-12 {header.version!r}: versions 2.3 to 2.8.2 are read, 2.5.1 is best", "MSH^1^12")
    if header.message_type not in ORDER_MESSAGES:
        same_type = any(m.startswith(f"{header.field(9)}^") for m in ORDER_MESSAGES)
        taken = " and ".join(ORDER_MESSAGES)
        raise Hl7Error(201 if same_type else 200, f"MSH-9 {header.message_type}: {taken} are taken here", "MSH^1^9")
    if (header.processing_id or "P") not in processing_ids:
        taken = ", ".join(processing_ids)
        raise Hl7Error(202, f"MSH-11 {header.processing_id!r}: this system takes {taken}", "MSH^1^11")


def admit(message: Message, settings: Settings) -> Admission:
    """The orders in a message, one an accession number.

    Raises:
        Hl7Error: the message is refused as a whole; nothing of it is to be kept as an order.
    """
    check_header(message.header, list(settings.processing_ids))
    admission = Admission([])
    for block in _blocks(message):
        order = _order(block, message.header, settings, admission)
        same = next((o for o in admission.orders if o.accession_number == order.accession_number), None)
        if same is None:
            admission.orders.append(order)
        else:
            _join(same, order)
    return admission


def _blocks(message: Message) -> list[_Block]:
    """One block an OBR: segments between two ORC belong together, and the patient's to all that follow."""
    patient: list[Segment] = []
    groups: list[tuple[list[Segment], list[Segment]]] = []
    for segment in message.segments:
        if segment.name == "PID":
            patient = [segment]
        elif segment.name == "PV1" and not groups:
            patient = [*patient, segment]
        elif segment.name == "ORC":
            groups.append((patient, [segment]))
        elif segment.name in _KEPT and groups:
            groups[-1][1].append(segment)
    if not groups:
        raise Hl7Error(100, "there is no ORC: send ORC and OBR for each order", "ORC^1")
    head = [message.segments[0]]
    return [_Block([*head, *who, *part]) for who, what in groups for part in _one_obr_each(what)]


def _one_obr_each(segments: list[Segment]) -> list[list[Segment]]:
    """Splits an ORC with several OBR; of as many IPC as OBR each gets its own, else all get all."""
    requests = [s for s in segments if s.name == "OBR"]
    steps = [s for s in segments if s.name == "IPC"]
    if len(requests) < 2:
        return [segments]
    others = [s for s in segments if s.name not in ("OBR", "IPC")]
    paired = [[step] for step in steps] if len(steps) == len(requests) else [steps] * len(requests)
    return [[*others, request, *own] for request, own in zip(requests, paired, strict=True)]


def _order(block: _Block, header: Header, settings: Settings, admission: Admission) -> Order:
    control = _order_control(block)
    if block.first("OBR") is None and control not in CANCELS | STATUS:
        raise Hl7Error(100, "there is no OBR after ORC: send what was ordered", "OBR^1")
    return Order(
        accession_number=_accession_number(block, settings.accession_number_from),
        patient_id=_patient_id(block),
        placer_order_number=block.read("ORC", 2) or block.read("OBR", 2),
        filler_order_number=block.read("ORC", 3) or block.read("OBR", 3),
        study_instance_uid=_study_instance_uid(block, admission),
        requested_procedure=_raw(block, "OBR", 4),
        order_control=control,
        priority=_priority(block),
        scheduled_at=_scheduled_at(block),
        message_control_id=header.control_id,
        character_set=header.character_set,
        segments={name: "\r".join(s.line for s in block.all(name)) for name in _KEPT if block.first(name)},
    )


def _order_control(block: _Block) -> str:
    code, status = block.read("ORC", 1).upper(), block.read("ORC", 5).upper()
    if not code:
        raise Hl7Error(101, "ORC-1 is empty: send NW for a new order, XO for a change, CA to cancel", "ORC^1^1")
    if code in CANCELS or (code in STATUS and status in ("CA", "DC")):
        return "CA"
    if code not in ORDERS | STATUS:
        raise Hl7Error(103, f"ORC-1 {code!r} is not handled: send NW for a new order, XO, CA or SC", "ORC^1^1")
    return code


def _accession_number(block: _Block, places: list[str]) -> str:
    for place in places:
        name, number = place.split("-")
        if value := block.read(name, int(number)):
            if len(value) > 64:
                raise Hl7Error(102, f"{place} is longer than 64 characters", f"{name}^1^{number}")
            return value
    raise Hl7Error(101, "the order has no number: send the accession number in OBR-18 (or IPC-1)", "OBR^1^18")


def _patient_id(block: _Block) -> str:
    """PID-3: the first that names its assigning authority, else the first; PID-2 where PID-3 is empty (v2.3)."""
    pid = block.first("PID")
    if pid is None:
        raise Hl7Error(100, "there is no PID before ORC: send the patient", "PID^1")
    marks = pid.separators
    identifiers = [(component_of(cx, 1, marks), component_of(cx, 4, marks)) for cx in pid.repetitions(3)]
    named = [value for value, authority in identifiers if value and authority]
    plain = [value for value, _ in identifiers if value]
    found = [*named, *plain, pid.field(2)][0]
    if not found:
        raise Hl7Error(101, "PID-3 is empty: send the patient's ID", "PID^1^3")
    if len(found) > 255:
        raise Hl7Error(102, "PID-3.1 is longer than 255 characters", "PID^1^3")
    return found


def _study_instance_uid(block: _Block, admission: Admission) -> str:
    """IPC-3 or ZDS-1; one that is no UID is left out, with a warning: the accession number still finds the study."""
    for name, number in (("IPC", 3), ("ZDS", 1)):
        if uid := block.read(name, number):
            if is_valid_uid(uid):
                return uid
            admission.warning = Hl7Error(
                102, f"{name}-{number} is no UID and was left out: send digits and dots only", f"{name}^1^{number}"
            )
    return ""


def _priority(block: _Block) -> int:
    for name, number, component in (("TQ1", 9, 1), ("OBR", 27, 6), ("ORC", 7, 6), ("OBR", 5, 1)):
        if value := block.read(name, number, component).upper():
            return _PRIORITIES.get(value, ROUTINE)
    return ROUTINE


def _scheduled_at(block: _Block) -> datetime | None:
    for name, number, component in (("TQ1", 7, 1), ("ORC", 7, 4), ("OBR", 36, 1), ("OBR", 27, 4), ("OBR", 6, 1)):
        if when := read_timestamp(block.read(name, number, component)):
            return when
    return None


def read_timestamp(value: str) -> datetime | None:
    """An HL7 time of at least a day's precision; without a zone it is this machine's. None where it is none."""
    match = _TIMESTAMP.fullmatch(value)
    if not match or not match[3]:
        return None
    parts = [int(match[n] or 0) for n in range(1, 7)]
    try:
        when = datetime(*parts)  # type: ignore[arg-type]
        zone = datetime.strptime(match[7], "%z").tzinfo if match[7] else None
        return when.replace(tzinfo=zone) if zone else when.astimezone()
    except (ValueError, OverflowError):
        return None


def _raw(block: _Block, name: str, number: int) -> str:
    segment = block.first(name)
    return segment.raw(number) if segment else ""


def _join(order: Order, other: Order) -> None:
    """Several procedures under one accession number are one order, as urgent as the most urgent of them."""
    procedures = [order.requested_procedure, other.requested_procedure]
    order.requested_procedure = "~".join(dict.fromkeys(filter(None, procedures)))
    order.priority = min(order.priority, other.priority)
    order.study_instance_uid = order.study_instance_uid or other.study_instance_uid
    for name in ("ORC", "TQ1", "OBR", "IPC", "ZDS"):
        lines = [order.segments.get(name, ""), other.segments.get(name, "")]
        if joined := "\r".join(dict.fromkeys(filter(None, lines))):
            order.segments[name] = joined
