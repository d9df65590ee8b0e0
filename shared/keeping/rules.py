"""[retention] of `isocenter.toml`: what may go, and when. Without a rule nothing that was acknowledged ever goes."""

from datetime import timedelta
from typing import ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from shared.settings import Section

What = Literal["images", "results", "record", "orders", "quarantine"]
OF_STUDIES: frozenset[str] = frozenset({"images", "results", "record"})


class Rule(BaseModel):
    """[[retention.rules]]: one thing that may go."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.-]{0,63}$")
    """Written down with everything that goes by it."""
    remove: What
    """"images": a study's stored instances; it can't be replayed then. "results": its result objects. "record": both,
    and all that the book says of it. "orders": those without a study. "quarantine": what could not be used."""
    states: list[Literal["delivered", "held", "refused", "cancelled", "dead"]] = []
    """Of studies in these states; required for images, results and record."""
    after_days: float = Field(gt=0)
    """This long after the study was settled, the order was due or received, or the bytes came into quarantine."""
    early_after_days: float | None = Field(default=None, gt=0)
    """Where room is short (`when_free_below_bytes`), already this long after; the oldest first. Without it: never
    early."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.remove in OF_STUDIES and not self.states:
            raise ValueError('needs states: of which studies, as ["delivered", "refused"]')
        if self.remove not in OF_STUDIES and (self.states or self.early_after_days):
            raise ValueError(f"states and early_after_days are of studies: leave them out with {self.remove}")
        if self.early_after_days and "dead" in self.states:
            raise ValueError("a dead study has undelivered results and never goes early: give it a rule of its own")
        if self.early_after_days and self.early_after_days > self.after_days:
            raise ValueError("early_after_days is earlier than after_days, or left out")
        return self

    def age(self, early: bool) -> timedelta | None:
        """How long what goes must have been settled; None: it does not go."""
        days = self.early_after_days if early else self.after_days
        return timedelta(days=days) if days else None


class Retention(Section):
    """What may go, and when. Read by collect."""

    name: ClassVar[str] = "retention"

    rules: list[Rule] = []
    """What may go, as [[retention.rules]]; none: nothing that was acknowledged ever goes."""
    when_free_below_bytes: int = Field(default=0, ge=0)
    """With less room than this on the disk, studies may go early, by the rules that have `early_after_days`; 0: never.
    Well above `collect.least_free_bytes`, below which images are refused."""
    quarantine_most_bytes: int = Field(default=10 * 2**30, ge=0)
    """The most that quarantine holds; beyond it the oldest goes, written down like all that goes. None of it was ever
    acknowledged. 0: no bound."""

    @field_validator("rules")
    @classmethod
    def _names_differ(cls, value: list[Rule]) -> list[Rule]:
        names = [rule.name for rule in value]
        if len(names) != len(set(names)):
            raise ValueError("two rules have the same name: give each its own")
        return value
