"""HL7 text: from bytes to characters (MSH-18), and the escape sequences (HL7 v2.5.1 2.7)."""

import re
from collections.abc import Callable
from dataclasses import dataclass


class Hl7Error(ValueError):
    """What is wrong with a message, as its sender is told.

    `code` is HL7 table 0357: 1xx is an error in the content (answered AE), 2xx a rejection (answered AR).
    `location` is an ERL: segment, sequence, field (`OBR^1^18`).
    """

    def __init__(self, code: int, text: str, location: str = "") -> None:
        super().__init__(text)
        self.code, self.text, self.location = code, text, location

    @property
    def answer(self) -> str:
        """MSA-1."""
        return "AR" if self.code >= 200 else "AE"


@dataclass(frozen=True)
class Separators:
    """MSH-1 and MSH-2 (HL7 v2.5.1 2.5.4)."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"


STANDARD = Separators()

# HL7 table 0211. The Japanese sets switch by ISO 2022 escape sequences, ASCII between them.
_CODECS = {
    "": "ascii", "ASCII": "ascii", "ISO IR6": "ascii", "UNICODE UTF-8": "utf-8", "UNICODE": "utf-8", "UTF-8": "utf-8",
    **{f"8859/{n}": f"iso8859-{n}" for n in (1, 2, 3, 4, 5, 6, 7, 8, 9, 15)},
    "ISO IR14": "iso2022_jp_3", "ISO IR87": "iso2022_jp_2", "ISO IR159": "iso2022_jp_2",
    "GB 18030-2000": "gb18030", "KS X 1001": "euc_kr", "BIG-5": "big5",
}  # fmt: skip


def codec_of(character_set: str) -> str:
    """Python's codec for MSH-18 as received; of several sets (`~ISO IR87`) the one that includes the others.

    Raises:
        Hl7Error: a set is not known.
    """
    codecs = []
    for name in character_set.upper().split("~"):
        codec = _CODECS.get(" ".join(name.split()))
        if codec is None:
            known = ", ".join(sorted(k for k in _CODECS if k))
            raise Hl7Error(103, f"MSH-18: character set {name!r} is not supported: send one of {known}", "MSH^1^18")
        codecs.append(codec)
    others = [codec for codec in codecs if codec != "ascii"]
    return others[0] if others else "ascii"


def decode(content: bytes, character_set: str, undeclared: str = "UNICODE UTF-8") -> str:
    """The message's text; `undeclared` is the character set where MSH-18 is empty.

    Raises:
        Hl7Error: the set is not known, or the bytes are not of it.
    """
    codec = codec_of(character_set or undeclared)
    try:
        return content.decode(codec)
    except UnicodeDecodeError as error:
        said = f"MSH-18 is {character_set}" if character_set else f"MSH-18 is empty, which is read as {undeclared}"
        raise Hl7Error(
            102, f"{said}, but byte {error.start} is not of it: send MSH-18 as the text is encoded", "MSH^1^18"
        ) from None


def unescape(value: str, separators: Separators = STANDARD) -> str:
    """Replaces the escape sequences; formatting becomes line ends, what can't be read stays as it is."""
    mark = re.escape(separators.escape)
    if separators.escape not in value:
        return value
    return re.sub(f"{mark}([^{mark}]*){mark}", _replacement(separators), value)


def _replacement(separators: Separators) -> Callable[[re.Match[str]], str]:
    plain = {
        "F": separators.field, "S": separators.component, "T": separators.subcomponent, "R": separators.repetition,
        "E": separators.escape, "H": "", "N": "", ".br": "\n", ".sp": "\n", ".ce": "\n",
    }  # fmt: skip

    def replace(match: re.Match[str]) -> str:
        sequence = match[1]
        if sequence in plain:
            return plain[sequence]
        if re.fullmatch(r"X([0-9A-Fa-f]{2})+", sequence):
            return bytes.fromhex(sequence[1:]).decode("latin-1")
        return match[0]

    return replace


def escape(value: str, separators: Separators = STANDARD) -> str:
    """Writes text so that no part of it can be taken for a separator or a segment's end."""
    mark = separators.escape
    table = {
        mark: "E", separators.field: "F", separators.component: "S", separators.subcomponent: "T",
        separators.repetition: "R", "\n": ".br", "\r": ".br",
    }  # fmt: skip
    lines = value.replace("\r\n", "\n")
    kept = (c for c in lines if c in table or ord(c) >= 0x20)  # other control characters have no place in ER7
    return "".join(f"{mark}{table[c]}{mark}" if c in table else c for c in kept)


def in_standard(value: str, theirs: Separators) -> str:
    """A field with all its parts, from a peer's separators to `|^~\\&`; the same text where they are the same."""
    if theirs == STANDARD:
        return value
    repetitions = []
    for repetition in value.split(theirs.repetition):
        components = [
            STANDARD.subcomponent.join(escape(unescape(part, theirs)) for part in component.split(theirs.subcomponent))
            for component in repetition.split(theirs.component)
        ]
        repetitions.append(STANDARD.component.join(components))
    return STANDARD.repetition.join(repetitions)
