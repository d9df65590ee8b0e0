"""The book: what is known of every order, study, instance, gate result, run and delivery.

Patient identifiers live here and in the files, never in logs, metrics or events. Times are UTC.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Column, DateTime, Dialect, Text
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field, SQLModel

from shared.digest import MOST_CHARACTERS
from shared.study import CommitmentState, DeliveryState, RunState, StudyState


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time, UTC in every database (SQLite drops the zone)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def utc_now() -> datetime:
    """Now, with its zone."""
    return datetime.now(UTC)


class Order(SQLModel, table=True):
    """What the RIS ordered (HL7 v2.5.1 chapter 4), by accession number."""

    __tablename__ = "orders"

    id: int | None = Field(default=None, primary_key=True)
    accession_number: str = Field(index=True, unique=True, max_length=64)
    patient_id: str = Field(default="", index=True, max_length=255)
    placer_order_number: str = ""  # ORC-2
    filler_order_number: str = ""  # ORC-3
    study_instance_uid: str = Field(default="", index=True, max_length=64)  # ZDS-1 or IPC-3
    requested_procedure: str = ""  # OBR-4 as received
    order_control: str = ""  # ORC-1
    priority: int = 5  # 0 is STAT; larger waits longer
    scheduled_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    received_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    message_control_id: str = ""  # MSH-10
    character_set: str = ""  # MSH-18
    segments: dict[str, str] = Field(default_factory=dict, sa_column=Column(JSON))  # PID, PV1, ORC, OBR as received


class Leased(SQLModel):
    """Who works on a row, until when, how often it was tried, and when it may be tried next."""

    lease_owner: str = Field(default="", max_length=128)
    lease_until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    attempts: int = 0
    next_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    priority: int = 5
    waiting_since: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    # Whose turn it is: the smallest first. It is waiting_since plus some time per priority step, so that urgent
    # work overtakes, and routine work that has waited long enough overtakes fresh urgent work.
    due_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime, index=True)


class Study(Leased, table=True):
    """One study as the PACS sent it."""

    study_instance_uid: str = Field(primary_key=True, max_length=64)
    state: str = Field(default=StudyState.COLLECTING, index=True, max_length=16)
    reason: str = Field(default="", sa_column=Column(Text))
    revision: int = 1  # grows when late images reopen the study
    accession_number: str = Field(default="", index=True, max_length=64)
    patient_id: str = Field(default="", max_length=255)
    study_date: str = Field(default="", max_length=16)
    calling_ae_title: str = Field(default="", max_length=16)
    order_id: int | None = Field(default=None, foreign_key="orders.id")
    first_instance_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    last_instance_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime, index=True)
    active_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)  # an association that carried it was open
    completed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    settled_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    images_removed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)  # the last time that retention did
    results_removed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class Instance(SQLModel, table=True):
    """One stored SOP instance. The file is the truth; this row is its index."""

    study_instance_uid: str = Field(primary_key=True, max_length=64)
    sop_instance_uid: str = Field(primary_key=True, max_length=64, index=True)
    series_instance_uid: str = Field(index=True, max_length=64)
    sop_class_uid: str = Field(max_length=64)
    transfer_syntax_uid: str = Field(max_length=64)
    path: str = Field(sa_column=Column(Text))  # below the store's folder
    size: int = Field(sa_type=BigInteger)
    digest: str = Field(max_length=MOST_CHARACTERS)  # shared.digest, of the data set as received
    calling_ae_title: str = Field(default="", max_length=16)
    received_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    header: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON))  # the attributes that rules look at
    conflicts: int = 0  # how many other bytes came under the same UID: rows `duplicate`
    removed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)  # by retention; what came is still known


class Duplicate(SQLModel, table=True):
    """Other bytes under an instance's UID that are kept and not read."""

    path: str = Field(primary_key=True, max_length=255)  # below the store's folder
    study_instance_uid: str = Field(index=True, max_length=64)
    sop_instance_uid: str = Field(max_length=64)
    size: int = Field(sa_type=BigInteger)
    digest: str = Field(max_length=MOST_CHARACTERS)  # shared.digest, of the data set as received
    calling_ae_title: str = Field(default="", max_length=16)
    received_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    overtaken: bool = False  # others came after them, and are read: sent again, they change nothing


class GateResult(SQLModel, table=True):
    """What one gate said of one series (or of the whole study: series_instance_uid is empty)."""

    __tablename__ = "gate_result"

    id: int | None = Field(default=None, primary_key=True)
    study_instance_uid: str = Field(index=True, max_length=64, foreign_key="study.study_instance_uid")
    revision: int
    name: str = Field(max_length=64)
    version: str = Field(default="", max_length=32)
    series_instance_uid: str = Field(default="", max_length=64)
    score: float | None = None
    unit: str = Field(default="1", max_length=16)  # UCUM
    verdict: str = Field(max_length=8)  # pass | warn | hold
    reason: str = Field(default="", sa_column=Column(Text))
    instances: list[dict[str, Any]] = Field(default_factory=list, sa_column=Column(JSON))
    at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)


