"""What status concludes."""

import math
from datetime import UTC, datetime, timedelta

from services.status.handlers import age_seconds, median_turnaround, readiness
from shared.checks import Check, disk_check

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_ready_only_when_every_check_is() -> None:
    good, bad = Check(ok=True), Check(ok=False, detail="away")
    assert readiness({"database": good, "broker": good}).status == "ready"
    assert readiness({"database": good, "broker": bad}).status == "not ready"
    assert readiness({"database": good, "broker": bad}).checks["broker"].detail == "away"


def test_disk() -> None:
    assert disk_check(3 * 2**30, 2).ok
    low = disk_check(2**30, 2)
    assert not low.ok
    assert low.detail.startswith("1.0 GiB free, less than the 2 GiB of status.disk_free_gib: make room")


def test_turnaround_is_the_median() -> None:
    ends = [(NOW, NOW + timedelta(seconds=s)) for s in (5, 100, 7)]
    assert median_turnaround(ends) == 7
    assert math.isnan(median_turnaround([]))


def test_age() -> None:
    assert age_seconds(NOW - timedelta(seconds=3), NOW) == 3
    assert age_seconds(None, NOW) == 0
    assert age_seconds(NOW + timedelta(seconds=3), NOW) == 0
