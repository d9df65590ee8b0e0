"""The shipped chest_opacity: its map adds up, each patch stands alone, and it points at what was planted."""

import re
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from shared.imaging.steps import compile_steps
from shared.imaging.volume import Volume
from shared.packages.folder import load_package
from shared.packages.validation.judged import measured
from shared.packages.validation.predictions import read_predictions
from shared.phantoms.chest_dx import ChestRadiograph, chest_radiograph
from tests.recipes import outputs_of, recipe_of

FOLDER = Path(__file__).parents[2] / "model_repository" / "chest_opacity"
UNSEEN = range(300, 324)  # training starts at 1000, the demo uses 1 to 20


@cache
def _session() -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(FOLDER / "1" / "model.onnx", options, providers=["CPUExecutionProvider"])


def _read(rows: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    logit, patch_logits = _session().run(["logit", "patch_logits"], {"image": rows})
    return logit, patch_logits


def _row(radiograph: ChestRadiograph) -> NDArray[np.float32]:
    """One input row by the manifest's own steps, (1, 512, 512)."""
    steps = compile_steps(load_package(FOLDER).manifest.preprocess)
    pixels = radiograph.pixels.astype(np.float32)
    return steps(Volume.image(pixels)).array[0]


@cache
def _unseen(count: int) -> tuple[list[ChestRadiograph], NDArray[np.float32], NDArray[np.float32]]:
    """Radiographs of the unseen seeds with `count` opacities, their logits (n,) and maps (n, 8, 8)."""
    radiographs = [chest_radiograph(seed, count, (512, 512)) for seed in UNSEEN]
    outputs = [_read(_row(radiograph)[None]) for radiograph in radiographs]
    return radiographs, np.array([logit[0, 0] for logit, _ in outputs]), np.stack([maps[0] for _, maps in outputs])


def _touches(radiograph: ChestRadiograph, row: int, column: int) -> bool:
    """Whether the patch at row, column of the map touches a planted opacity."""
    return any(
        np.hypot(max(abs(64 * row + 32 - opacity.row) - 32, 0), max(abs(64 * column + 32 - opacity.column) - 32, 0))
        <= opacity.radius_px
        for opacity in radiograph.opacities
    )


def test_manifest_configuration_and_graph_agree() -> None:
    manifest = load_package(FOLDER).manifest
    config = (FOLDER / "config.pbtxt").read_text()
    for tensor in [*_session().get_inputs(), *_session().get_outputs()]:
        dims = ", ".join(str(size) for size in tensor.shape[1:])
        assert re.search(rf'name: "{tensor.name}", data_type: TYPE_FP32, dims: \[ {re.escape(dims)} \]', config)
    assert [tensor.name for tensor in _session().get_inputs()] == [manifest.tensors.pixels.name]
    assert list(_session().get_inputs()[0].shape[1:]) == manifest.tensors.pixels.shape
    outputs = {tensor.name for tensor in _session().get_outputs()}
    assert {output.tensor for output in manifest.outputs} | {manifest.explanation.tensor} == outputs
    assert f'name: "{manifest.package.name}"' in config
    assert manifest.package.use_mark == "not-for-clinical-use"


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_patch_logits_average_exactly_to_the_logit(batch: int) -> None:
    rows = np.random.default_rng(batch).random((batch, 1, 512, 512), np.float32)
    rows[0] = _row(chest_radiograph(300, 1, (512, 512)))
    logit, patch_logits = _read(rows)
    assert logit.shape == (batch, 1)
    assert patch_logits.shape == (batch, 8, 8)
    np.testing.assert_allclose(patch_logits.mean((1, 2), dtype=np.float64), logit[:, 0], atol=1e-5)


def test_changing_one_patch_changes_only_its_value() -> None:
    row = _row(chest_radiograph(301, 1, (512, 512)))
    _, before = _read(row[None])
    for patch_row, patch_column in ((0, 0), (3, 4), (7, 2)):
        changed = row.copy()
        place = (0, slice(64 * patch_row, 64 * patch_row + 64), slice(64 * patch_column, 64 * patch_column + 64))
        changed[place] = np.random.default_rng(0).random((64, 64), np.float32)
        _, after = _read(changed[None])
        difference = np.abs(after - before)[0]
        assert difference[patch_row, patch_column] > 1e-2
        difference[patch_row, patch_column] = 0
        assert difference.max() < 1e-5


def test_a_row_reads_the_same_alone_and_in_a_batch() -> None:
    rows = np.stack([_row(chest_radiograph(seed, 1, (512, 512))) for seed in (300, 301, 302)])
    together, _ = _read(rows)
    np.testing.assert_allclose(together[1], _read(rows[1:2])[0][0], atol=1e-4)


def test_planted_and_free_radiographs_of_unseen_people_are_told_apart() -> None:
    _, free, _ = _unseen(0)
    _, planted, _ = _unseen(2)
    assert (planted[:, None] > free[None, :]).mean() > 0.85  # AUROC
    assert (planted > free).mean() > 0.85  # the same person with and without


def test_the_map_peaks_on_the_planted_opacity() -> None:
    radiographs, logits, maps = _unseen(1)
    found = logits > 0
    peaks = [np.unravel_index(int(image.argmax()), image.shape) for image in maps]
    hits = np.array(
        [_touches(radiograph, int(r), int(c)) for radiograph, (r, c) in zip(radiographs, peaks, strict=True)]
    )
    by_chance = np.mean([_touches(radiograph, r, c) for radiograph in radiographs for r in range(8) for c in range(8)])
    assert found.sum() >= 8
    assert hits[found].mean() > 0.6
    assert by_chance < 0.12


def test_planting_an_opacity_raises_the_patches_it_lies_in() -> None:
    radiographs, _, maps = _unseen(1)
    _, _, free_maps = _unseen(0)
    gain = maps - free_maps
    touched = np.array(
        [[[_touches(radiograph, r, c) for c in range(8)] for r in range(8)] for radiograph in radiographs]
    )
    assert gain[touched].mean() > 10 * abs(gain[~touched].mean())


@pytest.mark.parametrize(("size", "people"), [((1024, 1024), 4), ((640, 512), 8)])
def test_other_matrices_keep_the_order(size: tuple[int, int], people: int) -> None:
    seeds = range(300, 300 + people)
    free = [_read(_row(chest_radiograph(seed, 0, size))[None])[0][0, 0] for seed in seeds]
    planted = [_read(_row(chest_radiograph(seed, 3, size))[None])[0][0, 0] for seed in seeds]
    assert np.mean(np.array(planted) > np.array(free)) >= 0.75


def test_the_card_states_the_figures_of_the_manifest() -> None:
    validation = load_package(FOLDER).manifest.validation
    card = (FOLDER / "README.md").read_text()
    assert validation["auroc"] > 0.9
    for name, value in validation.items():
        assert str(value) in card, name
    assert "not for clinical use" in card.lower()


def test_the_recorded_cases_give_the_figures_of_the_manifest_and_are_what_the_shipped_file_says() -> None:
    package = load_package(FOLDER)
    lines = read_predictions(FOLDER / "validation.csv")
    found = measured(package, lines)["opacity"]
    for name, value in found.items():
        assert package.manifest.validation[name] == pytest.approx(value, abs=6e-4), name
    for line in lines[:4]:
        radiograph = chest_radiograph(int(line.case), None, (512, 512))
        assert line.truth == bool(radiograph.opacities)
        logit, _ = _read(_row(radiograph)[None])
        assert 1 / (1 + np.exp(-logit[0, 0])) == pytest.approx(line.score, abs=0.02)  # the recipe keeps bytes
        assert line.strata["breast_shadow"] == ("yes" if radiograph.build.breast else "no")
        assert line.strata.get("opacities", "0") == str(len(radiograph.opacities))


def test_the_recipe_s_network_exports_to_the_shipped_tensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = recipe_of(FOLDER, monkeypatch)
    recipe.export(recipe.PatchNetwork(), tmp_path / "model.onnx")
    shipped, made = outputs_of(FOLDER / "1" / "model.onnx"), outputs_of(tmp_path / "model.onnx")
    assert [(name, shape[1:]) for name, shape in made] == [(name, shape[1:]) for name, shape in shipped]
