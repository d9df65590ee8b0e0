"""[infer]: how much is read at once, and how patiently."""

from typing import ClassVar

from pydantic import Field

from shared.settings import Staged


class Settings(Staged):
    """The infer service's table of `isocenter.toml`; where Triton is stands in `[triton]`."""

    name: ClassVar[str] = "infer"

    concurrency: int = Field(default=1, ge=1, le=32)
    """Runs that are read at once; each decodes with two threads and waits for Triton."""
    most_attempts: int = Field(default=10, ge=1, le=1000)
    """Attempts before a run is dead; with the doubling delay, ten are a quarter of an hour. While Triton as a whole is
    away nothing is taken up, and none is spent."""
    longest_work_seconds: float = Field(default=1800, ge=1, le=86400)
    """Work that takes longer hangs: its attempt counts as failed, and its process ends and is started again."""
