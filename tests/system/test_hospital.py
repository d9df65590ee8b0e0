"""Isocenter in a real hospital: Orthanc sends and receives, OHIF shows, independent HL7 peers accept. Imports nothing
of ours; the hospital is the bench's, in a network namespace of its own."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.hospital import open_hospital
from tests.looking.hues import VIEWPORT, of_hue

pytestmark = [pytest.mark.hospital, pytest.mark.viewer, pytest.mark.triton, pytest.mark.timeout(900)]
ISOCENTER = Path(sys.executable).with_name("isocenter")
USE_MARK = "#f0e442"  # on every picture
OUTLINES = ["#00ff00", "#ffff00"]  # OHIF's own colours of a report's regions
ROOT = Path(__file__).parents[2]

PAGE = """
[isocenter]
data_dir = "{data}"

[collect]
port = 11112
quiet_seconds = 3

[admit]
port = 11113

[status]
port = 11180

[triton]
model_repository = "{root}/model_repository"
environment = "{root}/.venv-triton"

[[destinations]]
name = "TESTPACS"
kind = "dicom"
host = "127.0.0.1"
port = 14242
ae_title = "TESTPACS"

[[destinations]]
name = "RIS"
kind = "mllp"
host = "127.0.0.1"
port = 11114
"""

CHEST = """
import sys
from shared.phantoms.chest_dx import chest_radiograph
from shared.phantoms.dicom import CHEST_PATIENT, Visit, dx_image
chest = chest_radiograph(1, 2)
ds = dx_image(chest.pixels, Visit(CHEST_PATIENT, "DXHOSPITAL"), spacing_mm=chest.spacing_mm)
ds.save_as(sys.argv[1], enforce_file_format=True)
print(ds.StudyInstanceUID)
"""


class WithIsocenter:
    """The hospital, and an Isocenter inside it."""

    def __init__(self, hospital, page):
        self.hospital, self.page, self.folder, self.call = hospital, page, hospital.folder, hospital.call

    def studies(self):
        command = [ISOCENTER, "studies", "--json", "--config", self.page]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60)
        return json.loads(result.stdout)["studies"] if result.returncode == 0 else []

    def settled(self, uid, seconds=180):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            study = next((s for s in self.studies() if s["study_instance_uid"] == uid), None)
            if study and study["state"] in ("delivered", "held", "refused", "dead"):
                return study
            time.sleep(1)
        raise AssertionError(f"not settled: {self.studies()}\n{(self.folder / 'up.log').read_text()[-4000:]}")


@pytest.fixture(scope="module")
def hospital(tmp_path_factory, bench, hospital_home, triton_environment):
    folder = tmp_path_factory.mktemp("hospital")
    page = folder / "isocenter.toml"
    page.write_text(PAGE.format(data=folder / "data", root=ROOT))
    with open_hospital(bench, hospital_home, folder) as it:
        receiver = bench / "hospital/hl7/recv_hl7apy.py"
        peer = it.start_inside(it.python, receiver, 11114, folder / "ris.log", log="peer.log")
        up = it.start_inside(ISOCENTER, "up", "--config", page, log="up.log")
        try:
            wait_for(it, 11112)
            yield WithIsocenter(it, page)
        finally:
            up.terminate()
            up.wait(60)
            peer.terminate()
            peer.wait(10)


def wait_for(hospital, port):
    probe = f"import socket; socket.create_connection(('127.0.0.1', {port}), 1)"
    for _ in range(120):
        if subprocess.run([hospital.script, "exec", sys.executable, "-c", probe], capture_output=True).returncode == 0:
            return
        time.sleep(0.5)
    raise AssertionError((hospital.folder / "up.log").read_text())


def round_trip(hospital, source, uid, pulled):
    """A modality sends to PACS and to Isocenter; everything that the PACS then holds of the study is valid."""
    hospital.call("send", source)
    hospital.call("send", source, "ISOCENTER", "127.0.0.1", "11112")
    study = hospital.settled(uid)
    assert all(d["state"] == "delivered" for d in study["deliveries"])
    hospital.call("pull", uid, pulled)
    checked = hospital.call("check", pulled, check=False).splitlines()  # real sources have faults of their own
    for delivery in study["deliveries"]:
        if delivery["kind"] != "ORU":
            (line,) = [line for line in checked if f" {delivery['identifier']}.dcm" in line]
            assert line.startswith("ok "), "\n".join(checked)
    return study


def looked_at(hospital, shots, uid, series, colours, text=""):
    """The viewer draws the series: with these colours in it, and this text."""
    job = {"study": uid, "series": series, "colours": colours, "text": text, "shot": "seen"}
    hospital.hospital.look(shots, [job])
    with Image.open(shots / "seen.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))[VIEWPORT]
    assert all(of_hue(pixels, colour).sum() > 40 for colour in colours)
    assert text in (shots / "seen.txt").read_text()


def test_a_real_series_goes_round(hospital, bench, tmp_path):
    source = bench / "data/dicom/series/mr_brain_t1_philips_elition"
    uid = "1.3.46.670589.11.45053.5.0.19272.2021090212181635000"
    study = round_trip(hospital, source, uid, tmp_path / "pulled")
    assert study["state"] == "delivered"
    assert {g["name"]: g["verdict"] for g in study["gates"]}["motion_ssim"] == "pass"
    looked_at(hospital, tmp_path / "shots", uid, "AI picture: Motion in brain MR (not for clinical use)", [USE_MARK])


def test_a_radiograph_goes_round_and_ohif_draws_its_region_with_the_number(hospital, tmp_path):
    source = tmp_path / "chest"
    source.mkdir()
    made = subprocess.run([sys.executable, "-c", CHEST, source / "dx.dcm"], capture_output=True, text=True, cwd=ROOT)
    uid = made.stdout.strip()
    study = round_trip(hospital, source, uid, tmp_path / "pulled")
    assert study["state"] == "delivered"
    assert study["runs"][0]["findings"][0]["present"]
    title = "Opacity in a chest radiograph (not for clinical use)"
    looked_at(hospital, tmp_path / "shots", uid, f"AI picture: {title}", [USE_MARK])
    looked_at(hospital, tmp_path / "shots", uid, f"AI report: {title}", OUTLINES, text="mm2")
