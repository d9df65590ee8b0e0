"""What status concludes from what it has found out: whether the system is ready, and the numbers of the book."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from statistics import median
from typing import Literal

from pydantic import BaseModel

from shared.checks import Check


class Readiness(BaseModel):
    """Every check by its name; red when one is."""

    status: Literal["ready", "not ready"]
    checks: dict[str, Check]


def readiness(checks: Mapping[str, Check]) -> Readiness:
    """Ready when every check is ok."""
    return Readiness(status="ready" if all(c.ok for c in checks.values()) else "not ready", checks=dict(checks))


def median_turnaround(ends: Sequence[tuple[datetime, datetime]]) -> float:
    """Median seconds from the last image to settled, of pairs of both; not a number when there is none."""
    return median((settled - last).total_seconds() for last, settled in ends) if ends else float("nan")


def age_seconds(since: datetime | None, now: datetime) -> float:
    """How long something has waited; 0 when nothing waits."""
    return max(0.0, (now - since).total_seconds()) if since else 0.0
