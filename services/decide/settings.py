"""[decide] of `isocenter.toml`: the hospital's own rules on top of the packages' selectors."""

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.settings import Staged


class Rule(BaseModel):
    """[[decide.rules]]: what the hospital wants otherwise than the packages say; the first that fits counts."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    run: Literal["yes", "no"] = "yes"
    """"no": the package does not run on what fits; "yes" only sets the priority."""
    package: str = "*"
    """The package that the rule is about; "*" is every one."""
    calling_ae_title: list[str] = []
    """Who sent the study; empty: anyone."""
    modality: list[str] = []
    """Of the series; empty: any."""
    description: str = ""
    """A word in StudyDescription, SeriesDescription or ProtocolName, whatever its case; empty: any."""
    priority: int | None = Field(default=None, ge=0, le=9)
    """0 is STAT, 5 routine; without it the order's priority stands."""
    reason: str = ""
    """Written where a person asks why."""


class Settings(Staged):
    """What decide reads."""

    name: ClassVar[str] = "decide"

    concurrency: int = Field(default=1, ge=1, le=32)
    """Studies that are decided at once; each takes milliseconds."""
    rules: list[Rule] = []
    """Looked through in order; the first that fits counts."""
