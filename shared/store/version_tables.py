"""The book's rows about versions of packages: which of them a person chose to read, and what shadows said."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Column, Text
from sqlmodel import Field, SQLModel

from shared.store.tables import Leased, UtcDateTime, utc_now
from shared.study import ShadowState


class PackageChoice(SQLModel, table=True):
    """A person chose versions of a package, or the first one read. The newest row of a package counts; the others are
    its history."""

    __tablename__ = "package_choice"

    id: int | None = Field(default=None, primary_key=True)
    package: str = Field(index=True, max_length=64)
    version: str = Field(max_length=32)  # reads, unless the canary does
    canary: str = Field(default="", max_length=32)  # reads a share of the studies
    share: float = 0.0  # 0 to 1
    shadow: str = Field(default="", max_length=32)  # reads beside, and its results are only compared
    before: str = Field(default="", max_length=32)  # to which a rollback goes back; empty: there is none
    weights: dict[str, str] = Field(default_factory=dict, sa_column=Column(JSON))  # SHA-256 by version, as chosen
    who: str = Field(default="", max_length=128)
    why: str = Field(default="", sa_column=Column(Text))
    at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)


class ShadowRun(Leased, table=True):
    """A version read the same images as a run that was read, to be compared: it is never sent and holds nothing up."""

    __tablename__ = "shadow_run"

    id: str = Field(primary_key=True, max_length=36)  # derived: run, version
    run_id: str = Field(index=True, max_length=36, foreign_key="run.id")
    study_instance_uid: str = Field(index=True, max_length=64, foreign_key="study.study_instance_uid")
    package: str = Field(index=True, max_length=64)
    version: str = Field(max_length=32)
    state: str = Field(default=ShadowState.WAITING, index=True, max_length=16)
    reason: str = Field(default="", sa_column=Column(Text))
    findings: list[dict[str, Any]] = Field(default_factory=list, sa_column=Column(JSON))
    differs: bool = False  # it says another class, or says something where the run says nothing, or the reverse
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
