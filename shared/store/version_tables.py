"""The book's rows about versions of packages: which of them a person chose to read."""

from datetime import datetime

from sqlalchemy import Column, Text
from sqlmodel import Field, SQLModel

from shared.store.tables import UtcDateTime, utc_now


class PackageChoice(SQLModel, table=True):
    """A person chose versions of a package. The newest row of a package counts; the others are its history."""

    __tablename__ = "package_choice"

    id: int | None = Field(default=None, primary_key=True)
    package: str = Field(index=True, max_length=64)
    version: str = Field(max_length=32)  # reads, unless the canary does
    canary: str = Field(default="", max_length=32)  # reads a share of the studies
    share: float = 0.0  # 0 to 1
    shadow: str = Field(default="", max_length=32)  # reads beside, and its results are only compared
    before: str = Field(default="", max_length=32)  # to which a rollback goes back; empty: there is none
    who: str = Field(default="", max_length=128)
    why: str = Field(default="", sa_column=Column(Text))
    at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
