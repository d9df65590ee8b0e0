"""[report] of `isocenter.toml`: how result objects are made."""

from typing import ClassVar

from pydantic import Field

from shared.settings import Staged


class Settings(Staged):
    """What report reads."""

    name: ClassVar[str] = "report"

    concurrency: int = Field(default=2, ge=1, le=32)
    """Runs whose result objects are made at once; each keeps a processor busy for some seconds."""
    series_number: int = Field(default=9000, ge=1, le=1_000_000)
    """Result series are numbered from here on; where the study's own series reach into it, from the next thousand."""
