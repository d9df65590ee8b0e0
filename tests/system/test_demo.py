"""The demonstration as a person runs it; imports nothing of ours."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import pydicom
import pytest

from tests.servers import RABBITMQ, delete_queues, listens, new_database

pytestmark = [pytest.mark.system, pytest.mark.triton, pytest.mark.timeout(600)]
RUN = f"isocenter-test-{uuid.uuid4().hex}"
ISOCENTER = Path(sys.executable).with_name("isocenter")


def run_demo(*arguments, timeout=420, **variables):
    command = [ISOCENTER, "demo", *map(str, arguments)]
    environment = {**os.environ, "ISOCENTER_TEST_RUN": RUN, **variables}
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environment)


def load(out):
    return json.loads((out / "studies.json").read_text())


@pytest.fixture(
    scope="module", params=["embedded", pytest.param("servers", marks=[pytest.mark.postgres, pytest.mark.rabbitmq])]
)
def shown(request, tmp_path_factory, triton_environment):
    """What a demonstration leaves: on the embedded default, and on PostgreSQL with RabbitMQ."""
    out = tmp_path_factory.mktemp("demo") / "out"
    with servers() if request.param == "servers" else nullcontext({}) as variables:
        result = run_demo("--once", "--out", out, **variables)
    assert result.returncode == 0, result.stdout + result.stderr
    return out, load(out)["studies"], load(out)["made_up"]


@contextmanager
def servers():
    """A database and queues of this run's own."""
    if not (listens(5432) and listens(5672)):
        pytest.skip("no PostgreSQL on 127.0.0.1:5432 or no RabbitMQ on 127.0.0.1:5672")
    prefix = f"demo-{uuid.uuid4().hex[:12]}"
    with new_database() as url:
        yield {
            "ISOCENTER_DATABASE_URL": url, "ISOCENTER_BROKER_URL": RABBITMQ, "ISOCENTER_BROKER_PREFIX": prefix,
        }  # fmt: skip
    delete_queues(prefix)


def by_letter(studies, prefix):
    """The demonstration's pair of studies of a kind: A and B, by accession number."""
    pair = [s for s in studies if s["accession_number"].startswith(prefix)]
    return sorted(pair, key=lambda s: s["accession_number"])


def test_the_still_head_passes_and_the_moved_one_does_not(shown):
    _, studies, _ = shown
    still, moved = by_letter(studies, "MR")
    scores = [{g["name"]: g for g in s["gates"]}["motion_ssim"] for s in (still, moved)]
    assert scores[0]["verdict"] == "pass"
    assert scores[1]["verdict"] in ("warn", "hold")
    assert scores[1]["score"] < scores[0]["score"] - 0.05
    assert len(scores[0]["instances"]) == 24
    assert all(0 <= i["score"] <= 1 for i in scores[0]["instances"])
    assert still["state"] == "delivered"
    assert moved["state"] in ("delivered", "held")


def test_the_opacity_is_found_where_it_was_planted_and_none_where_none_was(shown):
    _, studies, made_up = shown
    with_opacities, clear = by_letter(studies, "DX")
    (found,) = with_opacities["runs"][0]["findings"]
    (nothing,) = clear["runs"][0]["findings"]
    assert (found["present"], nothing["present"]) == (True, False)
    assert nothing["regions"] == []
    planted = made_up[with_opacities["study_instance_uid"]]["opacities"]
    boxes = [box_of(region["points"]) for region in found["regions"]]
    assert boxes, "a region is outlined"
    hits = [
        any(left <= o["column"] <= right and top <= o["row"] <= bottom for o in planted)
        for left, top, right, bottom in boxes
    ]
    assert any(hits), (planted, boxes)
    logits = np.array(found["patch_map"]["logits"])
    assert logits.shape[0] > 4
    assert abs(1 / (1 + np.exp(-logits.mean())) - found["probability"]) < 1e-3, "the patch map is the explanation"


def box_of(points):
    columns, rows = zip(*points, strict=True)
    return min(columns), min(rows), max(columns), max(rows)


