"""A sixth package: a network from elsewhere is imported and tried on a folder of DICOM, and nothing else is touched."""

import json
import os
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from shared.phantoms.chest_dx import chest_radiograph
from shared.phantoms.dicom import CHEST_PATIENT, Visit, dx_image

pytestmark = [pytest.mark.system, pytest.mark.triton, pytest.mark.timeout(300)]
ISOCENTER = Path(sys.executable).with_name("isocenter")
TRIED = "sixth_package"


def isocenter(*arguments):
    command = [ISOCENTER, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, env=dict(os.environ))


@pytest.fixture
def folder(tmp_path):
    """One generated chest radiograph."""
    chest = chest_radiograph(1, 2, (512, 512))
    visit = Visit(CHEST_PATIENT, "DX000006", datetime.now(), "sixth")
    (tmp_path / "dicom").mkdir()
    image = dx_image(chest.pixels, visit, spacing_mm=chest.spacing_mm)
    image.save_as(tmp_path / "dicom" / "image.dcm", enforce_file_format=True)
    return tmp_path / "dicom"


def test_a_network_from_elsewhere_is_imported_and_its_result_reaches_the_pacs(
    tmp_path, folder, pytestconfig, triton_environment
):
    packages = tmp_path / "packages"
    packages.mkdir()
    page = tmp_path / "isocenter.toml"
    page.write_text(f'[triton]\nmodel_repository = "{packages}"\nenvironment = "{triton_environment}"\n')
    network = tmp_path / "network.onnx"
    shutil.copy(pytestconfig.rootpath / "model_repository" / "chest_opacity" / "1" / "model.onnx", network)

    made = isocenter("package", "import", network, "--name", TRIED, "--modality", "DX", "--config", page)
    assert made.returncode == 0, made.stdout + made.stderr
    # what only a person knows: of the two outputs the logit is the one to be told
    manifest = packages / TRIED / "package.toml"
    first, second = manifest.read_text().split('[[outputs]]\nname = "patch_logits"')
    manifest.write_text(first + second[second.index("[gates]") :])

    tried = isocenter("package", "try", TRIED, folder, "--out", tmp_path / "out", "--config", page)
    assert tried.returncode == 0, tried.stdout + tried.stderr
    (study,) = json.loads((tmp_path / "out" / "studies.json").read_text())["studies"]
    assert study["state"] == "delivered"
    assert [run["package"] for run in study["runs"]] == [TRIED], "and no other package was asked"
    assert list((tmp_path / "out" / "pacs").rglob("*.dcm")), "its objects are in the PACS"
