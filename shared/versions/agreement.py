"""How versions of a package agree: a shadow with the runs beside which it read, a canary with the others' runs."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from pydantic import BaseModel
from sqlmodel import Session, col, select

from shared.packages.installed import Installed
from shared.store.tables import Run
from shared.store.version_tables import PackageChoice, ShadowRun
from shared.study import RunState, ShadowState
from shared.versions.choice import Standing, standing, waiting_versions
from shared.versions.shadows import classes, numbers

MOST = 5000
"""Of each version the newest so many are looked at."""


class Paired(BaseModel):
    """One output, as the shadow and the runs said it of the same images."""

    output: str
    pairs: int
    one_alone: int  # said by one of the two only
    agree: float | None = None  # share of the same class
    kappa: float | None = None  # Cohen 1960; none where only one class came up
    unit: str = ""  # UCUM, of what follows: shadow minus run
    mean_difference: float | None = None
    limits: tuple[float, float] | None = None  # mean ± 1.96 SD of the differences (Bland and Altman 1986)


class Shadowed(BaseModel):
    """A shadow beside its runs."""

    version: str
    states: dict[str, int]
    differ: int
    outputs: list[Paired]


class Spread(BaseModel):
    """What one output said over a version's runs."""

    output: str
    count: int
    classes: dict[str, float]  # shares
    mean: float | None = None
    sd: float | None = None


class Read(BaseModel):
    """A version's runs since the choice."""

    version: str
    runs: int
    held: float | None  # shares of the runs that have ended
    dead: float | None
    outputs: list[Spread]


class Choice(BaseModel):
    """A choice that a person made, or that of the first version that read."""

    version: str
    canary: str
    share: float
    shadow: str
    who: str
    why: str
    at: datetime


class Agreement(BaseModel):
    """How the versions of a package stand, and how they agree."""

    package: str
    installed: list[str]
    version: str
    why: str
    canary: str
    share: float
    shadow: str
    before: str
    waiting: list[str]  # installed, and reading nothing until they are chosen
    since: datetime | None
    choices: list[Choice]  # the newest first
    shadows: list[Shadowed]
    versions: list[Read]


def agreement(session: Session, installed: Installed, package: str, since: datetime | None = None) -> Agreement:
    """Since the newest choice, or since when it is said; the package is installed."""
    now = standing(session, installed, package)
    begin = since or now.since
    rows = select(PackageChoice).where(PackageChoice.package == package).order_by(col(PackageChoice.id).desc())
    return Agreement(
        package=package, installed=[p.version for p in installed.of(package)], version=now.version, why=now.why,
        canary=now.canary, share=now.share, shadow=now.shadow, before=now.before, since=begin,
        waiting=waiting_versions(session, installed, package),
        choices=[Choice.model_validate(row, from_attributes=True) for row in session.exec(rows.limit(20))],
        shadows=_shadows(session, package, begin), versions=_versions(session, now, begin),
    )  # fmt: skip


def _shadows(session: Session, package: str, since: datetime | None) -> list[Shadowed]:
    query = select(ShadowRun, Run).where(ShadowRun.run_id == Run.id, ShadowRun.package == package)
    query = query.where(col(ShadowRun.created_at) >= since) if since else query
    pairs: dict[str, list[tuple[ShadowRun, Run]]] = {}
    for shadow, run in session.exec(query.order_by(col(ShadowRun.created_at).desc()).limit(MOST)):
        pairs.setdefault(shadow.version, []).append((shadow, run))
    return [
        Shadowed(
            version=version, states=dict(Counter(shadow.state for shadow, _ in of)),
            differ=sum(shadow.differs for shadow, _ in of),
            outputs=paired((run.findings, shadow.findings) for shadow, run in of if shadow.state == ShadowState.READ),
        )
        for version, of in sorted(pairs.items())
    ]  # fmt: skip


def paired(both: Iterable[tuple[Sequence[dict[str, Any]], Sequence[dict[str, Any]]]]) -> list[Paired]:
    """Each output of pairs of findings (as JSON), the run's and the shadow's, by what they were read from."""
    said: dict[str, list[tuple[str | None, str | None]]] = {}
    differences: dict[tuple[str, str], list[float]] = {}
    for run, shadow in both:
        one, other = classes(run), classes(shadow)
        for key in one.keys() | other.keys():
            said.setdefault(key[0], []).append((one.get(key), other.get(key)))
        first, second = numbers(run), numbers(shadow)
        for key in first.keys() & second.keys():
            if first[key][1] == second[key][1]:
                differences.setdefault((key[0], first[key][1]), []).append(second[key][0] - first[key][0])
    found = []
    for output, pairs in sorted(said.items()):
        whole = [(one, other) for one, other in pairs if one is not None and other is not None]
        units = [unit for name, unit in differences if name == output]
        unit = units[0] if units else ""
        found.append(Paired(
            output=output, pairs=len(whole), one_alone=len(pairs) - len(whole), **_classed(whole), unit=unit,
            **_differing(differences.get((output, unit), [])),
        ))  # fmt: skip
    return found


def _classed(pairs: Sequence[tuple[str, str]]) -> dict[str, float | None]:
    if not any(one for one, _ in pairs):
        return {}
    agree = sum(one == other for one, other in pairs) / len(pairs)
    ones, others = Counter(one for one, _ in pairs), Counter(other for _, other in pairs)
    by_chance = sum(ones[name] * others[name] for name in ones) / len(pairs) ** 2
    return {"agree": agree, "kappa": (agree - by_chance) / (1 - by_chance) if by_chance < 1 else None}


def _differing(differences: Sequence[float]) -> dict[str, Any]:
    if len(differences) < 2:
        return {"mean_difference": differences[0] if differences else None}
    mean, sd = float(np.mean(differences)), float(np.std(differences, ddof=1))
    return {"mean_difference": mean, "limits": (mean - 1.96 * sd, mean + 1.96 * sd)}


def _versions(session: Session, now: Standing, since: datetime | None) -> list[Read]:
    found = []
    for version in filter(None, (now.version, now.canary)):
        query = select(Run).where(Run.package == now.package, Run.version == version)
        query = query.where(col(Run.created_at) >= since) if since else query
        runs = session.exec(query.order_by(col(Run.created_at).desc()).limit(MOST)).all()
        ended = [run.state for run in runs if run.state in (RunState.DELIVERED, RunState.HELD, RunState.DEAD)]
        held, dead = (ended.count(state) / len(ended) if ended else None for state in (RunState.HELD, RunState.DEAD))
        found.append(
            Read(version=version, runs=len(runs), held=held, dead=dead, outputs=spread(r.findings for r in runs))
        )
    return found


def spread(findings: Iterable[Sequence[dict[str, Any]]]) -> list[Spread]:
    """How each output is distributed over runs' findings (as JSON)."""
    said: dict[str, list[str]] = {}
    values: dict[str, list[float]] = {}
    for of_run in findings:
        for key, name in classes(of_run).items():
            said.setdefault(key[0], []).append(name)
        for key, (value, _) in numbers(of_run).items():
            values.setdefault(key[0], []).append(value)
    found = []
    for output, names in sorted(said.items()):
        shares = {name: count / len(names) for name, count in sorted(Counter(names).items()) if name}
        many = values.get(output, [])
        mean, sd = (float(np.mean(many)), float(np.std(many, ddof=1))) if len(many) > 1 else (None, None)
        found.append(Spread(output=output, count=len(names), classes=shares, mean=mean, sd=sd))
    return found