class Run(Leased, table=True):
    """One package (version) on one study."""

    id: str = Field(primary_key=True, max_length=36)  # derived: study, package, version, digest of the input
    study_instance_uid: str = Field(index=True, max_length=64, foreign_key="study.study_instance_uid")
    revision: int
    package: str = Field(max_length=64)
    version: str = Field(max_length=32)
    kind: str = Field(max_length=16)  # gate | reader
    state: str = Field(default=RunState.WAITING, index=True, max_length=16)
    reason: str = Field(default="", sa_column=Column(Text))
    failure: str = Field(default="", max_length=16)  # shared.study.Failure, of a run that was given up without result
    verdict: str = Field(default="", max_length=8)  # the gates' word: pass | warn | hold
    series: list[str] = Field(default_factory=list, sa_column=Column(JSON))  # series_instance_uid of the input
    # of a package that reads a study: its names of series → series_instance_uid; a name that is missing is not there
    inputs: dict[str, str] = Field(default_factory=dict, sa_column=Column(JSON))
    input_digest: str = Field(default="", max_length=64)
    findings: list[dict[str, Any]] = Field(default_factory=list, sa_column=Column(JSON))
    supersedes: str = Field(default="", max_length=36)
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    read_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    reported_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    delivered_at: datetime | None = Field(default=None, sa_type=UtcDateTime)

    @property
    def is_unsure(self) -> bool:
        """Whether a held run was let through by the gates: its package was not sure enough of anything to say it."""
        return self.state in (RunState.HOLDING, RunState.HELD) and self.verdict != "hold"


class Delivery(Leased, table=True):
    """One result object on its way to one destination."""

    id: str = Field(primary_key=True, max_length=36)  # derived: run, destination, identifier
    run_id: str = Field(index=True, max_length=36, foreign_key="run.id")
    study_instance_uid: str = Field(index=True, max_length=64, foreign_key="study.study_instance_uid")
    destination: str = Field(index=True, max_length=64)
    kind: str = Field(max_length=8)  # SR | SC | ORU …
    identifier: str = Field(max_length=64)  # SOP Instance UID, or MSH-10
    path: str = Field(sa_column=Column(Text))  # below the data folder
    state: str = Field(default=DeliveryState.WAITING, index=True, max_length=16)
    reason: str = Field(default="", sa_column=Column(Text))
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    delivered_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    removed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)  # the file at `path`, by retention
    times_stored: int = 0  # since it was entered or replayed, where its destination is asked whether it keeps it


class CommitmentAsked(SQLModel, table=True):
    """We asked a destination whether it keeps a result object: one Transaction UID for one delivery, once."""

    __tablename__ = "commitment_asked"

    transaction_uid: str = Field(primary_key=True, max_length=64)
    delivery_id: str = Field(index=True, max_length=36)
    asked_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)  # written before the question goes out
    taken: bool = False  # the destination took the question
    answered_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    failure_reason: int = 0  # (0008,1197) of the answer; 0: it keeps the object


class Commitment(Leased, table=True):
    """A sender asked us whether we keep its instances (PS3.4 Annex J)."""

    id: str = Field(primary_key=True, max_length=36)  # derived: sender, Transaction UID, what is referenced
    transaction_uid: str = Field(index=True, max_length=64)
    calling_ae_title: str = Field(max_length=16)
    called_ae_title: str = Field(default="", max_length=16)  # the name of ours by which it asked
    # pairs of SOP Class UID and SOP Instance UID, as asked
    references: list[tuple[str, str]] = Field(default_factory=list, sa_column=Column(JSON))
    state: str = Field(default=CommitmentState.ASKED, index=True, max_length=16)
    reason: str = Field(default="", sa_column=Column(Text))
    received_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    reported_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class Pace(SQLModel, table=True):
    """When the next object may go to a destination that takes so many a minute."""

    destination: str = Field(primary_key=True, max_length=64)
    free_at: datetime = Field(sa_type=UtcDateTime)


class Outbox(SQLModel, table=True):
    """What is to be rung and told after the commit that wrote it."""

    id: int | None = Field(default=None, primary_key=True)
    stage: str = Field(default="", max_length=16)  # the queue to ring, if any
    row_id: str = Field(default="", max_length=64)
    event: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON))
    at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)


class Journal(SQLModel, table=True):
    """What happened to a study, in order; written with the move itself."""

    id: int | None = Field(default=None, primary_key=True)
    study_instance_uid: str = Field(index=True, max_length=64)
    subject: str = Field(max_length=128)  # study | run motion_ssim 1.0.0 | delivery SR → PACS
    event: str = Field(max_length=32)
    state: str = Field(max_length=16)
    reason: str = Field(default="", sa_column=Column(Text))
    actor: str = Field(default="", max_length=128)
    at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)


class Quarantine(SQLModel, table=True):
    """Bytes that came in and could not be used, kept with the reason."""

    id: int | None = Field(default=None, primary_key=True)
    source: str = Field(max_length=8)  # dicom | hl7
    peer: str = Field(default="", max_length=64)  # AE title or address
    reason: str = Field(sa_column=Column(Text))
    path: str = Field(default="", sa_column=Column(Text))  # below the quarantine folder; empty when no bytes came
    size: int = Field(default=0, sa_type=BigInteger)
    at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)


class Removal(SQLModel, table=True):
    """What retention removed: written with the removal itself, and kept."""

    id: str = Field(primary_key=True, max_length=36)
    study_instance_uid: str = Field(default="", index=True, max_length=64)  # empty: orders, quarantine
    what: str = Field(max_length=16)  # images | results | record | orders | quarantine
    rule: str = Field(max_length=64)
    count: int = 0
    size: int = Field(default=0, sa_type=BigInteger)  # bytes
    at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime, index=True)
    finished_at: datetime | None = Field(default=None, sa_type=UtcDateTime)  # its files are gone


class Reconciliation(SQLModel, table=True):
    """A look through the whole store that came to its end; what has not changed since need not be looked at again."""

    id: int | None = Field(default=None, primary_key=True)
    started_at: datetime = Field(sa_type=UtcDateTime)
    finished_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    found: dict[str, int] = Field(default_factory=dict, sa_column=Column(JSON))
