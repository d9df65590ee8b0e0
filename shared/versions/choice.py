"""Which version of each package reads: pinned by the configuration, chosen by a person, or the first that did."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple

from sqlmodel import Session, col, select

from shared.packages.folder import Package
from shared.packages.installed import Installed
from shared.store.actions import NotPossible
from shared.store.tables import Run
from shared.store.version_tables import PackageChoice, ShadowRun
from shared.study import RunState, ShadowState

BY_ITSELF = "isocenter"
"""Who has chosen where no person has: the first version that read goes on to."""


@dataclass(frozen=True)
class Standing:
    """How the versions of a package stand now. `why` is empty where nobody has chosen: then the first that read does,
    or where none has yet, the highest."""

    package: str
    version: str
    why: str = ""
    canary: str = ""
    share: float = 0.0
    shadow: str = ""
    before: str = ""
    since: datetime | None = None
    weights: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of what was there when the versions were chosen; of a pin none: `[packages.NAME] digest` is for that."""

    def barred(self, package: Package) -> str:
        """Why a version must not read as it lies there now; empty where it may."""
        chosen = self.weights.get(package.version)
        if not chosen or not package.number or chosen == package.weights_digest():
            return ""  # of one that is not there its run says so
        words = f"version {package.version} has other weights than when it was chosen"
        return f"{words}: put those back, or `isocenter package use {package.name} {package.version}`"

    def for_study(self, study_instance_uid: str) -> tuple[str, str]:
        """The version that reads this study, and why in words. A replay gives the same, until the choice changes."""
        if self.canary and _place(self.package, study_instance_uid) < self.share:
            return self.canary, f"canary, {self.share:.0%} of the studies"
        return self.version, self.why


