"""A MONAI bundle with a sliding window, imported and served by Triton, segments a series as MONAI itself does."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.arrays import read_array
from shared.findings import Segmentation, load_findings
from shared.packages.folder import load_package
from shared.packages.making.draft import write_draft
from shared.packages.making.monai_bundle import import_bundle, open_bundle
from shared.phantoms.chest_ct import chest_ct
from shared.phantoms.dicom import CHEST_PATIENT, Visit, ct_series
from shared.study import RunState
from tests.at_work import AtWork, agrees
from tests.shared.test_tiling import fixed_network, torch

__all__ = ["torch"]
WINDOW = {"roi_size": [32, 24, 8], "overlap": 0.5, "mode": "gaussian", "sw_batch_size": 3}
STEPS = [
    {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
    {"_target_": "ScaleIntensityRanged", "keys": "image", "a_min": -1000, "a_max": 400, "b_min": 0, "b_max": 1,
     "clip": True},
]  # fmt: skip
CHANNELS = {"0": "background", "1": "dark", "2": "bright"}


@pytest.fixture
def scan(tmp_path: Path) -> list[Path]:
    """Nine slices of 70 by 70."""
    made, folder = chest_ct(9, 2, slices=9, size=70), tmp_path / "ct"
    folder.mkdir()
    for n, ds in enumerate(ct_series(made.volume, Visit(CHEST_PATIENT, "CT1"), spacing_mm=made.spacing_mm)):
        ds.save_as(folder / f"{n:02}.dcm", enforce_file_format=True)
    return sorted(folder.iterdir())


def write_bundle(torch: Any, network: Any, folder: Path) -> Path:
    pages = {
        "metadata": {"network_data_format": {
            "inputs": {"image": {"modality": "CT", "num_channels": 1, "spatial_shape": [32, 24, 8],
                                 "is_patch_data": True}},
            "outputs": {"pred": {"format": "segmentation", "num_channels": 3, "channel_def": CHANNELS}},
        }},
        "inference": {
            "preprocessing": {"_target_": "Compose", "transforms": STEPS},
            "inferer": {"_target_": "SlidingWindowInferer", **WINDOW},
            "postprocessing": {"transforms": [{"_target_": "Activationsd", "softmax": True}]},
        },
    }  # fmt: skip
    for name in ("configs", "models"):
        (folder / name).mkdir(parents=True)
    for name, page in pages.items():
        (folder / "configs" / f"{name}.json").write_text(json.dumps(page))
    torch.jit.script(network).save(str(folder / "models" / "model.ts"))
    return folder


def by_monai(torch: Any, network: Any, folder: Path) -> np.ndarray:
    """(channels, slices, rows, columns) of the series as it lies in the files."""
    import monai

    load = monai.transforms.LoadImage(reader="PydicomReader", ensure_channel_first=True)
    turn = monai.transforms.Orientation("RAS")
    turned = turn(load(str(folder)))
    scaled = monai.transforms.ScaleIntensityRange(-1000, 400, 0, 1, clip=True)(turned)
    with torch.no_grad():
        said = monai.inferers.SlidingWindowInferer(**WINDOW)(scaled[None], network)[0]
    said = monai.data.MetaTensor(said, meta=turned.meta, applied_operations=turned.applied_operations)
    return np.asarray(turn.inverse(said)).transpose(0, 3, 2, 1)


@pytest.mark.triton
def test_a_bundle_s_window_segments_as_monai_does(
    torch: Any, tmp_path: Path, scan: list[Path], opened: list[AtWork], triton_environment: Path
) -> None:
    pytest.importorskip("onnx", reason="onnx is in the train extra only")
    network, folder = fixed_network(torch, 3), tmp_path / "packages" / "tiny"
    with torch.no_grad():  # so that each of the three is likeliest somewhere
        network[2].weight *= 8
        network[2].bias.copy_(torch.tensor([0.0, 0.3, -0.3]))
    with open_bundle(write_bundle(torch, network, tmp_path / "bundle")) as bundle:
        assert bundle is not None
        write_draft(import_bundle(bundle, "tiny", folder, []), folder)
    manifest = folder / "package.toml"
    manifest.write_text(manifest.read_text().replace('version = "0.1.0"', 'version = "1.0.0"'))
    opened.append(work := AtWork(tmp_path, load_package(folder), scan, triton_environment))
    run = work.read()
    assert run.state == RunState.READ, run.reason
    (parts,) = load_findings(run.findings)
    assert isinstance(parts, Segmentation)
    ours, theirs = read_array(work.core.data_dir, parts.placed.array), by_monai(torch, network, scan[0].parent)
    ranked = np.sort(theirs, axis=0)
    sure = ranked[-1] - ranked[-2] > 1e-3  # where two are as likely, rounding decides
    assert sure.mean() > 0.99
    expected = theirs.argmax(axis=0)
    assert np.array_equal(ours[sure], expected[sure])
    assert min(np.bincount(expected.reshape(-1), minlength=3)) > 100
    agrees(work.report())
