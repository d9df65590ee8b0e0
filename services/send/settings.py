"""[send] of `isocenter.toml`: how results go out. The destinations themselves are [[destinations]]."""

from typing import ClassVar

from pydantic import Field

from shared.settings import Working


class Settings(Working):
    """What send reads."""

    name: ClassVar[str] = "send"

    ae_title: str = Field(default="ISOCENTER", min_length=1, max_length=16)
    """The AE title we call ourselves towards the PACS; its administrator must know it."""
    concurrency: int = Field(default=4, ge=1, le=32)
    """Deliveries under way at once, shared evenly among the destinations, each of which has at least one."""
    away_seconds: float = Field(default=5, gt=0)
    """A destination that can't be reached is left alone this long; doubled each time, up to a minute."""