def _place(package: str, study_instance_uid: str) -> float:
    """Where a study lies in [0, 1), evenly spread, and for each package elsewhere."""
    digest = hashlib.sha256(f"{package} {study_instance_uid}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


def newest_choice(session: Session, package: str) -> PackageChoice | None:
    """The choice that counts, if a person has made any."""
    query = select(PackageChoice).where(PackageChoice.package == package)
    return session.exec(query.order_by(col(PackageChoice.id).desc()).limit(1)).first()


def standing(session: Session, installed: Installed, package: str) -> Standing:
    """How the versions of a package that is installed stand now."""
    row, pinned = newest_choice(session, package), installed.pinned(package)
    found = Standing(package, installed.of(package)[-1].version)
    if row:
        why = f"chosen by {row.who}" + (f": {row.why}" if row.why else "") if row.who != BY_ITSELF else ""
        found = Standing(package, row.version, why, row.canary, row.share, row.shadow, row.before, row.at, row.weights)
    if not pinned:
        return found
    return replace(found, version=pinned, why="pinned by the configuration", canary="", weights={})


class Candidate(NamedTuple):
    """A package in the version that may read a study, why it is that one, and why it must not read, if it must not."""

    package: Package
    why: str
    barred: str = ""


def packages_for(session: Session, installed: Installed, study_instance_uid: str) -> list[Candidate]:
    """Each package in the version that may read this study.

    A version that is chosen and not installed is named all the same: its run says so, and no other reads in its place.
    """
    found = []
    for name in installed.names():
        now, of_name = standing(session, installed, name), installed.of(name)
        version, why = now.for_study(study_instance_uid)
        package = next((p for p in of_name if p.version == version), of_name[-1].called(version))
        found.append(Candidate(package, why, now.barred(package)))
    return found


def reads(session: Session, installed: Installed, package: Package) -> None:
    """Notes that this version of a package reads, where no person has chosen one: a higher one that comes later, or
    other weights, then read only when a person says so."""
    row = newest_choice(session, package.name)
    if (package.name, package.version) not in installed:
        return
    if row is None or (row.who == BY_ITSELF and row.version != package.version):  # a pin may name another
        _enter(session, installed, PackageChoice(
            package=package.name, version=package.version, who=BY_ITSELF, why="the first that read",
        ))  # fmt: skip


def waiting_versions(session: Session, installed: Installed, package: str) -> list[str]:
    """The versions that are there and read nothing until a person chooses them: those above the one that reads that
    nobody has chosen yet, and what has other weights than were chosen."""
    now, of_name = standing(session, installed, package), installed.of(package)
    if installed.pinned(package):
        return []  # the configuration is asked, and nobody else
    rows = session.exec(select(PackageChoice).where(PackageChoice.package == package)).all()
    named = {version for row in rows for version in (row.version, row.canary, row.shadow, now.version)}
    number = next((p.number for p in of_name if p.version == now.version), 0)
    return [
        p.version for p in of_name
        if now.barred(p) or (rows and p.number > number and p.version not in named)
    ]  # fmt: skip


def wanted_versions(session: Session, installed: Installed, *, gates: bool) -> list[list[Package]]:
    """The versions to be loaded of each gate package, or of each reader: those that count, the one that a rollback goes
    back to, and those that a run still waits for; the most important first."""
    waiting = select(Run.package, Run.version).where(col(Run.state).in_((RunState.WAITING, RunState.READY))).distinct()
    shadows = select(ShadowRun.package, ShadowRun.version).where(ShadowRun.state == ShadowState.WAITING).distinct()
    in_hand = [*session.exec(waiting), *session.exec(shadows)]
    found = []
    for name in installed.names():
        now = standing(session, installed, name)
        names = [now.version, now.canary, now.shadow, now.before, *(v for package, v in in_hand if package == name)]
        packages = [installed.get((name, version)) for version in dict.fromkeys(names)]
        found.append([p for p in packages if p is not None and p.number and p.is_gate == gates])
    return [packages for packages in found if packages]


def use(
    session: Session, installed: Installed, package: str, version: str, *, canary: str = "", share: float = 0.0,
    shadow: str = "", who: str = "", why: str = "",
) -> PackageChoice:  # fmt: skip
    """Chooses the version that reads from now on, and what stands beside it.

    Raises:
        NotPossible: a version is not installed, the configuration pins another, or the share fits no canary.
    """
    now = _changeable(session, installed, package)
    for wanted in filter(None, (version, canary, shadow)):
        if (package, wanted) not in installed:
            raise NotPossible(installed.missing(package, wanted))
    if shadow and installed[package, shadow].is_gate:
        raise NotPossible(f"{package} is a gate, and a gate has no shadow: try the version as a canary")
    if bool(canary) != (0 < share <= 1):
        raise NotPossible("a canary has a share of the studies above 0 and up to 1, and only a canary has one")
    if version in (canary, shadow):
        raise NotPossible(f"{version} is to read by itself: canary and shadow are other versions")
    before = now.before if version == now.version else now.version
    return _enter(session, installed, PackageChoice(
        package=package, version=version, canary=canary, share=share, shadow=shadow, before=before, who=who, why=why,
    ))  # fmt: skip


def roll_back(session: Session, installed: Installed, package: str, who: str = "", why: str = "") -> PackageChoice:
    """Goes back to the version that read before, without canary and shadow; once more, and to the one before that.

    Raises:
        NotPossible: no other version read before, it is no longer installed, or the configuration pins one.
    """
    now = _changeable(session, installed, package)
    if not now.before:
        raise NotPossible(f"nothing read before version {now.version} of {package} was chosen: use another")
    if (package, now.before) not in installed:
        raise NotPossible(installed.missing(package, now.before))
    query = select(PackageChoice).where(PackageChoice.package == package, PackageChoice.version == now.before)
    earlier = session.exec(query.order_by(col(PackageChoice.id).desc()).limit(1)).first()
    return _enter(session, installed, PackageChoice(
        package=package, version=now.before, before=earlier.before if earlier else "", who=who,
        why=f"rolled back from {now.version}" + (f": {why}" if why else ""),
    ))  # fmt: skip


def _changeable(session: Session, installed: Installed, package: str) -> Standing:
    if not installed.of(package):
        raise NotPossible(f"there is no package {package}: there are {', '.join(installed.names()) or 'none'}")
    if pinned := installed.pinned(package):
        raise NotPossible(f"[packages.{package}] of isocenter.toml pins version {pinned}: change it there, and restart")
    return standing(session, installed, package)


def _enter(session: Session, installed: Installed, row: PackageChoice) -> PackageChoice:
    there = (installed.get((row.package, version)) for version in (row.version, row.canary, row.shadow))
    row.weights = {package.version: package.weights_digest() for package in there if package}
    session.add(row)
    session.flush()
    return row
