"""Every event that Isocenter tells on the topic exchange `isocenter.events`, for anyone outside who listens.

Events say what happened; they carry identifiers and reasons, never pixels and never a patient's name or ID.
The routing key is `<subject>.<event>`: `study.completed`, `run.read`, `delivery.accepted`. Nothing inside the system
depends on them: the book says what to do, and the bells say that there is something to do.
"""

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Told(BaseModel):
    """What every event carries."""

    model_config = ConfigDict(frozen=True)

    schema_version: Literal[1] = 1
    subject: Literal["study", "run", "delivery"]
    event: str
    state: str
    study_instance_uid: str
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))

    @property
    def routing_key(self) -> str:
        return f"{self.subject}.{self.event}"


class StudyMoved(Told):
    """collect, decide, gate, send → anyone: a study is complete, refused, gated, delivered, held or dead."""

    subject: Literal["study"] = "study"
    revision: int


class RunMoved(Told):
    """gate, infer, report, send → anyone: a package has passed, read, reported or delivered."""

    subject: Literal["run"] = "run"
    run_id: str
    package: str
    version: str


class DeliveryMoved(Told):
    """send → anyone: a result object was accepted by its destination, or given up."""

    subject: Literal["delivery"] = "delivery"
    delivery_id: str
    destination: str
    kind: str
    identifier: str


def event_of(row: Any, event: str, state: str) -> dict[str, Any]:
    """The event that tells of `row`'s move, as JSON."""
    facts = {"event": str(event), "state": str(state), "study_instance_uid": row.study_instance_uid}
    name = type(row).__name__
    told: Told
    if name == "Study":
        told = StudyMoved(**facts, revision=row.revision)
    elif name == "Run":
        told = RunMoved(**facts, run_id=row.id, package=row.package, version=row.version)
    else:
        told = DeliveryMoved(
            **facts, delivery_id=row.id, destination=row.destination, kind=row.kind, identifier=row.identifier
        )
    return told.model_dump(mode="json")


def routing_key(event: dict[str, Any]) -> str:
    """`<subject>.<event>`, of an event as JSON."""
    return f"{event['subject']}.{event['event']}"
