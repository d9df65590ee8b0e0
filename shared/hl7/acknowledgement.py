"""The answer to an HL7 v2 message (2.9.2, original mode): building ours with hl7apy, reading a peer's."""

import uuid
from dataclasses import dataclass
from datetime import datetime

from hl7apy.core import Message as Er7Message

from shared.hl7.message import DICTIONARIES, Header, component_of, read_header
from shared.hl7.text import Hl7Error, escape, in_standard, unescape

_OUR_VERSION = "2.5.1"
_WORDS = {
    0: "Message accepted", 100: "Segment sequence error", 101: "Required field missing", 102: "Data type error",
    103: "Table value not found", 200: "Unsupported message type", 201: "Unsupported event code",
    202: "Unsupported processing id", 203: "Unsupported version id", 207: "Application internal error",
}  # fmt: skip  # HL7 table 0357


def build_acknowledgement(header: Header | None, error: Hl7Error | None = None, severity: str = "E") -> bytes:
    """An ACK for the message with `header` (None: it had none that can be read); AA unless there is an `error`.

    With severity "W" the message is accepted (AA) and the error is a warning. From v2.5 on ERR says what is wrong
    and what to send instead; MSA-3 says it up to v2.6 (2.7 withdrew the field).
    """
    said = header.version if header else ""
    version = said if said in DICTIONARIES else _OUR_VERSION
    answer = Er7Message("ACK", version=DICTIONARIES[version])
    _write_msh(answer, header, version)
    answer.msa.msa_1 = error.answer if error and severity == "E" else "AA"
    answer.msa.msa_2 = in_standard(header.control_id, header.separators) if header else ""
    if error:
        if _before(version, "2.7"):
            answer.msa.msa_3 = escape(_ascii(error.text)[:80])
        _write_err(answer, version, error, severity)
    return (answer.to_er7().rstrip("\r") + "\r").encode("ascii", "replace")


def _write_msh(answer: Er7Message, header: Header | None, version: str) -> None:
    msh = answer.msh
    if header:
        for ours, theirs in ((3, 5), (4, 6), (5, 3), (6, 4)):
            if value := header.fields[theirs] if theirs < len(header.fields) else "":
                setattr(msh, f"msh_{ours}", in_standard(value, header.separators))
    event = header.field(9, 2) if header else ""
    msh.msh_7 = datetime.now().strftime("%Y%m%d%H%M%S")
    msh.msh_9 = "^".join(filter(None, ("ACK", event, "ACK"))) if not _before(version, "2.3.1") else "ACK"
    msh.msh_10 = uuid.uuid4().hex[:20]
    msh.msh_11 = (header.processing_id if header else "") or "P"
    msh.msh_12 = version


def _write_err(answer: Er7Message, version: str, error: Hl7Error, severity: str) -> None:
    if _before(version, "2.5"):
        place = error.location.split("^") + ["", "", ""]
        answer.err.err_1 = "^".join((*place[:3], f"{error.code}&{_WORDS[error.code]}"))
        return
    if error.location:
        answer.err.err_2 = error.location
    answer.err.err_3 = f"{error.code}^{_WORDS[error.code]}^HL70357"
    answer.err.err_4 = severity
    answer.err.err_8 = escape(_ascii(error.text)[:250])


def _before(version: str, other: str) -> bool:
    return [int(p) for p in version.split(".")] < [int(p) for p in other.split(".")]


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode("ascii")


@dataclass(frozen=True)
class Acknowledgement:
    """What a peer answered: MSA-1, MSA-2 and its words (MSA-3, ERR-8, ERR-7)."""

    code: str
    control_id: str
    text: str


def read_acknowledgement(content: bytes) -> Acknowledgement:
    """Reads a peer's answer, whatever its version.

    Raises:
        Hl7Error: it is no HL7 message, or has no MSA.
    """
    header = read_header(content)
    separators = header.separators
    text = content.decode("utf-8", "replace").replace("\n", "\r")
    rows = [line.split(separators.field) for line in text.split("\r")]
    msa = next((row for row in rows if row[0].strip() == "MSA"), None)
    if msa is None or len(msa) < 2:
        raise Hl7Error(100, "the answer has no MSA segment")
    msa += [""] * 4
    err = next((row for row in rows if row[0].strip() == "ERR"), []) + [""] * 9
    words = [component_of(value, 1, separators) for value in (msa[3], err[8], err[7])]
    said = [w for n, w in enumerate(words) if w and not any(o.startswith(w) for o in words[n + 1 :])]
    return Acknowledgement(msa[1].strip(), unescape(msa[2], separators).strip(), "; ".join(said))
