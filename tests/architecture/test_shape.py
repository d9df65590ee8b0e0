"""The house: every service has the same files and headings, metrics are declared once, nothing imports torch."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SERVICES = ["admit", "collect", "decide", "gate", "infer", "report", "send", "status"]
WIRES = {
    "admit": ["mllp_listener.py"], "collect": ["scp.py"], "send": ["scu.py", "mllp_client.py"], "status": ["api.py"],
}  # fmt: skip
SOURCES = sorted([*ROOT.glob("services/**/*.py"), *ROOT.glob("shared/**/*.py")])
FILES = ["README.md", "__init__.py", "__main__.py", "settings.py", "handlers.py", "main.py"]
FORBIDDEN_NAMES = {"utils", "helper", "helpers", "common", "manager", "core", "queue", "triton", "logging"}


def test_the_directory_listing_is_the_path():
    folders = sorted(p.name for p in (ROOT / "services").iterdir() if p.is_dir() and p.name != "__pycache__")
    assert folders == SERVICES


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_the_same_files(service):
    folder = ROOT / "services" / service
    for name in [*FILES, *WIRES.get(service, [])]:
        assert (folder / name).is_file(), f"services/{service}/{name}"
    headings = re.findall(r"^## (.+)$", (folder / "README.md").read_text(), re.MULTILINE)
    assert [h for h in headings if h in ("Consumes", "Publishes", "Settings")] == ["Consumes", "Publishes", "Settings"]


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_says_what_it_is_and_stays_readable(path):
    text = path.read_text()
    assert path.stem not in FORBIDDEN_NAMES
    assert ast.get_docstring(ast.parse(text)), "opens with a docstring"
    assert len(text.splitlines()) <= 300


def test_metrics_are_declared_once():
    for path in SOURCES:
        if path.relative_to(ROOT) != Path("shared/metrics.py"):
            calls = re.findall(r"\b(Counter|Gauge|Histogram|Summary)\(\s*[\"']", path.read_text())
            assert not calls, path


@pytest.mark.parametrize("service", SERVICES)
def test_no_service_needs_torch(service):
    code = f"import services.{service}.main, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, timeout=120).returncode == 0
