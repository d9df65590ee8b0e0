"""Which version of each package reads a study: pinned by the configuration, chosen by a person, or the highest."""

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime

from sqlmodel import Session, col, select

from shared.packages.folder import Package
from shared.packages.installed import Installed
from shared.store.actions import NotPossible
from shared.store.tables import Run
from shared.store.version_tables import PackageChoice, ShadowRun
from shared.study import RunState, ShadowState


@dataclass(frozen=True)
class Standing:
    """How the versions of a package stand now. `why` is empty where nobody has chosen: then the highest reads."""

    package: str
    version: str
    why: str = ""
    canary: str = ""
    share: float = 0.0
    shadow: str = ""
    before: str = ""
    since: datetime | None = None

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
        why = f"chosen by {row.who}" + (f": {row.why}" if row.why else "")
        found = Standing(package, row.version, why, row.canary, row.share, row.shadow, row.before, row.at)
    return replace(found, version=pinned, why="pinned by the configuration", canary="") if pinned else found


def packages_for(session: Session, installed: Installed, study_instance_uid: str) -> list[tuple[Package, str]]:
    """Each package in the version that may read this study, and why it is that one.

    A version that is chosen and not installed is named all the same: its run says so, and no other reads in its place.
    """
    found = []
    for name in installed.names():
        version, why = standing(session, installed, name).for_study(study_instance_uid)
        of_name = installed.of(name)
        found.append((next((p for p in of_name if p.version == version), of_name[-1].called(version)), why))
    return found


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
    return _enter(session, PackageChoice(
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
    return _enter(session, PackageChoice(
        package=package, version=now.before, before=earlier.before if earlier else "", who=who,
        why=f"rolled back from {now.version}" + (f": {why}" if why else ""),
    ))  # fmt: skip


def _changeable(session: Session, installed: Installed, package: str) -> Standing:
    if not installed.of(package):
        raise NotPossible(f"there is no package {package}: there are {', '.join(installed.names()) or 'none'}")
    if pinned := installed.pinned(package):
        raise NotPossible(f"[packages.{package}] of isocenter.toml pins version {pinned}: change it there, and restart")
    return standing(session, installed, package)


def _enter(session: Session, row: PackageChoice) -> PackageChoice:
    session.add(row)
    session.flush()
    return row
