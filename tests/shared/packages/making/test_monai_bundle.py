"""A MONAI bundle, made here, becomes a package: axes in our order, transforms as steps, the rest told."""

import json
import shutil
import tomllib

import numpy as np
import pytest

from shared.packages.making.monai_bundle import import_bundle, open_bundle
from shared.packages.making.monai_steps import map_transforms
from shared.packages.making.onnx_file import CannotImport

METADATA = {
    "task": "Find the bright thing", "intended_use": "Nobody's: made in a test", "authors": "us",
    "eval_metrics": {"mean_dice": 0.9},
    "network_data_format": {
        "inputs": {"image": {"type": "image", "modality": "CT", "num_channels": 1, "spatial_shape": [8, 8, 8],
                             "is_patch_data": True}},
        "outputs": {"pred": {"type": "image", "format": "segmentation", "num_channels": 2,
                             "channel_def": {"0": "background", "1": "Bright thing"}}},
    },
}  # fmt: skip
INFERENCE = {
    "spacing": [2.0, 2.0, 3.0],
    "preprocessing": {"_target_": "Compose", "transforms": [
        {"_target_": "LoadImaged", "keys": "image"},
        {"_target_": "monai.transforms.EnsureChannelFirstd", "keys": "image"},
        {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
        {"_target_": "Spacingd", "keys": "image", "pixdim": "@spacing", "mode": "bilinear"},
        {"_target_": "ScaleIntensityRanged", "keys": "image", "a_min": -100, "a_max": 300, "b_min": 0, "b_max": 1,
         "clip": True},
        {"_target_": "RandFlipd", "keys": "image"},
        {"_target_": "Resized", "keys": "image", "spatial_size": "$tuple(@roi)"},
        {"_target_": "EnsureTyped", "keys": "image"},
    ]},
    "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [8, 6, 4], "overlap": 0.5, "mode": "gaussian",
                "sw_batch_size": 2},
    "postprocessing": {"_target_": "Compose", "transforms": [
        {"_target_": "Activationsd", "keys": "pred", "softmax": True},
        {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
        {"_target_": "KeepLargestConnectedComponentd", "keys": "pred"},
        {"_target_": "SaveImaged", "keys": "pred"},
    ]},
}  # fmt: skip


@pytest.fixture
def bundle(tmp_path):
    """A folder as MONAI lays it; its network answers with the neighbour in x direction."""
    torch = pytest.importorskip("torch", reason="torch is in the train extra only")
    pytest.importorskip("onnx", reason="onnx is in the train extra only")
    folder = tmp_path / "bright_thing"
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    (folder / "configs" / "metadata.json").write_text(json.dumps(METADATA))
    (folder / "configs" / "inference.json").write_text(json.dumps(INFERENCE))
    network = torch.nn.Conv3d(1, 2, 3, padding=1, bias=False)
    with torch.no_grad():
        network.weight.zero_()
        network.weight[1, 0, 2, 1, 1] = 1.0  # of (channel, x, y, z)
    torch.jit.script(network.eval()).save(str(folder / "models" / "model.ts"))
    return folder


def imported(path, into, modality=()):
    with open_bundle(path) as found:
        assert found is not None
        return import_bundle(found, "bright_thing", into, modality)


def test_what_maps_becomes_steps_and_the_rest_is_told(bundle, tmp_path):
    draft = imported(bundle, tmp_path / "package")
    assert [step.split('"')[1] for step in draft.steps] == [
        "modality_lut", "reorient", "resample", "scale_range",
    ]  # fmt: skip
    assert tomllib.loads(draft.tiles)["tiles"] == {
        "shape": [4, 6, 8], "overlap": 0.5, "blend": "gaussian", "at_once": 2,
    }  # fmt: skip
    assert "spacing = [3.0, 2.0, 2.0]" in draft.steps[2], "slices first, and the reference is followed"
    assert (draft.title, list(draft.modality)) == ("Find the bright thing", ["CT"])
    [output] = draft.outputs
    assert (output.kind, output.activation, output.labels) == ("segment", "softmax", ("Bright thing",))
    told = "\n".join(draft.notes)
    for part in ("RandFlipd", "Resize: spatial_size is an expression", "KeepLargest", "mean_dice"):
        assert part in told, part
    assert "inferer" not in told


def test_the_network_takes_and_gives_slices_rows_columns(bundle, tmp_path):
    import onnxruntime

    imported(bundle, tmp_path / "package")
    network = onnxruntime.InferenceSession(str(tmp_path / "package" / "1" / "model.onnx"))
    assert network.get_inputs()[0].shape == ["batch", 1, "slices", "rows", "columns"]
    volume = np.random.default_rng(0).random((2, 1, 4, 6, 10), np.float32)
    [answer] = network.run(None, {"image": volume})
    assert answer.shape == (2, 2, 4, 6, 10)
    assert np.array_equal(answer[:, 1, :, :, :-1], volume[:, 0, :, :, 1:]), "x are the columns"


@pytest.mark.parametrize("form", ["zip", "folder in a zip"])
def test_a_zip_is_taken_as_the_folder_is(bundle, tmp_path, form):
    root = bundle if form == "zip" else bundle.parent
    archive = shutil.make_archive(str(tmp_path / "elsewhere"), "zip", root, None if form == "zip" else bundle.name)
    assert imported(tmp_path / archive, tmp_path / "package").title == "Find the bright thing"


def test_the_pages_inside_a_torchscript_file_are_read(bundle, tmp_path):
    import torch

    pages = {"metadata.json": json.dumps(METADATA), "inference.json": json.dumps(INFERENCE)}
    network = torch.jit.load(str(bundle / "models" / "model.ts"))
    torch.jit.save(network, str(tmp_path / "exported.ts"), _extra_files=pages)
    assert len(imported(tmp_path / "exported.ts", tmp_path / "package", ["MR"]).steps) == 4
    with open_bundle(bundle / "models" / "model.ts") as plain:
        assert plain is None, "a TorchScript file without the pages is no bundle"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda root: (root / "models" / "model.ts").unlink(), "ckpt_export"),
        (lambda root: (root / "configs" / "inference.json").unlink(), "there is no configs/inference.json"),
        (lambda root: (root / "configs" / "metadata.json").write_text("[]"), "not a JSON object"),
        (lambda root: (root / "configs" / "metadata.json").write_text("{"), "is not JSON"),
        (lambda root: (root / "configs" / "metadata.json").write_text("{}"), "packages take one"),
        (lambda root: _channels(root, 4), "takes 4 channels"),
    ],
    ids=["no network", "no inference", "a list", "no JSON", "no tensors", "channels"],
)
def test_what_is_missing_is_told(bundle, tmp_path, spoil, said):
    spoil(bundle)
    with pytest.raises(CannotImport, match=said):
        imported(bundle, tmp_path / "package")


def _channels(root, number):
    page = json.loads(json.dumps(METADATA))
    page["network_data_format"]["inputs"]["image"]["num_channels"] = number
    (root / "configs" / "metadata.json").write_text(json.dumps(page))


def test_nothing_of_a_bundle_is_run():
    page = {"preprocessing": {"transforms": [{"_target_": "Spacingd", "pixdim": "$__import__('os').abort()"}]}}
    assert "is an expression" in map_transforms(page).notes[0]


@pytest.mark.parametrize(
    "page",
    [{}, {"preprocessing": None}, {"preprocessing": "@nowhere"}, {"preprocessing": {"transforms": [None, 3]}},
     {"preprocessing": [{"_target_": "Spacingd"}]}, {"preprocessing": [{"_target_": 7}]}],
)  # fmt: skip
def test_a_page_of_any_shape_is_taken(page):
    assert map_transforms(page).steps == []
