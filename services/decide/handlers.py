"""Which packages run on a study, and why: the packages' selectors, then the hospital's rules."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from services.decide.settings import Rule
from shared.dicom.planning import is_planning
from shared.own_results import is_own_result
from shared.packages.folder import Package

SECONDARY_CAPTURES = frozenset({
    "1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.7.1", "1.2.840.10008.5.1.4.1.1.7.2",
    "1.2.840.10008.5.1.4.1.1.7.3", "1.2.840.10008.5.1.4.1.1.7.4",
})  # fmt: skip
"""Read only by packages whose selector names the class: screenshots often keep the modality of what they show."""


@dataclass(frozen=True)
class SeriesFacts:
    """What rules look at of one series."""

    series_instance_uid: str
    modality: str
    body_part_examined: str
    descriptions: tuple[str, ...]  # StudyDescription, SeriesDescription, ProtocolName
    sop_class_uids: frozenset[str]
    instances: int
    has_pixel_data: bool = True
    is_own_result: bool = False
    is_planning: bool = False
    view_positions: tuple[str, ...] = ("",)  # of its images, each once


@dataclass(frozen=True)
class StudyFacts:
    """What rules look at of a study and its order."""

    calling_ae_title: str
    series: tuple[SeriesFacts, ...]
    requested_procedure: str = ""
    priority: int = 5
    patients: int = 1  # different Patient IDs that its images name


@dataclass(frozen=True)
class Choice:
    """Whether a package runs on the study, on which of its series, and why."""

    package: Package
    runs: bool
    reason: str
    series: tuple[str, ...] = ()
    priority: int = 5

    def in_version(self, why: str, barred: str) -> "Choice":
        """The same, with the reason why it is this version that runs, or why it must not."""
        if self.runs and barred:
            return replace(self, runs=False, reason=barred)
        words = f"{self.reason}; version {self.package.version}: {why}"
        return replace(self, reason=words) if self.runs and why else self


def choose(study: StudyFacts, packages: Sequence[Package], rules: Sequence[Rule]) -> list[Choice]:
    """One choice a package, in the packages' order.

    Images of different patients under one Study Instance UID are never read: whose the results would be can't be told.
    """
    if study.patients > 1:
        words = f"the images name {study.patients} different patients: correct the study and send it again"
        return [Choice(package, False, words) for package in packages]
    return [_choose(study, package, rules) for package in packages]


def refusal(choices: Sequence[Choice]) -> str:
    """Why nothing runs on a study, in one sentence."""
    if not choices:
        return "no package is installed: put one into the model repository"
    if len({c.reason for c in choices}) == 1 and len(choices) > 1:
        return f"no package reads this study: {choices[0].reason}"
    return "no package reads this study: " + "; ".join(f"{c.package.name}: {c.reason}" for c in choices)


def _choose(study: StudyFacts, package: Package, rules: Sequence[Rule]) -> Choice:
    fitting: list[SeriesFacts] = []
    misfits: list[str] = []
    for series in study.series:
        misfit = _misfit(package, series, study.requested_procedure)
        if misfit:
            misfits.append(misfit)
        else:
            fitting.append(series)
    if not fitting:
        return Choice(package, False, ", ".join(dict.fromkeys(misfits)) or "the study has no series")
    return _by_rules(study, package, fitting, misfits, rules)


def _by_rules(
    study: StudyFacts, package: Package, fitting: Sequence[SeriesFacts], misfits: Sequence[str], rules: Sequence[Rule]
) -> Choice:
    kept: list[str] = []
    priorities: list[int] = []
    refused = ""
    for series in fitting:
        rule = next((r for r in rules if _rule_fits(r, package, study, series)), None)
        if rule is not None and rule.run == "no":
            refused = rule.reason or "a rule of this hospital says no"
            continue
        kept.append(series.series_instance_uid)
        priorities.append(study.priority if rule is None or rule.priority is None else rule.priority)
    if not kept:
        return Choice(package, False, refused)
    reason = f"fits {len(kept)} of {len(study.series)} series"
    others = dict.fromkeys([*misfits, refused])
    said = ", ".join(other for other in others if other)
    return Choice(package, True, f"{reason} (others: {said})" if said else reason, tuple(kept), min(priorities))


def _misfit(package: Package, series: SeriesFacts, requested_procedure: str) -> str:
    """Why the package does not read the series; empty when it does."""
    selector = package.manifest.selector
    if series.is_own_result:
        return "made by Isocenter"
    if not series.has_pixel_data:
        return "no pixels"
    if selector.modality and series.modality not in selector.modality:
        return f"reads {' '.join(selector.modality)}, not {series.modality or 'an unnamed modality'}"
    if selector.sop_class and not series.sop_class_uids & set(selector.sop_class):
        return "reads other SOP classes"
    if not selector.sop_class and series.sop_class_uids & SECONDARY_CAPTURES:
        return "secondary captures show images, they are none"
    if series.is_planning:
        return "planning images"
    if not any(selector.takes_view(view) for view in series.view_positions):
        return f"reads views {' '.join(selector.view_position)}, not {' '.join(series.view_positions)}"
    if series.instances < selector.minimum_instances:
        return f"needs {selector.minimum_instances} instances, the series has {series.instances}"
    if selector.body_part and not _shows_body_part(selector.body_part, series, requested_procedure):
        return f"reads {' '.join(selector.body_part)}, not {series.body_part_examined or 'an unnamed body part'}"
    return ""


def _shows_body_part(wanted: Sequence[str], series: SeriesFacts, requested_procedure: str) -> bool:
    if series.body_part_examined.upper() in wanted:
        return True
    words = {w for text in (*series.descriptions, requested_procedure) for w in re.findall(r"[A-Z]+", text.upper())}
    return any(part in words for part in wanted)


def _rule_fits(rule: Rule, package: Package, study: StudyFacts, series: SeriesFacts) -> bool:
    text = " ".join(series.descriptions).lower()
    return (
        rule.package in ("*", package.name)
        and (not rule.calling_ae_title or study.calling_ae_title in rule.calling_ae_title)
        and (not rule.modality or series.modality in rule.modality)
        and (not rule.description or rule.description.lower() in text)
    )


def series_facts(
    series_instance_uid: str, headers: Sequence[dict[str, Any]], sop_classes: Sequence[str]
) -> SeriesFacts:
    """The facts of a series, of its instances' headers (shape: shared.dicom.header)."""
    first = headers[0]
    frames = sum(int(h.get("number_of_frames") or 1) for h in headers)
    return SeriesFacts(
        series_instance_uid=series_instance_uid,
        modality=str(first.get("modality", "")),
        body_part_examined=str(first.get("body_part_examined", "")),
        descriptions=tuple(
            str(first.get(key, "")) for key in ("study_description", "series_description", "protocol_name")
        ),
        sop_class_uids=frozenset(sop_classes),
        instances=frames,
        has_pixel_data=any(h.get("has_pixel_data", True) for h in headers),
        is_own_result=all(is_own_result(h) for h in headers),
        view_positions=tuple(dict.fromkeys(str(h.get("view_position", "")) for h in headers)),
        is_planning=is_planning(
            [str(h.get("image_type", "")).split("\\") for h in headers], str(first.get("series_description", ""))
        ),
    )
