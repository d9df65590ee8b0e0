"""A peer's answer in, what becomes of the delivery out: sent is sent only on the peer's own word."""

from datetime import timedelta

from shared.hl7.acknowledgement import Acknowledgement
from shared.settings import Destination
from shared.stage import GiveUp, Retry, backoff

# What a peer refuses for the object's own sake seldom changes: a few attempts, in case the peer was at fault.
MOST_REFUSALS = 3
# Any other answer that is no acceptance (AE, a wrong control ID): with the doubling delay, an hour or so.
MOST_ERRORS = 12

_MOST_WORDS = 300
_DUPLICATE = 0x0111
_WARNINGS = {0x0107, 0x0116, 0xB000, 0xB006, 0xB007}

# What a PACS says and means, with what a person can do (PS3.4 B.2.3, PS3.7 C.5).
_STORE_WORDS = {
    0xA7: "is out of resources: free space on it",
    0xA9: "says that the object does not match its SOP class",
    0xC: "can't understand the object",
    0x0110: "failed to process the object",
    0x0117: "says that the SOP instance is not valid",
    0x0122: "does not support the SOP class: allow it there",
    0x0124: "does not allow us to store: enter our AE title there",
}
# What a PACS says to a storage commitment request (PS3.7 10.1.4.1.10).
_ASK_WORDS = {
    0x0110: "failed to process the storage commitment request",
    0x0118: "does not offer storage commitment: allow it there, or set commitment = false",
    0x0122: "does not offer storage commitment: allow it there, or set commitment = false",
    0x0124: "does not allow us to ask for storage commitment: enter our AE title there, or set commitment = false",
}


class Unreachable(Retry):
    """The destination as a whole can't be used at the moment: others that wait for it need not be tried."""


class Refused(Retry):
    """The destination said no to this object."""


class NotTaken(Refused):
    """It takes no objects of this SOP class, or not as we write them: another object may stand in for this one."""


def read_store_status(status: int, comment: str = "") -> str:
    """What a C-STORE's status means; returns the remark on an accepted object, empty for plain success.

    Raises:
        Unreachable: out of resources (0xA7xx).
        NotTaken: the SOP class is not supported (0x0122), or the object does not match it (0xA9xx).
        Refused: any other failure.
    """
    said = f" ({_plain(comment)})" if comment else ""
    if status == 0x0000:
        return ""
    if status in _WARNINGS:
        return f"accepted with warning 0x{status:04X}{said}"
    if status == _DUPLICATE:
        return "the destination had it already"
    words = _STORE_WORDS.get(status) or _STORE_WORDS.get(status >> 8) or _STORE_WORDS.get(status >> 12)
    reason = f"the destination {words or 'refused the object'}: status 0x{status:04X}{said}"
    if status >> 8 == 0xA7:
        raise Unreachable(reason)
    raise (NotTaken if status == 0x0122 or status >> 8 == 0xA9 else Refused)(reason)


def read_ask_status(status: int, comment: str = "") -> None:
    """What the status of a storage commitment request means.

    Raises:
        Unreachable: resource limitation (0x0213).
        Refused: any other but success.
    """
    if status == 0x0000:
        return
    said = f" ({comment})" if comment else ""
    words = _ASK_WORDS.get(status, "refused the storage commitment request")
    raise (Unreachable if status == 0x0213 else Refused)(f"the destination {words}: status 0x{status:04X}{said}")


def read_answer(answer: Acknowledgement, control_id: str) -> str:
    """What an HL7 answer means: accepted only with MSA-1 AA (or CA) for our MSH-10; returns the peer's remark, if any.

    Raises:
        Retry: it was an answer to another message, or an error (AE, CE).
        Refused: it was a rejection (AR, CR).
    """
    text, code = _plain(answer.text), _plain(answer.code)
    said = f": {text}" if text else ""
    if answer.control_id != control_id:
        other = _plain(answer.control_id)
        raise Retry(f"the answer is for message {other!r}, not for ours {control_id!r}: counted as none")
    if answer.code in ("AA", "CA"):
        return text
    if answer.code in ("AE", "CE"):
        raise Retry(f"the destination answered {answer.code}{said}")
    if answer.code in ("AR", "CR"):
        raise Refused(f"the destination rejected the message, {answer.code}{said}")
    raise Retry(f"the destination answered {code!r}, which is no acknowledgement code{said}")


def _plain(text: str) -> str:
    """A peer's words as the book can keep them: a NUL, which no database takes, would undo an accepted delivery."""
    return "".join(c if c.isprintable() else " " for c in text[:_MOST_WORDS]).strip()


def last_word(error: Retry, attempts: int, destination: Destination) -> Retry | GiveUp:
    """The error with the time of the next attempt while attempts are left, else the giving up.

    A destination that is away comes back, and is waited for longest; what it answers with an error seldom changes.
    """
    if not error.counts:
        return error
    most = destination.most_attempts
    if isinstance(error, Refused):
        most = min(MOST_REFUSALS, most)
    elif not isinstance(error, Unreachable):
        most = min(MOST_ERRORS, most)
    if attempts >= most:
        return GiveUp(f"{error}; given up after {attempts} attempts: mend the cause and replay")
    first, longest = destination.first_retry_seconds, destination.longest_retry_seconds
    error.after = error.after or backoff(attempts, timedelta(seconds=first), timedelta(seconds=longest))
    return error
