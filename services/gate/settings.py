"""[gate]: how strict the plain gates are, and how much is done at once."""

from typing import ClassVar

from pydantic import Field

from shared.settings import Staged


class Settings(Staged):
    """The gate service's table of `isocenter.toml`; thresholds of a gate stand in `[gates.<name>]`."""

    name: ClassVar[str] = "gate"

    concurrency: int = Field(default=1, ge=1, le=32)
    """Studies that are gated at once; each decodes with two threads and waits for Triton."""
    most_attempts: int = Field(default=10, ge=1, le=1000)
    """Attempts before a study is dead; with the doubling delay, ten are a quarter of an hour. While Triton as a whole
    is away nothing is taken up, and none is spent."""
    longest_work_seconds: float = Field(default=1800, ge=1, le=86400)
    """Work that takes longer hangs: its attempt counts as failed, and its process ends and is started again."""
    uneven_tolerance: float = Field(default=0.05, gt=0, lt=0.5)
    """Largest deviation from even spacing, as a part of the usual spacing: positions are written with few decimals."""
    tilt_tolerance_degrees: float = Field(default=0.5, gt=0)
    """Largest angle between the line of the slices' centres and their normal that counts as straight."""
    clipped_share: float = Field(default=0.1, gt=0, lt=1)
    """Part of an image's pixels at its brightest value, away from its border, above which it counts as clipped."""
    text_images: int = Field(default=3, ge=0, le=1000)
    """Images of a series, spread over it, that are looked into for burned-in text, where the extra `text` is installed:
    some 0.15 s each. 0 believes the header alone."""
    most_texts: int = Field(default=2, ge=0)
    """Pieces of text in an image that are no burned-in text: side markers."""
