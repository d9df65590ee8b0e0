"""helm/isocenter: Helm's own renderer accepts it, and so do Kubernetes' schemas; its example values too."""

import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import pytest

from shared.cli.check import check_page
from shared.supervisor import SERVICES

HOME = Path(os.environ.get("HOSPITAL_HOME", Path(tempfile.gettempdir()) / "hospital"))
CHART = Path(__file__).parents[2] / "helm" / "isocenter"
VALUES = (CHART / "values.yaml").read_text(encoding="utf-8")
RENDER = """
import json, sys, yaml
import helm_python
given = yaml.safe_load(open(sys.argv[2])) if len(sys.argv) > 2 else None
rendered = helm_python.Chart.load(sys.argv[1]).render(given, name="rel", namespace="ns")
print(json.dumps({"given": given, "documents": [d for t in rendered.values() for d in yaml.safe_load_all(t) if d]}))
"""
CASES = [None, *sorted((CHART / "ci").glob("*-values.yaml"))]


@pytest.fixture(scope="module")
def hospital(bench):
    tool = bench / "hospital" / "hospital"
    python = HOME / "venv" / "bin" / "python"
    if not tool.exists() or not python.exists():
        pytest.skip("the hospital is not set up: hospital setup")
    if subprocess.run([python, "-c", "import helm_python, kubernetes_validate"], capture_output=True).returncode:
        pytest.skip("the hospital has no Helm: hospital setup, without 'peers'")
    return tool, python


def render(hospital, values=None):
    command = [hospital[1], "-c", RENDER, CHART, *([values] if values else [])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def chart(hospital, values):
    arguments = [f"{key}={json.dumps(value)}" for key, value in (values or {}).items()]
    command = [hospital[0], "chart", CHART, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.hospital
@pytest.mark.parametrize("values", CASES, ids=lambda path: path.stem if path else "defaults")
def test_helm_and_kubernetes_accept_the_chart(hospital, values):
    done = chart(hospital, render(hospital, values)["given"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("Deployment") >= len(SERVICES)


@pytest.mark.hospital
@pytest.mark.parametrize(
    "values",
    [{"services": {"collect": {"replicas": 2}}}, {"secretName": ""}, {"services": {"gates": {}}}, {"confg": "x"}],
    ids=json.dumps,
)
def test_what_would_go_wrong_is_refused(hospital, values):
    assert chart(hospital, values).returncode == 1


@pytest.mark.hospital
@pytest.mark.parametrize("values", CASES, ids=lambda path: path.stem if path else "defaults")
def test_every_service_is_confined_and_mounts_the_same_data(hospital, values):
    documents = render(hospital, values)["documents"]
    pods = {d["metadata"]["name"]: d["spec"]["template"]["spec"] for d in documents if d["kind"] == "Deployment"}
    services = {name: pods[f"rel-isocenter-{name}"] for name in SERVICES}
    claims = {v["persistentVolumeClaim"]["claimName"] for pod in services.values() for v in pod["volumes"][:1]}
    assert len(claims) == 1
    for pod in pods.values():
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["enableServiceLinks"] is False
    for name, pod in services.items():
        (container,) = pod["containers"]
        assert {"name": "SERVICE", "value": name} in container["env"]
        assert container["securityContext"]["readOnlyRootFilesystem"] is True


@pytest.mark.hospital
def test_the_port_for_tls_is_reached_where_there_is_one(hospital):
    def named(values):
        documents = render(hospital, values)["documents"]
        (service,) = (d for d in documents if d["kind"] == "Service" and d["metadata"]["name"].endswith("-collect"))
        return {port["name"]: port["port"] for port in service["spec"]["ports"]}

    assert named(None) == {"collect": 11112}
    assert named(CHART / "ci" / "hospital-values.yaml") == {"collect": 11112, "collect-tls": 2762}


@pytest.mark.hospital
@pytest.mark.parametrize("values", CASES, ids=lambda path: path.stem if path else "defaults")
def test_the_configuration_passes_isocenter_check(hospital, values, monkeypatch):
    monkeypatch.chdir(CHART.parents[1])
    (page,) = (d["data"]["isocenter.toml"] for d in render(hospital, values)["documents"] if d["kind"] == "ConfigMap")
    assert tomllib.loads(page)["isocenter"]["data_dir"] == "/var/lib/isocenter"
    assert check_page(page, "config") == []


def test_the_chart_has_every_service_and_no_secret():
    services = re.search(r"^services:\n(.*?)^\S", VALUES, re.DOTALL | re.MULTILINE)
    assert services is not None
    assert re.findall(r"^  (\w+):", services[1], re.MULTILINE) == sorted(SERVICES)
    assert not list(CHART.rglob("*secret*"))
    assert "kind: Secret" not in "".join(p.read_text(encoding="utf-8") for p in CHART.glob("templates/*"))


def test_the_secrets_keys_are_read(tmp_path):
    (tmp_path / "isocenter_database_url").write_text("postgresql+psycopg://a:b@c/d")
    (tmp_path / "isocenter_broker_url").write_text("amqp://e:f@g//")
    program = (
        "from shared.settings import Config, Core; c = Config().section(Core); print(c.database_url, c.broker_url)"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ISOCENTER_")}
    done = subprocess.run(
        [sys.executable, "-c", program], env={**environment, "ISOCENTER_SECRETS_DIR": str(tmp_path)},
        cwd=CHART.parents[1], capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["postgresql+psycopg://a:b@c/d", "amqp://e:f@g//"]
