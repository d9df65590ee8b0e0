"""deploy/prometheus: each alert fires on what it is for, and asks for a metric that exists."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from shared import metrics
from shared.supervisor import SERVICES

FOLDER = Path(__file__).parents[2] / "deploy" / "prometheus"
ALERTS = (FOLDER / "alerts.yml").read_text(encoding="utf-8")
NAMES = re.findall(r"- alert: (\w+)", ALERTS)


@pytest.mark.hospital
@pytest.mark.parametrize(
    "command",
    [("check", "config", "prometheus.yml"), ("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml")],
    ids=" ".join,
)
def test_promtool_accepts(command):
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool: apt-get install prometheus")
    done = subprocess.run([promtool, *command], cwd=FOLDER, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_asks_for_metrics_that_exist():
    families = [family for family in REGISTRY.collect() if family.name.startswith("isocenter_")]
    assert any(family.name == "isocenter_studies" for family in families), metrics.__name__
    suffixes = {"counter": ("_total",), "gauge": ("",), "histogram": ("_count", "_sum", "_bucket")}
    known = {family.name + suffix for family in families for suffix in suffixes[family.type]}
    expressions = re.sub(r"annotations:.*?(?=- alert|\Z)", "", ALERTS, flags=re.DOTALL)
    asked = set(re.findall(r"isocenter_\w+", expressions))
    assert asked
    assert asked <= known


def test_each_alert_is_tested_and_says_what_to_do():
    tested = (FOLDER / "alerts_test.yml").read_text(encoding="utf-8")
    assert len(NAMES) == len(set(NAMES))
    for name in NAMES:
        body = ALERTS.split(f"- alert: {name}\n")[1].split("- alert:")[0]
        assert all(f"{key}: " in body for key in ("severity", "summary", "do")), name
        assert f'alertname="{name}"' in tested, name


def test_every_service_is_scraped():
    page = (FOLDER / "prometheus.yml").read_text(encoding="utf-8")
    assert {name for name in SERVICES if f'"{name}:9600"' in page or f'"{name}:8600"' in page} == set(SERVICES)
