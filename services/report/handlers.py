"""A run's facts in, result objects out: which objects, each built on its own, so that one that fails stops no other."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from pydicom import Dataset

from services.report import secondary_capture
from services.report.drawing.pages import Read
from services.report.facts import ResultObject, RunFacts, nothing_to_read
from services.report.identity import control_id
from services.report.oru import in_character_set, oru_message
from services.report.result_kinds import BUILDERS, UNREAD, Builder, build_objects, pointed_to, wanted_flavours
from services.report.source_header import TAKEN_OVER
from shared.findings import Finding, SourceImage
from shared.settings import Destination

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Report:
    """What came out, and in words what could not, and what is not as it was asked for or as it came in."""

    objects: list[ResultObject]
    missing: list[str]
    remarks: list[str] = field(default_factory=list)


def images_to_draw(
    findings: Sequence[Finding], read: Read = nothing_to_read, destinations: Sequence[Destination] = ()
) -> list[SourceImage]:
    """The source images whose pixels are needed; more where a destination wants pictures of several frames."""
    several = any(d.sc_flavour == "multi-frame" for d in destinations if secondary_capture.KIND in d.objects)
    return [
        image for finding in findings for which in dict.fromkeys((False, several))
        for image in secondary_capture.images_to_draw(finding, read, which)
    ]  # fmt: skip


def report(facts: RunFacts, destinations: Sequence[Destination]) -> Report:
    """The objects of one run: the DICOM ones of a run that was read, or the notice that it was not, and a message to
    each RIS, which is not told of failures.

    Each kind is made once for each flavour that a destination wants.
    """
    steps: list[tuple[str, Callable[[], list[ResultObject]]]] = []
    made = Report([], [] if facts.outcome != "read" or facts.findings else ["the package gave no finding to report"])
    for kind, builder in _builders(facts).items():
        if kind in facts.kinds:
            steps.append((kind, partial(_objects, facts, kind, builder, destinations, made.objects)))
    if "ORU" in facts.kinds and (facts.outcome == "held" or facts.findings):
        rises = [d for d in destinations if "ORU" in d.objects]
        steps += [(f"ORU to {destination.name}", partial(_message, facts, destination)) for destination in rises]
    for what, build in steps:
        try:
            made.objects.extend(build())
        except Exception as error:  # whatever odd sources raise: the other objects still go, and the reason is kept
            log.warning("not built object=%s run=%s cause=%s", what, facts.run.id, type(error).__name__)
            made.missing.append(f"no {what}: {error}")
    made.remarks.extend(_remarks(facts, made.objects))
    return made


def _remarks(facts: RunFacts, made: Sequence[ResultObject]) -> list[str]:
    """What a person should know of objects that go out all the same."""
    header = facts.sources[0] if facts.sources else None
    left_out = [keyword for keyword in getattr(header, "left_out", ()) if keyword in TAKEN_OVER]
    said = [f"left out, since not valid in the images: {', '.join(left_out)}"] if left_out else []
    return list(dict.fromkeys([*said, *(result.remark for result in made if result.remark)]))


def _objects(
    facts: RunFacts, kind: str, builder: Builder, destinations: Sequence[Destination], made: Sequence[ResultObject]
) -> list[ResultObject]:
    """The objects of a kind; what was `made` before is what a report may point to."""
    wanted = wanted_flavours(kind, destinations, pointed_to(facts.findings, made))
    return build_objects(facts, kind, wanted, builder, made)


def _builders(facts: RunFacts) -> dict[str, Builder]:
    if facts.outcome != "read":
        return UNREAD
    return BUILDERS if facts.findings else {}


def _message(facts: RunFacts, destination: Destination) -> list[ResultObject]:
    identifier = control_id(facts.run.id, destination.name, facts.outcome)
    read: Literal["final", "corrected"] = "corrected" if destination.name in facts.corrects else "final"
    header = facts.sources[0] if facts.sources else Dataset()
    content = oru_message(
        study=facts.study, order=facts.order, header=header, run=facts.run, findings=facts.findings,
        gate_results=facts.gates_beside, control_id=identifier, sending_facility=facts.institution_name,
        receiving_application=destination.receiving_application, receiving_facility=destination.receiving_facility,
        created_at=facts.at, outcome="held" if facts.outcome == "held" else read, released=facts.released,
    )  # fmt: skip
    name, theirs = f"ORU_{facts.outcome}_{destination.name}.hl7", facts.order.character_set if facts.order else ""
    remark = ""
    if destination.character_set == "source" and theirs:
        content, remark = in_character_set(content, theirs)
    remark = f"ORU for {destination.name} {remark}" if remark else ""
    return [ResultObject("ORU", identifier, name, content, (destination.name,), remark)]
