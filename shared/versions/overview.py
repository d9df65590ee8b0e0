"""The packages as an operator asks for them: which versions are there, what each does, and how it does."""

from datetime import datetime

from pydantic import BaseModel
from sqlmodel import Session, col, func, select

from shared.packages.installed import Installed
from shared.store.circuits import Circuit, in_words
from shared.store.tables import Run
from shared.store.version_tables import ShadowRun
from shared.study import RunState, ShadowState
from shared.versions.choice import Standing, standing, waiting_versions


class Compared(BaseModel):
    """Of a shadow since the newest choice: studies that both have read, and those of which it says otherwise."""

    read: int
    differ: int


class VersionView(BaseModel):
    """A version of a package, what it does, and how."""

    version: str
    installed: bool
    part: str
    """In words: reads, canary, shadow, what it waits for; empty for one that lies there."""
    waits: bool
    """Whether it reads nothing until a person chooses it."""
    left_alone: str
    """Why nothing, or one at a time, is tried of it; empty where it is asked as ever."""
    last_failure: str
    last_failure_at: datetime | None
    """Of the newest run that it left dead; none where the failure is that for which it is left alone."""
    lifted: str
    """Who lifted it last, and why."""
    lifted_at: datetime | None
    shadow: Compared | None


class PackageView(BaseModel):
    """A package with its versions, the newest first."""

    name: str
    kind: str
    title: str
    pinned: str
    before: str
    """To which version a rollback goes."""
    versions: list[VersionView]


def package_view(session: Session, installed: Installed, package: str) -> PackageView:
    """A package that is installed."""
    table = installed.of(package)[-1].manifest.package
    now = standing(session, installed, package)
    return PackageView(
        name=package, kind=table.kind, title=table.title, pinned=installed.pinned(package), before=now.before,
        versions=versions_view(session, installed, package),
    )  # fmt: skip


def versions_view(session: Session, installed: Installed, package: str) -> list[VersionView]:
    """The versions that are installed or chosen, the newest first."""
    now, waiting = standing(session, installed, package), waiting_versions(session, installed, package)
    there = [p.version for p in installed.of(package)]
    gone = [version for version in (now.version, now.canary, now.shadow) if version and version not in there]
    return [
        _version(session, now, version, installed=version in there, waits=version in waiting)
        for version in [*gone, *reversed(there)]
    ]


def _version(session: Session, now: Standing, version: str, *, installed: bool, waits: bool) -> VersionView:
    circuit = session.get(Circuit, (now.package, version)) or Circuit(package=now.package, version=version)
    dead = session.exec(
        select(Run)
        .where(Run.package == now.package, Run.version == version, Run.state == RunState.DEAD, Run.failure != "")
        .order_by(col(Run.waiting_since).desc()).limit(1)
    ).first()  # fmt: skip
    return VersionView(
        version=version, installed=installed, part=_part(now, version, waits), waits=waits,
        left_alone=in_words(circuit),
        last_failure=circuit.reason or (dead.reason if dead else ""),
        last_failure_at=dead.waiting_since if dead and not circuit.reason else None,
        lifted=circuit.lifted or "", lifted_at=circuit.lifted_at,
        shadow=_compared(session, now) if version == now.shadow else None,
    )  # fmt: skip


def _part(now: Standing, version: str, waits: bool) -> str:
    if waits:
        return f"waiting for `isocenter package use {now.package} {version}`"
    if version == now.version:
        return f"reads ({now.why})" if now.why else "reads"
    if version == now.canary:
        return f"canary, {now.share:.0%} of the studies"
    return "shadow" if version == now.shadow else ""


def _compared(session: Session, now: Standing) -> Compared:
    query = select(ShadowRun.differs, func.count()).where(
        ShadowRun.package == now.package, ShadowRun.version == now.shadow, ShadowRun.state == ShadowState.READ,
    )  # fmt: skip
    query = query.where(col(ShadowRun.created_at) >= now.since) if now.since else query
    counts = dict(session.exec(query.group_by(col(ShadowRun.differs))).all())
    return Compared(read=sum(counts.values()), differ=counts.get(True, 0))
