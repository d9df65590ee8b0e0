"""Shadows: a version reads what a run has read, and what the two say is held against each other."""

from collections.abc import Sequence
from typing import Any

from sqlmodel import Session

from shared.findings import Classification, Finding, Measurement, OrdinalGrade, QualityScore, load_findings
from shared.packages.installed import Installed
from shared.store.moves import enter
from shared.store.tables import Run
from shared.store.version_tables import ShadowRun
from shared.uids import derived_uuid
from shared.versions.choice import standing

Key = tuple[str, ...]
"""What is said of the same: a finding's name and the images that it was read from."""


def enter_shadow(session: Session, installed: Installed, run: Run) -> None:
    """Enters the shadow of a run that was read, where its package has one; a canary's run has none."""
    if not installed.of(run.package):
        return
    now = standing(session, installed, run.package)
    key = str(derived_uuid(run.id, "shadow", now.shadow))
    if not now.shadow or run.version != now.version or session.get(ShadowRun, key) is not None:
        return
    enter(session, ShadowRun(
        id=key, run_id=run.id, study_instance_uid=run.study_instance_uid, package=run.package, version=now.shadow,
    ))  # fmt: skip


def differ(one: Sequence[dict[str, Any]], other: Sequence[dict[str, Any]]) -> bool:
    """Whether findings (as JSON) say another class of the same, or one says something and the other nothing."""
    return classes(one) != classes(other)


def classes(findings: Sequence[dict[str, Any]]) -> dict[Key, str]:
    """The class of each finding, by what it is said of; a number has none."""
    return {key_of(finding): _class(finding) for finding in load_findings(list(findings)) if _is_compared(finding)}


def numbers(findings: Sequence[dict[str, Any]]) -> dict[Key, tuple[float, str]]:
    """Value and unit (UCUM) of each number, by what it is said of: of a classification its probability."""
    found: dict[Key, tuple[float, str]] = {}
    for finding in load_findings(list(findings)):
        if isinstance(finding, Classification):
            found[key_of(finding)] = finding.probability, "1"
        elif isinstance(finding, Measurement | QualityScore):
            found[key_of(finding)] = finding.value, finding.unit
    return found


def key_of(finding: Finding) -> Key:
    """The finding's name, then the images."""
    return finding.name, *(f"{image.sop_instance_uid} {image.frame or ''}" for image in finding.sources)


def _is_compared(finding: Finding) -> bool:
    return isinstance(finding, Classification | OrdinalGrade | Measurement | QualityScore)


def _class(finding: Finding) -> str:
    if isinstance(finding, Classification):
        return "present" if finding.present else "absent"
    return finding.grades[finding.grade].name if isinstance(finding, OrdinalGrade) else ""
