"""An HL7 v2 message as received: its header, its segments, and their fields by position, read with hl7apy."""

import re
from dataclasses import dataclass
from functools import cached_property

from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.exceptions import HL7apyException, InvalidName
from hl7apy.parser import parse_segment

from shared.hl7.text import STANDARD, Hl7Error, Separators, decode, unescape

# What admit understands, and the hl7apy dictionary that reads it (hl7apy has none for 2.7.1).
DICTIONARIES = {v: v for v in ("2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.8", "2.8.1", "2.8.2")} | {
    "2.7.1": "2.7"
}
_NEWEST = "2.8.2"

# hl7apy makes objects of every part, some thousand a second: a segment with more parts is a fault or an attack.
MOST_PARTS = 2000
# The same holds for a whole message: an order has some hundred parts, and its sender waits for the answer.
MOST_SEGMENTS, MOST_PARTS_IN_ALL = 1000, 10_000

_SEGMENT_ID = re.compile(r"[A-Z][A-Z0-9]{2}$")


@dataclass(frozen=True)
class Header:
    """MSH, read so leniently that whatever has one can be answered."""

    separators: Separators
    fields: tuple[str, ...]  # fields[n] is MSH-n as received; fields[0] is "MSH"

    def field(self, number: int, component: int = 1) -> str:
        """MSH-`number`, one component of it, without outer spaces; empty where there is none."""
        value = self.fields[number] if number < len(self.fields) else ""
        parts = value.split(self.separators.component)
        return parts[component - 1].strip() if component <= len(parts) else ""

    @property
    def sending_facility(self) -> str:
        return self.fields[4] if len(self.fields) > 4 else ""

    @property
    def message_type(self) -> str:
        """`ORM^O01`: MSH-9.1 and MSH-9.2."""
        return f"{self.field(9)}^{self.field(9, 2)}"

    @property
    def control_id(self) -> str:
        """MSH-10 as received: an answer repeats it to the letter."""
        return self.fields[10] if len(self.fields) > 10 else ""

    @property
    def processing_id(self) -> str:
        return self.field(11)

    @property
    def version(self) -> str:
        return self.field(12)

    @property
    def character_set(self) -> str:
        """MSH-18 with all its repetitions."""
        return self.fields[18].strip() if len(self.fields) > 18 else ""


def read_header(content: bytes) -> Header:
    """MSH of whatever bytes came.

    Raises:
        Hl7Error: they don't start with an MSH segment, or its MSH-1 and MSH-2 are no separators.
    """
    start = content.lstrip(b"\xef\xbb\xbf \t\r\n\x0b")
    line = re.split(rb"[\r\n]", start, maxsplit=1)[0].decode("latin-1")
    if not line.startswith("MSH") or len(line) < 4:
        raise Hl7Error(100, "the message must start with an MSH segment")
    separator = line[3]
    encoding = line[4:].split(separator)[0]
    marks = separator + encoding[:4]
    if len(encoding) not in (4, 5) or len(set(marks)) < 5 or any(c.isalnum() or ord(c) < 0x20 for c in marks):
        raise Hl7Error(
            102, "MSH-1 and MSH-2 must be five different separators: send MSH|^~\\& unless agreed otherwise", "MSH^1^2"
        )
    separators = Separators(separator, *encoding[:4])
    return Header(separators, ("MSH", separator, *line[4:].split(separator)))


