"""The HL7 result message: ORU^R01 v2.5.1, built with hl7apy and validated by it before it leaves."""

import logging
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.core import Message
from hl7apy.exceptions import HL7apyException
from pydicom import Dataset

from services.report.oru_findings import (
    VERDICT_FLAGS,
    Observation,
    number_of,
    observed,
    sites_observed,
    unit_of,
    words_of,
)
from services.report.oru_patient import patient_fields, visit_fields
from shared.findings import Finding, QualityScore
from shared.hl7.text import Hl7Error, codec_of, escape, in_standard
from shared.order_segments import first_segment
from shared.store import GateResult, Order, Run, Study

log = logging.getLogger(__name__)

Outcome = Literal["final", "held", "corrected"]

_VERSION = "2.5.1"
_SCHEME = "99ISO"
_OBR_STATUS = {"final": "F", "corrected": "C", "held": "I"}  # table 0123; X there would cancel the order
_OBX_STATUS = {"final": "F", "corrected": "C", "held": "X"}  # table 0085; X: results cannot be obtained
_HELD = "Reading held by a quality gate"
_USE_MARKS = {"not-for-clinical-use": "Not for clinical use"}


def oru_message(
    *, study: Study, order: Order | None, header: Dataset, run: Run, findings: list[Finding],
    gate_results: list[GateResult], control_id: str, sending_facility: str, receiving_application: str,
    receiving_facility: str, created_at: datetime, outcome: Outcome,
    released: str = "",
) -> bytes:  # fmt: skip
    """The message that tells the RIS what a run found, or why it was held: one OBX a finding, in UTF-8.

    `released` says who let the run through against its gates; it stands beside every finding.
    Patient and visit come from the order, as received, else from `header`, a source instance of the study.

    Raises:
        HL7apyException: hl7apy finds the message not valid.
        ValueError: the control ID is longer than 20 characters (HL7 v2.5 MSH-10).
    """
    if not 0 < len(control_id) <= 20:
        raise ValueError(f"a control ID has 1 to 20 characters, not {len(control_id)}")
    observations = _observations(study, run, findings, gate_results, created_at, outcome, released)
    addresses = {
        3: "ISOCENTER", 4: escape(sending_facility), 5: escape(receiving_application), 6: escape(receiving_facility),
        7: _time(created_at), 9: "ORU^R01^ORU_R01", 10: escape(control_id), 11: "P", 12: _VERSION,
    }  # fmt: skip
    request = _request_fields(study, order, header, created_at, outcome)
    try:
        return _build(addresses, patient_fields(order, header), visit_fields(order), request, observations)
    except (HL7apyException, Hl7Error) as error:
        if order is None:
            raise
        log.warning("patient taken from the images: the order's segments are not valid cause=%s", type(error).__name__)
        request = _request_fields(study, None, header, created_at, outcome)
        return _build(addresses, patient_fields(None, header), {}, request, observations)


def in_character_set(message: bytes, theirs: str) -> tuple[bytes, str]:
    """A message of ours in the character set that the RIS writes its own in (MSH-18), as long as it has every letter.

    Returns:
        The message, and in words why it stays in UTF-8; empty where it does not.
    """
    text = message.decode("utf-8")
    if text.isascii():
        return message, ""
    header, rest = text.split("\r", 1)
    fields = header.split("|")
    fields[17] = theirs  # MSH-18: MSH-1 is the separator itself
    written = "|".join(fields) + "\r" + rest
    try:
        codec = codec_of(theirs)
        content = written.encode(codec)
        if content.decode(codec) == written:
            return content, ""
    except (Hl7Error, UnicodeEncodeError):
        pass
    return message, f"in UTF-8, since the RIS's character set ({theirs}) has not all of its letters"


def _build(
    addresses: dict[int, str], patient: dict[int, str], visit: dict[int, str],
    request: tuple[dict[int, str], dict[int, str]], observations: Sequence[Observation],
) -> bytes:  # fmt: skip
    message = Message("ORU_R01", version=_VERSION, validation_level=VALIDATION_LEVEL.TOLERANT)
    result = message.add_group("oru_r01_patient_result")
    who = result.add_group("oru_r01_patient")
    _fill(who.add_segment("pid"), patient)
    if visit:
        _fill(who.add_group("oru_r01_visit").add_segment("pv1"), visit)
    what = result.add_group("oru_r01_order_observation")
    _fill(what.add_segment("orc"), request[0])
    _fill(what.add_segment("obr"), request[1])
    for number, observation in enumerate(observations, start=1):
        group = what.add_group("oru_r01_observation")
        _fill(group.add_segment("obx"), {1: str(number)} | observation.fields)
        for line, words in enumerate(observation.remarks, start=1):
            _fill(group.add_segment("nte"), {1: str(line), 2: "L", 3: words_of(words)})
    _fill(message.msh, addresses)
    if not message.to_er7().isascii():
        message.msh.msh_18 = "UNICODE UTF-8"
    message.validate()
    text: str = message.to_er7()
    return (text.rstrip("\r") + "\r").encode("utf-8")


def _fill(segment: Message, fields: dict[int, str]) -> None:
    """Sets the fields that hold something; a repeated field comes with its `~`."""
    for number, value in fields.items():
        name, (first, *others) = f"{segment.name}_{number}".lower(), value.split("~")
        if first:
            setattr(segment, name, first)
        for repetition in others:
            segment.add_field(name).value = repetition


