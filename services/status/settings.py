"""[status] of `isocenter.toml`: where the page is, and what it may do."""

from typing import ClassVar

from pydantic import Field

from shared.settings import Section

_THIS_HOST = ("127.0.0.1", "localhost", "::1")


class Settings(Section):
    """The page and the API have no log-in: bind them where only those can reach them who may see and press."""

    name: ClassVar[str] = "status"

    host: str = "127.0.0.1"
    """The address that is listened on; by default this host alone."""
    port: int = Field(default=8600, ge=0, le=65535)
    """The port of page, API and metrics; 0 takes a free one."""
    host_names: list[str] = []
    """Names under which the page may be asked for; empty: any, or on a loopback address only this host's own."""
    allow_actions: bool = True
    """Whether complete, replay, cancel and release, and of packages use, rollback and lift, may be pressed on the page
    and over the API."""
    refresh_seconds: float = Field(default=0.7, ge=0.1, le=60)
    """How often the book is looked at while someone follows it live."""
    followed_studies: int = Field(default=200, ge=1, le=2000)
    """How many studies, those with the newest images, are followed live."""
    disk_free_gib: float = Field(default=2.0, ge=0)
    """Readiness turns red when less than this is free in the data folder."""

    @property
    def allowed_hosts(self) -> list[str]:
        """What a request's Host may say: a page elsewhere must not reach this one under a name of its own."""
        if self.host_names:
            return self.host_names
        return [*_THIS_HOST, "[::1]"] if self.host in _THIS_HOST else ["*"]
