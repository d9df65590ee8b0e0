"""send's HL7 wire: one message on one connection, sent only on the peer's acknowledgement of it."""

from pathlib import Path

from services.send.handlers import Unreachable, read_answer
from shared.hl7.acknowledgement import read_acknowledgement
from shared.hl7.message import read_header
from shared.hl7.mllp import NoAnswer, send_message
from shared.hl7.text import Hl7Error
from shared.settings import Destination
from shared.stage import GiveUp, Retry


def send(path: Path, destination: Destination) -> str:
    """Sends the message; returns the peer's remark, if any.

    The connection is closed in every case, so that a late answer can't be taken for another message's.

    Raises:
        Unreachable: the peer can't be reached, or does not answer in time.
        Retry, Refused: the answer is no acceptance of this message.
        GiveUp: the file is gone or no HL7 message.
    """
    try:
        message = path.read_bytes()
        control_id = read_header(message).control_id
    except FileNotFoundError:
        raise GiveUp("the message's file is gone: replay the run, which makes it again") from None
    except Hl7Error as error:
        raise GiveUp(f"the message's file can't be read ({error}): replay the run") from None
    try:
        answer = send_message(destination.host, destination.port, message, destination.timeout_seconds)
    except NoAnswer as error:
        raise Unreachable(str(error)) from None
    try:
        return read_answer(read_acknowledgement(answer), control_id)
    except Hl7Error as error:
        raise Retry(f"the answer is no acknowledgement: {error}") from None
