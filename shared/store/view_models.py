"""The one JSON of a study, which the API, the page and `isocenter studies --json` give alike.

Keys are added, never renamed. Times are ISO 8601 with their zone; `…_seconds` are derived from them.
"""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel

Activity = Literal["", "running", "retrying"]
StepStatus = Literal["done", "now", "retrying", "ahead", "skipped", "held", "refused", "cancelled", "dead"]


class InstanceScoreView(BaseModel):
    """A gate's score of one instance."""

    sop_instance_uid: str
    score: float | None = None


class GateView(BaseModel):
    """What one gate said of one series; of the whole study when series_instance_uid is empty."""

    name: str
    version: str
    series_instance_uid: str
    score: float | None = None
    unit: str
    verdict: str
    reason: str
    instances: list[InstanceScoreView]


class RunView(BaseModel):
    """One package (version) on the study."""

    id: str
    package: str
    version: str
    kind: str
    state: str
    activity: Activity
    reason: str
    verdict: str
    findings: list[dict[str, Any]]
    findings_in_words: list[str]
    series: list[str]
    revision: int
    attempts: int
    next_at: datetime | None
    waits: str = ""  # why nothing of it is tried now: its package is left alone
    read_at: datetime | None
    reported_at: datetime | None
    delivered_at: datetime | None


class DeliveryView(BaseModel):
    """One result object on its way to one destination; `state` is "retrying" after a failed attempt."""

    id: str
    run_id: str
    package: str
    destination: str
    kind: str
    identifier: str
    state: str
    activity: Activity
    reason: str
    attempts: int
    next_at: datetime | None
    delivered_at: datetime | None


class SeriesView(BaseModel):
    """One series as it came."""

    series_instance_uid: str
    modality: str
    instances: int
    conflicts: int = 0  # other bytes that came under UIDs of this series


class StepView(BaseModel):
    """One stage of the path, and how the study stands to it."""

    stage: str
    status: StepStatus


class TimesView(BaseModel):
    """When what happened."""

    first_instance_at: datetime
    last_instance_at: datetime
    completed_at: datetime | None
    settled_at: datetime | None
    collecting_seconds: float  # first to last instance
    turnaround_seconds: float | None  # last instance to settled


class StudyView(BaseModel):
    """Where a study is, why, and what came out."""

    study_instance_uid: str
    accession_number: str
    state: str
    reason: str
    gates: list[GateView]
    runs: list[RunView]
    deliveries: list[DeliveryView]
    times: TimesView
    summary: str  # the same in one sentence
    activity: Activity
    path: list[StepView]
    revision: int
    priority: int
    calling_ae_title: str
    order_found: bool
    instances: int
    conflicts: int  # other bytes that came under known SOP Instance UIDs
    modalities: list[str]
    series: list[SeriesView]
    earlier_runs: list[RunView]  # of revisions before late images came


class JournalLine(BaseModel):
    """One thing that happened."""

    at: datetime
    subject: str
    event: str
    state: str
    reason: str
    actor: str


class RemovalView(BaseModel):
    """What retention removed, when, and by which rule."""

    study_instance_uid: str  # empty: orders, quarantine
    what: str
    rule: str
    count: int
    size: int  # bytes
    at: datetime
    finished_at: datetime | None


class ShadowView(BaseModel):
    """What a version said that only reads beside; it was never sent."""

    run_id: str
    package: str
    version: str
    state: str
    reason: str
    differs: bool
    findings_in_words: list[str]


class StudyDetail(StudyView):
    """A study with its last journal lines, oldest first."""

    journal: list[JournalLine]
    removed: list[RemovalView] = []
    shadows: list[ShadowView] = []