def _request_fields(
    study: Study, order: Order | None, header: Dataset, created_at: datetime, outcome: Outcome
) -> tuple[dict[int, str], dict[int, str]]:
    """ORC and OBR: the order's own numbers, so that the RIS finds it."""
    accession = study.accession_number or (order.accession_number if order else "")
    placer, filler, procedure = _order_numbers(order)
    filler = filler or escape(accession)
    procedure = procedure or "18748-4^Diagnostic imaging study^LN"
    orc = {1: "RE", 2: placer, 3: filler, 5: "IP" if outcome == "held" else "CM", 9: _time(created_at)}
    obr = {
        1: "1", 2: placer, 3: filler, 4: procedure, 7: _study_time(header), 18: escape(accession),
        22: _time(created_at), 24: "RAD", 25: _OBR_STATUS[outcome],
    }  # fmt: skip
    return orc, obr


def _order_numbers(order: Order | None) -> tuple[str, str, str]:
    """Placer and filler number (ORC-2, ORC-3) and procedure (OBR-4) with all their parts, in our separators."""
    if order is None:
        return "", "", ""

    def read(name: str, number: int) -> str:
        segment = first_segment(order, name)
        return in_standard(segment.repetitions(number)[0], segment.separators) if segment else ""

    placer = read("ORC", 2) or read("OBR", 2) or escape(order.placer_order_number)
    filler = read("ORC", 3) or read("OBR", 3) or escape(order.filler_order_number)
    return placer, filler, read("OBR", 4)


def _observations(
    study: Study, run: Run, findings: Sequence[Finding], gate_results: Sequence[GateResult], created_at: datetime,
    outcome: Outcome, released: str,
) -> list[Observation]:  # fmt: skip
    every = {
        11: _OBX_STATUS[outcome],
        14: _time(created_at),
        18: f"{escape(run.package)}^{escape(run.version)}",
    }
    facts = {**every, 11: "C" if outcome == "corrected" else "F"}  # what is known also of a run that was held
    rows = [Observation(facts | {2: "ST", 3: "113014^DICOM Study^DCM", 5: study.study_instance_uid})]
    if outcome == "held":
        rows.append(Observation(every | _own(*_held_by(run), _reason(run, gate_results))))
    codes = Counter(finding.code for finding in findings)
    for number, finding in enumerate(findings, start=1):
        remarks = _places(finding) if codes[finding.code] > 1 else []
        remarks += [f"Held by a quality gate, {released}"] if released else []
        rows += [
            Observation(every | {4: sub} | fields, [*words, *remarks])
            for sub, fields, words in observed(finding, str(number))
        ]
        rows += [Observation(every | {4: str(number)} | fields) for fields in sites_observed(finding)]
    rows += [_gate(facts, result) for result in gate_results]
    rows.append(Observation(facts | _own("package", "Package", f"{run.package} {run.version}")))
    for mark in dict.fromkeys([f.use_mark for f in findings if f.use_mark] or ["not-for-clinical-use"]):
        rows.append(Observation(facts | _own("use-mark", "Use mark", _USE_MARKS.get(mark, mark))))
    return rows


def _places(finding: Finding) -> list[str]:
    """The images and series that the finding is about: where several have one code, nothing else tells them apart."""
    if isinstance(finding, QualityScore):
        return []  # it names its series in any case
    images = [
        f"SOP Instance UID {i.sop_instance_uid}" + (f" frame {i.frame}" if i.frame else "") for i in finding.sources
    ]
    return [*images, *dict.fromkeys(f"Series {i.series_instance_uid}" for i in finding.sources)]


def _gate(every: dict[int, str], result: GateResult) -> Observation:
    """A gate's word on a series: its score where it has one, else its verdict."""
    code = f"gate-{words_of(result.name)}^Gate {words_of(result.name)}^{_SCHEME}"
    fields = every | {3: code, 8: VERDICT_FLAGS.get(result.verdict, "")}
    if result.score is None:
        fields |= {2: "ST", 5: escape(result.verdict)}
    else:
        fields |= {2: "NM", 5: number_of(result.score), 6: unit_of(result.unit)}
    series = f"Series {result.series_instance_uid}" if result.series_instance_uid else ""
    verdict = f"Verdict: {result.verdict}" + (f": {result.reason}" if result.reason else "")
    return Observation(fields, [words for words in (verdict, series) if words])


def _own(code: str, meaning: str, text: str) -> dict[int, str]:
    return {2: "ST", 3: f"{code}^{meaning}^{_SCHEME}", 5: words_of(text)}


def _held_by(run: Run) -> tuple[str, str]:
    """Only a gate that could not judge has nothing to report but its reason, even where it merely warns."""
    if run.kind == "gate":
        return "gate-failed", "Quality gate could not judge"
    return ("not-sure", "Package not sure enough") if run.is_unsure else ("held", _HELD)


def _reason(run: Run, gate_results: Sequence[GateResult]) -> str:
    said = (f"{r.name}: {r.reason}" for r in gate_results if r.verdict == "hold" and r.reason)
    return run.reason or "; ".join(said) or "held, no reason was given"


def _time(at: datetime) -> str:
    return at.strftime("%Y%m%d%H%M%S%z")


def _study_time(header: Dataset) -> str:
    """OBR-7 from StudyDate and StudyTime, as precise as they are."""
    date, time = str(header.get("StudyDate", "") or ""), str(header.get("StudyTime", "") or "")
    if not (len(date) == 8 and date.isdigit()):
        return ""
    time = time.split(".")[0]
    return date + (time if len(time) in (4, 6) and time.isdigit() else "")