def lies_in(opacity, box):
    left, top, right, bottom = box
    return left <= opacity["column"] <= right and top <= opacity["row"] <= bottom


def test_sr_sc_and_oru_have_arrived(shown):
    out, studies, _ = shown
    objects = {p.stem: pydicom.dcmread(p) for p in (out / "pacs").glob("*.dcm")}
    messages = {p.stem: p.read_bytes().decode() for p in (out / "ris").glob("*.hl7")}
    for study in studies:
        deliveries = study["deliveries"]
        assert {d["kind"] for d in deliveries} >= {"SR", "SC", "ORU"}
        assert all(d["state"] == "delivered" for d in deliveries)
        for delivery in deliveries:
            if delivery["kind"] == "ORU":
                assert f"|{study['accession_number']}" in messages[delivery["identifier"]]
                assert "\rOBX|" in messages[delivery["identifier"]]
            else:
                ds = objects[delivery["identifier"]]
                assert ds.StudyInstanceUID == study["study_instance_uid"]
                assert ds.AccessionNumber == study["accession_number"]


def test_every_object_says_that_it_is_not_for_clinical_use(shown):
    out, _, _ = shown
    for path in (out / "pacs").glob("*.dcm"):
        text = str(pydicom.dcmread(path)).lower()
        assert "not for clinical use" in text or "not-for-clinical-use" in text, path.name
    for path in (out / "ris").glob("*.hl7"):
        assert "not for clinical use" in path.read_text().lower()


def test_no_process_is_left_behind(shown):
    """Every process of the demonstration inherited the name of the run; none is there any more."""
    assert [pid for pid in Path("/proc").glob("[0-9]*") if RUN in environment_of(pid)] == []


def environment_of(process):
    try:
        return (process / "environ").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def test_bad_use_is_told_with_exit_code_2(tmp_path):
    result = run_demo("--data", tmp_path / "nowhere")
    assert result.returncode == 2
    assert "nowhere" in result.stderr


def test_it_stays_up_until_ctrl_c_and_stops_cleanly(tmp_path, triton_environment):
    out = tmp_path / "out"
    process = subprocess.Popen(
        [ISOCENTER, "demo", "--out", out], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    lines = []
    deadline = time.monotonic() + 300
    for line in process.stdout:
        lines.append(line)
        if "Ctrl-C stops" in line or time.monotonic() > deadline:
            break
    assert "Ctrl-C stops" in lines[-1], "".join(lines)
    children = children_of(process.pid)
    assert len(children) >= 8
    process.send_signal(signal.SIGINT)
    process.stdout.read()
    assert process.wait(60) == 0
    assert not [pid for pid in children if alive(pid)]


def children_of(pid):
    table = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True).stdout.split()
    return [int(child) for child, parent in zip(table[::2], table[1::2], strict=True) if int(parent) == pid]


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.bench
def test_a_real_series_of_170_slices(tmp_path, bench, triton_environment):
    out = tmp_path / "out"
    result = run_demo("--once", "--out", out, "--data", bench / "data/dicom/series/mr_brain_t1_philips_elition")
    assert result.returncode == 0, result.stdout + result.stderr
    (study,) = load(out)["studies"]
    gate = {g["name"]: g for g in study["gates"]}["motion_ssim"]
    assert gate["verdict"] == "pass"
    assert len(gate["instances"]) == 170


@pytest.mark.bench
def test_everything_there_is_settles(tmp_path, bench, triton_environment):
    out = tmp_path / "out"
    result = run_demo("--once", "--out", out, "--data", bench / "data/dicom")
    page = load(out)
    assert result.returncode == 0, result.stdout + result.stderr
    assert len(page["studies"]) >= 50
    for study in page["studies"]:
        assert study["state"] in ("delivered", "held", "refused")
        assert study["state"] == "delivered" or study["reason"]
    assert all(refused["reason"] for refused in page["refused_instances"])
    assert page["skipped_files"] > 0
