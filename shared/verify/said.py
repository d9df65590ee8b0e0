"""What a report says, as words and numbers that may stand elsewhere: nothing else may be printed of its findings."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pydicom import Dataset

from shared.quantities import DIGITS, number, quantity
from shared.verify.report_numbers import Group, Number, Report, code_of, items_of, value_of

_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w.]*\d)")
_DOTTED = re.compile(r"(?<![\w.])\d+(?:\.\d+){2,}")  # UIDs and versions
# how many there are of something, which the report says by having them, and which of them
_COUNTED = re.compile(
    r"\d+ (?:of \d+ images flagged|places? marked|images? made|more pictures)|\b(?:frame|image|end) \d+(?![\w.]*\d)"
)
_NOT_PRINTED = ("1", "{pixels}")  # units


def plain(text: str) -> str:
    """Text without what character sets and line ends change of it."""
    return " ".join(text.replace("²", "2").replace("³", "3").replace("°", " deg").split())


@dataclass(frozen=True)
class Said:
    """All of one report."""

    groups: list[Group]
    words: str
    dotted: frozenset[str]
    coded: frozenset[tuple[str, str]]  # the codes of name and value of each coded item

    @property
    def sites(self) -> set[tuple[str, str, str]]:
        """Codes of finding, place in the body and side."""
        return {(group.finding, place, side) for group in self.groups for place, side, _ in group.sites}

    @property
    def site_words(self) -> set[str]:
        return {words for group in self.groups for _, _, words in group.sites}

    @property
    def numbers(self) -> list[Number]:
        """Those of findings and gates, without each image's of a series."""
        return [n for group in self.groups for n in group.numbers if not n.of_image]

    def unexplained(self, text: str) -> list[str]:
        """Numbers, UIDs and versions in `text` that the report does not have."""
        text = _COUNTED.sub(" ", plain(text))
        foreign = [dotted for dotted in _DOTTED.findall(text) if dotted not in self.dotted]
        known = {form for n in self.numbers for form in forms_of(n.value)} | set(_NUMBER.findall(self.words))
        return foreign + [token for token in _NUMBER.findall(_DOTTED.sub(" ", text)) if token not in known]

    def not_in(self, text: str) -> list[Number]:
        """The report's numbers that `text` does not print with their units."""
        text = f" {plain(text)} "
        return [n for n in self.numbers if not any(re.search(form, text) for form in _printed(n))]


def forms_of(value: float) -> set[str]:
    """A number as it may be printed."""
    return {number(value, digits) for digits in DIGITS} | {f"{value:g}", f"{value:.3f}"}


def _printed(of: Number) -> Iterator[str]:
    unit = "1" if of.unit in _NOT_PRINTED else of.unit
    for digits in DIGITS:
        yield rf"(?<![\w.-]){re.escape(plain(quantity(of.value, unit, digits)))}(?![\w.]*\d)"


def said_by(report: Report) -> Said:
    """What a report says."""
    coded = (i for i in items_of(report.document) if i.get("ConceptCodeSequence"))
    return Said(
        report.groups,
        plain(" ".join(_words(report.document))),
        frozenset(_DOTTED.findall(" ".join(_all(report.document)))),
        frozenset((code_of(item)[0], value_of(item.ConceptCodeSequence[0])) for item in coded),
    )


def _words(report: Dataset) -> Iterator[str]:
    """Free text and the names of codes."""
    for item in items_of(report):
        yield str(item.get("TextValue", ""))
        for codes in (item.get("ConceptNameCodeSequence"), item.get("ConceptCodeSequence")):
            yield from (str(code.get("CodeMeaning", "")) for code in codes or ())


def _all(report: Dataset) -> Iterator[str]:
    """Whatever text there is, UIDs and versions among it."""
    for element in report.iterall():
        if element.VR in ("UI", "LO", "UT", "SH", "LT", "ST"):
            values: Iterable[object] = element.value if element.VM > 1 else [element.value]
            yield from (str(value) for value in values)
