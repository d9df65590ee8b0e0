"""Steps that a bundle's transforms became prepare a real series as MONAI itself does, in the same places."""

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from shared.imaging.frames import load_frames
from shared.imaging.volume import Volume
from shared.packages.making.monai_steps import map_transforms
from shared.phantoms.chest_ct import chest_ct
from shared.phantoms.dicom import CHEST_PATIENT, Visit, ct_series
from tests.volumes import apply

RANGE = {"_target_": "ScaleIntensityRanged", "keys": "image", "a_min": -900, "a_max": 300, "b_min": 0, "b_max": 1,
         "clip": True}  # fmt: skip
CASES: dict[str, list[dict[str, Any]]] = {
    "range": [RANGE],
    "percentiles": [{"_target_": "ScaleIntensityRangePercentilesd", "keys": "image", "lower": 2, "upper": 95,
                     "b_min": 0, "b_max": 1, "clip": True}],
    "whole range": [{"_target_": "ScaleIntensityd", "keys": "image"}],
    "normal": [{"_target_": "NormalizeIntensityd", "keys": "image"}],
    "normal by numbers": [{"_target_": "NormalizeIntensityd", "keys": "image", "subtrahend": -400, "divisor": 250}],
    "RAS": [{"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"}, RANGE],
    "AIL": [{"_target_": "Orientationd", "keys": "image", "axcodes": "AIL"}, RANGE],
    "foreground": [RANGE, {"_target_": "CropForegroundd", "keys": "image", "source_key": "image"}],
    "padded": [RANGE, {"_target_": "SpatialPadd", "keys": "image", "spatial_size": [100, 104, 16]}],
    "multiple": [RANGE, {"_target_": "DivisiblePadd", "keys": "image", "k": [64, 32, 16]}],
    "cropped": [RANGE, {"_target_": "CenterSpatialCropd", "keys": "image", "roi_size": [60, 50, 8]}],
    "crop or pad": [RANGE, {"_target_": "ResizeWithPadOrCropd", "keys": "image", "spatial_size": [60, 120, 16]}],
}  # fmt: skip
BETWEEN = {
    "spacing": [{"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"}, RANGE,
                {"_target_": "Spacingd", "keys": "image", "pixdim": [6.0, 5.0, 9.0], "mode": "bilinear"}],
    "resized": [RANGE, {"_target_": "Resized", "keys": "image", "spatial_size": [48, 60, 8]}],
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A soft CT: where values change slowly, half a voxel more or less makes no difference."""
    into, scan = tmp_path_factory.mktemp("ct"), chest_ct(9, 2, slices=12, size=96)
    soft = gaussian_filter(scan.volume.astype(np.float32), (1, 4, 4)).astype(np.int16)
    for n, ds in enumerate(ct_series(soft, Visit(CHEST_PATIENT, "CT1"), spacing_mm=scan.spacing_mm)):
        ds.save_as(into / f"{n:02}.dcm", enforce_file_format=True)
    return into


def by_monai(folder: Path, transforms: list[dict[str, Any]]) -> np.ndarray:
    monai = pytest.importorskip("monai", reason="MONAI is installed where the recipes' tests run, and only there")
    loaded = monai.transforms.LoadImaged(keys="image", reader="PydicomReader", ensure_channel_first=True)
    data = loaded({"image": str(folder)})
    for transform in transforms:
        given = {key: value for key, value in transform.items() if key != "_target_"}
        data = getattr(monai.transforms, transform["_target_"])(**given)(data)
    return np.asarray(data["image"])[0].transpose(2, 1, 0)  # as we keep volumes


def by_us(folder: Path, transforms: list[dict[str, Any]]) -> np.ndarray:
    mapped = map_transforms({"preprocessing": transforms})
    assert mapped.notes == []
    tables = tomllib.loads("\n".join(mapped.steps))["preprocess"]
    steps = [(table.pop("step"), table) for table in tables]
    return apply(Volume.of(load_frames(sorted(folder.iterdir()))), ("modality_lut", {}), *steps).array[0]


@pytest.mark.parametrize("case", CASES)
def test_values_and_places_are_those_of_monai(folder: Path, case: str) -> None:
    theirs, ours = by_monai(folder, CASES[case]), by_us(folder, CASES[case])
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("case", BETWEEN)
def test_between_voxels_we_agree_but_for_the_grid_s_offset(folder: Path, case: str) -> None:
    """MONAI keeps the first voxel's middle, we keep the volume's: less than a voxel lies between."""
    theirs, ours = by_monai(folder, BETWEEN[case]), by_us(folder, BETWEEN[case])
    assert np.abs(np.subtract(ours.shape, theirs.shape)).max() <= 1
    common = tuple(slice(0, min(pair)) for pair in zip(ours.shape, theirs.shape, strict=True))
    a, b = ours[common], theirs[common]
    alike = np.corrcoef(a.ravel(), b.ravel())[0, 1]
    assert alike > 0.98
    for axis in range(3):
        assert np.corrcoef(np.flip(a, axis).ravel(), b.ravel())[0, 1] < alike - 0.01, "turned round, it is not alike"
