"""What the checks of a run saw."""

from dataclasses import dataclass, field


@dataclass
class Outcome:
    """What differs, in words, and how much was looked at."""

    differs: list[str] = field(default_factory=list)
    recomputed: int = 0
    compared: int = 0
    referenced: int = 0