class Segment:
    """One segment as received.

    hl7apy reads it, and what it can't read is refused; but values are taken from `line` by position, since hl7apy's
    own rendering loses fields beyond a version's definition, moves components and rewrites escape sequences.
    """

    def __init__(self, line: str, separators: Separators, version: str) -> None:
        self.line, self.name = line, line[:3]
        self.separators, self._version = separators, version

    @cached_property
    def _fields(self) -> list[str]:
        s = self.separators
        if _parts(self.line, s) > MOST_PARTS:
            raise Hl7Error(102, f"{self.name} has more than {MOST_PARTS} parts: send a shorter one", f"{self.name}^1")
        self._check()
        return self.line.split(s.field)

    def _check(self) -> None:
        """Peers send segments that their version does not have yet (TQ1 in 2.3), and hl7apy's 2.7 lacks some that it
        has: what one dictionary can't read, another may."""
        s = self.separators
        marks = {
            "GROUP": "\r", "SEGMENT": "\r", "FIELD": s.field, "COMPONENT": s.component, "SUBCOMPONENT": s.subcomponent,
            "REPETITION": s.repetition, "ESCAPE": s.escape,
        }  # fmt: skip
        fault = ""
        for version in dict.fromkeys((DICTIONARIES.get(self._version, _NEWEST), "2.5.1", _NEWEST)):
            try:
                parse_segment(self.line, version, marks, VALIDATION_LEVEL.TOLERANT)
                return
            except InvalidName:
                fault = fault or "no segment of HL7 v2"
            except (HL7apyException, ValueError, TypeError, AttributeError, LookupError) as error:
                fault = f"can't be read ({type(error).__name__}): check its fields"
        raise Hl7Error(100 if fault.startswith("no") else 102, f"{self.name}: {fault}", f"{self.name}^1")

    def raw(self, number: int) -> str:
        """Field `number` with all its parts, as received; counted from 1, as HL7 does."""
        return self._fields[number] if number < len(self._fields) else ""

    def repetitions(self, number: int) -> list[str]:
        """All repetitions of field `number`, as received."""
        return self.raw(number).split(self.separators.repetition)

    def field(self, number: int, component: int = 1) -> str:
        """One component of the field's first repetition, its first subcomponent, unescaped.

        Empty where there is none, or where it is null (`""`).
        """
        return component_of(self.repetitions(number)[0], component, self.separators)


def _parts(text: str, s: Separators) -> int:
    return sum(text.count(mark) for mark in (s.field, s.component, s.repetition, s.subcomponent))


def component_of(value: str, component: int, separators: Separators = STANDARD) -> str:
    """One component of a field's text, its first subcomponent, unescaped; empty where it is null (`""`)."""
    parts = value.split(separators.component)
    if component > len(parts):
        return ""
    text = unescape(parts[component - 1].split(separators.subcomponent)[0], separators).strip()
    return "" if text == '""' else text


@dataclass(frozen=True)
class Message:
    """A message: header and segments in their order (MSH is the first)."""

    header: Header
    segments: tuple[Segment, ...]

    def first(self, name: str) -> Segment | None:
        """The first segment of that name."""
        return next((s for s in self.segments if s.name == name), None)


def parse_message(content: bytes, undeclared: str = "UNICODE UTF-8") -> Message:
    """The message in `content`; `undeclared` is the character set where MSH-18 is empty.

    Segments end with CR; LF and CR LF are taken too.

    Raises:
        Hl7Error: it can't be read; the text says what to send instead.
    """
    header = read_header(content)
    if b"\x0b" in content or b"\x1c" in content:
        raise Hl7Error(100, "a frame character (0x0B or 0x1C) is inside the message: end each message with 0x1C 0x0D")
    text = decode(content.lstrip(b"\xef\xbb\xbf \t\r\n"), header.character_set, undeclared)
    lines = [line for line in re.split(r"[\r\n]+", text) if line.strip()]
    if len(lines) > MOST_SEGMENTS:
        raise Hl7Error(102, f"the message has more than {MOST_SEGMENTS} segments: send its orders in several")
    if _parts(text, header.separators) > MOST_PARTS_IN_ALL:
        raise Hl7Error(102, f"the message has more than {MOST_PARTS_IN_ALL} parts: send its orders in several")
    for number, line in enumerate(lines, start=1):
        if not _SEGMENT_ID.match(line[:3]) or line[3:4] not in (header.separators.field, ""):
            raise Hl7Error(100, f"line {number} does not start with a segment's name: end segments with CR only")
        if number > 1 and line.startswith("MSH"):
            raise Hl7Error(100, "a second MSH: send each message in its own frame", "MSH^2")
    segments = tuple(Segment(line.rstrip(), header.separators, header.version) for line in lines)
    return Message(header, segments)
