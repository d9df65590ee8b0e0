"""[infer]: how much is read at once, and how patiently."""

from typing import ClassVar

from pydantic import Field

from shared.settings import Section


class Settings(Section):
    """The infer service's table of `isocenter.toml`; where Triton is stands in `[triton]`."""

    name: ClassVar[str] = "infer"

    concurrency: int = Field(default=1, ge=1, le=32)
    """Runs that are read at once; each decodes with two threads and waits for Triton."""
    most_attempts: int = Field(default=10, ge=1)
    """Attempts before a run is dead when Triton does not answer; with the doubling delay, ten are a quarter of an
    hour."""
