"""Every version of a package, and what part it has now: for the command, the API and the page."""

from pydantic import BaseModel
from sqlmodel import Session

from shared.packages.installed import Installed
from shared.versions.choice import Standing, standing, waiting_versions


class VersionView(BaseModel):
    """A version of a package, and what it does."""

    version: str
    installed: bool
    part: str
    """In words: reads, canary, shadow, what it waits for; empty for one that lies there."""


def versions_view(session: Session, installed: Installed, package: str) -> list[VersionView]:
    """The versions that are installed or chosen, the newest first."""
    now, waiting = standing(session, installed, package), waiting_versions(session, installed, package)
    there = [p.version for p in installed.of(package)]
    gone = [version for version in (now.version, now.canary, now.shadow) if version and version not in there]
    return [
        VersionView(version=version, installed=version in there, part=_part(now, version, version in waiting))
        for version in [*gone, *reversed(there)]
    ]


def _part(now: Standing, version: str, waits: bool) -> str:
    if waits:
        return f"waiting for `isocenter package use {now.package} {version}`"
    if version == now.version:
        return f"reads ({now.why})" if now.why else "reads"
    if version == now.canary:
        return f"canary, {now.share:.0%} of the studies"
    return "shadow" if version == now.shadow else ""
