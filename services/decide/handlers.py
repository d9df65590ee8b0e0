"""Which packages run on a study, and why: the packages' selectors, then the hospital's rules."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.decide.named import Named, assign
from services.decide.selection import SeriesFacts, misfit
from services.decide.settings import Rule
from shared.packages.folder import Package
from shared.packages.named_series import lacking


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
    named: tuple[Named, ...] = ()  # of a package that reads a whole study

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
        if unlike := misfit(package.manifest.selector, series, study.requested_procedure):
            misfits.append(unlike)
        else:
            fitting.append(series)
    if not fitting:
        return Choice(package, False, ", ".join(dict.fromkeys(misfits)) or "the study has no series")
    choice = _by_rules(study, package, fitting, misfits, rules)
    return _by_name(study, choice) if choice.runs and package.manifest.grouping.by == "study" else choice


def _by_name(study: StudyFacts, choice: Choice) -> Choice:
    """The series that the package's names stand for. Where a required one is there and another is not, the study is
    one that the package is for: it is chosen, and the run is held for what is missing, so that somebody is told."""
    manifest = choice.package.manifest
    left = [series for series in study.series if series.series_instance_uid in choice.series]
    named, words = assign(manifest, left, study.requested_procedure)
    found = {one.name: one.series_instance_uid for one in named}
    if len(found) < len(manifest.grouping.names):  # why others were not taken may be why one is missing
        words.append(choice.reason)
    if not found.keys() & set(manifest.grouping.required):
        return replace(choice, runs=False, reason=f"{lacking(manifest, found)}; {choice.reason}", series=())
    series = tuple(dict.fromkeys(found.values()))
    return replace(choice, reason="; ".join(words), series=series, named=tuple(named))


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


def _rule_fits(rule: Rule, package: Package, study: StudyFacts, series: SeriesFacts) -> bool:
    text = " ".join(series.descriptions).lower()
    return (
        rule.package in ("*", package.name)
        and (not rule.calling_ae_title or study.calling_ae_title in rule.calling_ae_title)
        and (not rule.modality or series.modality in rule.modality)
        and (not rule.description or rule.description.lower() in text)
    )
