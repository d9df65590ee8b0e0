"""The desk that a message comes to: read, written into the book, answered; or kept in quarantine and refused."""

import logging

from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from services.admit.handlers import ORDER_MESSAGES, admit
from services.admit.orders import record
from services.admit.quarantine import Hl7Quarantine
from services.admit.settings import Settings
from shared import metrics
from shared.hl7.acknowledgement import build_acknowledgement
from shared.hl7.message import Header, parse_message, read_header
from shared.hl7.mllp import Frame
from shared.hl7.text import Hl7Error
from shared.store import Book, Order

log = logging.getLogger(__name__)

_FAULTS = {
    "oversize": "the message is longer than {most} bytes: send a shorter one, without embedded documents",
    "outside": "bytes came outside a frame: send each message as 0x0B, message, 0x1C 0x0D",
    "cut": "the connection ended inside a frame: send the message again",
}


class Desk:
    """Answers one frame at a time; safe in several threads."""

    def __init__(self, book: Book, quarantine: Hl7Quarantine, settings: Settings) -> None:
        self._book, self._quarantine, self._settings = book, quarantine, settings

    def answer(self, frame: Frame, peer: str) -> bytes | None:
        """The ACK for a frame: AA once its orders are committed. None where nobody is there to read it."""
        header = _header_of(frame.content)
        try:
            warning = self._take(frame)
        except Hl7Error as error:
            return self._refuse(frame, header, peer, error)
        except DataError:  # a NUL, for one: asked to send it again, the RIS would do so for ever, and nothing behind it
            return self._refuse(frame, header, peer, Hl7Error(102, "a field holds what no database can store"))
        except SQLAlchemyError as error:
            log.error("order not written, the sender was asked to repeat it cause=%s", type(error).__name__)
            away = Hl7Error(207, "the order could not be written at the moment: send it again later")
            return self._acknowledge(header, away)
        return self._acknowledge(header, warning, "W")

    def _take(self, frame: Frame) -> Hl7Error | None:
        """Commits the frame's orders; returns the warning that the sender should see, if any."""
        if frame.fault:
            raise Hl7Error(100, _FAULTS[frame.fault].format(most=self._settings.most_bytes))
        message = parse_message(frame.content, self._settings.undeclared_character_set)
        admission = admit(message, self._settings)
        for order in self._write(admission.orders):
            metrics.ORDERS.labels(order.order_control).inc()
            log.info("order written order_control=%s", order.order_control)
        return admission.warning

    def _write(self, orders: list[Order]) -> list[Order]:
        fresh = [order.model_dump(exclude={"id"}) for order in orders]
        try:
            with self._book.write() as session:
                return record(session, orders)
        except IntegrityError:  # another sender wrote the same new order in this moment: now it is an update
            with self._book.write() as session:
                return record(session, [Order(**facts) for facts in fresh])

    def _refuse(self, frame: Frame, header: Header | None, peer: str, error: Hl7Error) -> bytes | None:
        log.warning("refused peer=%s answer=%s code=%d place=%s", peer, error.answer, error.code, error.location)
        try:
            self._quarantine.keep(frame.content, peer, error)
        except (SQLAlchemyError, OSError) as fault:
            log.error("quarantine not written cause=%s", type(fault).__name__)
        return None if frame.fault == "cut" else self._acknowledge(header, error)

    def _acknowledge(self, header: Header | None, error: Hl7Error | None, severity: str = "E") -> bytes:
        kind = header.message_type if header and header.message_type in ORDER_MESSAGES else "other"
        metrics.HL7_MESSAGES.labels(kind, error.answer if error and severity == "E" else "AA").inc()
        return build_acknowledgement(header, error, severity)


def _header_of(content: bytes) -> Header | None:
    try:
        return read_header(content)
    except Hl7Error:
        return None
