"""Whether a message says what the report says, of whom it does (HL7 v2.5.1 ORU^R01)."""

from collections.abc import Iterator
from dataclasses import dataclass

from shared.hl7.text import unescape
from shared.verify.outcome import Outcome
from shared.verify.report_numbers import Group, Number, Report
from shared.verify.said import Said, forms_of

_STUDY = "113014"
_PROBABILITY, _GATE_SCORE = "122157", "gate-score"
_SITE, _SIDE = "363698007", "272741003"


@dataclass(frozen=True)
class Observation:
    """One OBX, unescaped."""

    sub: str
    kind: str
    code: str
    meaning: str
    value: list[str]  # its components
    unit: str
    limits: str
    probability: str


def check_message(path: str, message: str, report: Report, said: Said, outcome: Outcome) -> None:
    """Every number with its code and unit, every coded value, every place in the body, and the study."""
    name, rows = report.name, list(_observations(message))
    for row in rows:
        outcome.compared += 1
        if row.code == _STUDY and row.value[0] != str(report.document.StudyInstanceUID):
            outcome.differs.append(f"{path}: is of another study than {name}")
        elif row.kind == "NM" and not any(_says(row, g, n) for g in said.groups for n in g.numbers):
            what = " ".join([row.meaning, row.value[0], *([row.unit] if row.unit != "1" else [])])
            outcome.differs.append(f"{path}: {what} is not in {name}")
        elif row.kind == "CWE" and (row.code, row.value[0]) not in said.coded:
            outcome.differs.append(f"{path}: {row.meaning} {' '.join(row.value[1:2])} is not in {name}")
        if row.probability and not any(
            n.code[0] == _PROBABILITY and row.probability in forms_of(n.value) for n in said.numbers
        ):
            outcome.differs.append(f"{path}: probability of {row.meaning} {row.probability} is not in {name}")
    texts = [
        text for row in rows if row.code != _STUDY for text in (row.limits, *(row.value if row.kind == "ST" else []))
    ]
    words = " ".join([*_remarks(message), *texts])
    outcome.differs += [f"{path}: {token} is not in {name}" for token in said.unexplained(words)]
    _check_sites(path, rows, name, said, outcome)


def _says(row: Observation, group: Group, number: Number) -> bool:
    code = _GATE_SCORE if row.code.startswith("gate-") else row.code
    named = {number.code[0], group.finding} if number.is_area or number.is_volume else {number.code[0]}
    return code in named and row.unit == number.unit and row.value[0] in forms_of(number.value)


def _check_sites(path: str, rows: list[Observation], name: str, said: Said, outcome: Outcome) -> None:
    """Each finding's place and side, both ways."""
    sides = {row.sub: row.value[0] for row in rows if row.code == _SIDE}
    told = set()
    for row in (row for row in rows if row.code == _SITE):
        about = {r.code for r in rows if r.sub == row.sub or r.sub.startswith(f"{row.sub}.")} - {_SITE, _SIDE}
        told |= {(code, row.value[0], sides.get(row.sub, "")) for code in about}
    for which, where, other in ((told - said.sites, path, name), (said.sites - told, name, path)):
        outcome.differs += [
            f"{where}: {' '.join(site)} (finding, site, side) is not in {other}" for site in sorted(which)
        ]


def is_held(message: str) -> bool:
    """Whether OBR-25 says that results are yet to come (HL7 table 0123: I)."""
    return any(_field(fields, 25) == "I" for fields in _segments(message, "OBR"))


def patients(message: str) -> set[str]:
    """Every ID in PID-3."""
    found = (_field(fields, 3).split("~") for fields in _segments(message, "PID"))
    return {unescape(one.split("^")[0]) for ids in found for one in ids} - {"", '""'}


def _segments(message: str, name: str) -> Iterator[list[str]]:
    return (line.split("|") for line in message.split("\r") if line.startswith(f"{name}|"))


def _field(fields: list[str], number: int) -> str:
    return fields[number] if len(fields) > number else ""


def _observations(message: str) -> Iterator[Observation]:
    for fields in _segments(message, "OBX"):
        code, meaning, *_ = [*_field(fields, 3).split("^"), ""]
        value = [unescape(part) for part in _field(fields, 5).split("^")]
        yield Observation(
            _field(fields, 4), _field(fields, 2), code, unescape(meaning), value,
            unescape(_field(fields, 6).split("^")[0]), unescape(_field(fields, 7)), _field(fields, 9),
        )  # fmt: skip


def _remarks(message: str) -> Iterator[str]:
    return (unescape(_field(fields, 3)) for fields in _segments(message, "NTE"))
