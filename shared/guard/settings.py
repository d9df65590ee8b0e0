"""[guard]: when a package that fails is left alone."""

from typing import ClassVar

from pydantic import Field

from shared.settings import Section


class Guard(Section):
    """What keeps a package that fails from holding up the others. Read by gate and infer."""

    name: ClassVar[str] = "guard"

    failures: int = Field(default=3, ge=1, le=100)
    """Failures of a package's model in a row (no answer in time, or not loaded) after which its runs wait, and one at a
    time tries. While Triton as a whole is away none is counted."""
    nonsense: int = Field(default=3, ge=1, le=100)
    """Answers of a reader's model in a row that are not what its manifest says (no such output, another shape, values
    that are not finite) after which it is quarantined: its runs wait until `isocenter package lift NAME`."""
    first_pause_seconds: float = Field(default=10, gt=0, le=3600)
    """How long nothing of it is tried then; doubled each time that the one that tries fails too."""
    longest_pause_seconds: float = Field(default=300, gt=0, le=86400)
    """The longest such pause."""
