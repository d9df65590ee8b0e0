"""The shipped slice_transformer: padding changes nothing, its weights sum to one and point at what was planted."""

import re
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from PIL import Image

from shared.packages.folder import load_package
from shared.packages.limits import broken_limits
from shared.packages.validation.golden import read_golden, run_graph
from shared.packages.validation.tensors import check_tensors
from shared.phantoms.chest_ct import ChestCt, chest_ct
from tests.recipes import outputs_of, recipe_of
from tests.served import triton

FOLDER = Path(__file__).parents[2] / "model_repository" / "slice_transformer"
UNSEEN = range(300, 312)  # training starts at 10,000
RNG = np.random.default_rng(11)


@cache
def _session() -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(FOLDER / "1" / "model.onnx", options, providers=["CPUExecutionProvider"])


def _read(
    slices: NDArray[np.float32], mask: NDArray[np.float32] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Logit (n, 1) and weights (n, slices) of (n, 1, slices, 96, 96)."""
    mask = np.ones((len(slices), slices.shape[2]), np.float32) if mask is None else mask
    logit, weights = _session().run(["logit", "slice_weights"], {"slices": slices, "slice_mask": mask})
    return logit, weights


def _row(scan: ChestCt) -> NDArray[np.float32]:
    """One input row, (1, 1, slices, 96, 96), as the manifest's steps prepare it."""
    shown = np.clip((scan.volume.astype(np.float32) + 600.5) / 799 + 0.5, 0, 1)
    sized = [np.asarray(Image.fromarray(one).resize((96, 96), Image.Resampling.BILINEAR)) for one in shown]
    return np.stack(sized)[None, None]


@cache
def _unseen(nodules: int) -> tuple[list[ChestCt], NDArray[np.float32], list[NDArray[np.float32]]]:
    """Scans of the unseen seeds with `nodules`, their logits (n,) and weights, (slices,) each."""
    scans = [chest_ct(seed, nodules, size=128) for seed in UNSEEN]
    outputs = [_read(_row(scan)) for scan in scans]
    return scans, np.array([logit[0, 0] for logit, _ in outputs]), [weights[0] for _, weights in outputs]


def test_manifest_configuration_and_graph_agree() -> None:
    package = load_package(FOLDER)
    assert [(check.state, check.said) for check in check_tensors(package) if check.state != "ok"] == []
    free = {tensor.name: tensor.shape for tensor in (*_session().get_inputs(), *_session().get_outputs())}
    assert free == {
        "slices": ["batch", 1, "slices", 96, 96],
        "slice_mask": ["batch", "slices"],
        "logit": ["batch", 1],
        "slice_weights": ["batch", "slices"],
    }
    assert package.manifest.weights.digest == f"sha256:{package.weights_digest()}"
    assert package.weights.stat().st_size < 2_000_000
    assert broken_limits(package.manifest) == []


def test_golden_rows_give_the_golden_answer() -> None:
    package = load_package(FOLDER)
    golden = read_golden(package)
    assert golden is not None
    assert sorted(golden.inputs["slice_mask"].sum(1)) == [4, 6]  # one of the rows is padded
    for name, answer in run_graph(package, golden).items():
        np.testing.assert_allclose(answer, golden.outputs[name], atol=1e-4)


@pytest.mark.parametrize("before", [0, 3])
def test_padding_changes_nothing(before: int) -> None:
    row = _row(chest_ct(300, 1, slices=14, size=96))
    logit, weights = _read(row)
    padding = RNG.random((1, 1, 9, 96, 96), np.float32)
    padded = np.concatenate([padding[:, :, :before], row, padding[:, :, before:]], axis=2)
    mask = np.zeros((1, 23), np.float32)
    mask[:, before : before + 14] = 1
    padded_logit, padded_weights = _read(padded, mask)
    np.testing.assert_allclose(padded_logit, logit, atol=1e-5)
    np.testing.assert_allclose(padded_weights[:, before : before + 14], weights, atol=1e-5)
    assert not padded_weights[mask == 0].any()


@pytest.mark.parametrize("count", [1, 2, 8, 33, 80])
def test_any_number_of_slices_and_the_weights_sum_to_one(count: int) -> None:
    logit, weights = _read(RNG.random((2, 1, count, 96, 96), np.float32))
    assert (logit.shape, weights.shape) == ((2, 1), (2, count))
    assert np.isfinite(logit).all()
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(1, dtype=np.float64), 1, atol=1e-5)


def test_series_of_different_lengths_read_the_same_together_as_alone() -> None:
    rows = [_row(chest_ct(seed, 1, slices=count, size=96)) for seed, count in ((301, 9), (302, 20))]
    both, mask = np.zeros((2, 1, 20, 96, 96), np.float32), np.zeros((2, 20), np.float32)
    for n, row in enumerate(rows):
        both[n, :, : row.shape[2]], mask[n, : row.shape[2]] = row[0], 1
    together, _ = _read(both, mask)
    alone = np.concatenate([_read(row)[0] for row in rows])
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_a_series_read_from_the_other_end_gives_the_same() -> None:
    row = _row(chest_ct(303, 1, slices=17, size=96))
    (logit, weights), (other, turned) = _read(row), _read(row[:, :, ::-1].copy())
    np.testing.assert_allclose(other, logit, atol=1e-4)
    np.testing.assert_allclose(turned[:, ::-1], weights, atol=1e-5)


def test_planted_and_free_scans_of_unseen_people_are_told_apart() -> None:
    _, free, _ = _unseen(0)
    _, planted, _ = _unseen(2)
    assert (planted[:, None] > free[None, :]).mean() > 0.8  # AUROC
    assert (planted > free).mean() > 0.7  # the same person with and without; the smallest nodules are not found


def test_the_weights_point_at_the_slices_that_show_a_nodule() -> None:
    scans, _, weights = _unseen(2)
    hits = np.mean([scan.shows[weight.argmax()] for scan, weight in zip(scans, weights, strict=True)])
    by_chance = np.mean([scan.shows.mean() for scan in scans])
    assert hits >= 0.7
    assert by_chance < 0.5
    on_nodules = np.mean([weight[scan.shows].sum() for scan, weight in zip(scans, weights, strict=True)])
    assert on_nodules > by_chance + 0.2


def test_planting_a_nodule_draws_the_weight_to_its_slices() -> None:
    scans, _, weights = _unseen(1)
    _, _, before = _unseen(0)
    gained = [w[s.shows].sum() - b[s.shows].sum() for s, w, b in zip(scans, weights, before, strict=True)]
    assert np.mean(gained) > 0.2


def test_the_card_states_the_figures_of_the_manifest() -> None:
    validation = load_package(FOLDER).manifest.validation
    card = (FOLDER / "README.md").read_text()
    for name, value in validation.items():
        assert re.search(rf"(?<![\d.]){re.escape(str(value))}(?![\d])", card), name
    assert "not for clinical use" in card.lower()


@pytest.mark.triton
def test_triton_serves_series_of_any_length(tmp_path: Path, triton_environment: Path) -> None:
    with triton(tmp_path, triton_environment) as models:
        for seed, count in ((304, 9), (305, 31)):
            row = _row(chest_ct(seed, 1, slices=count, size=96))
            rows = {"slices": row, "slice_mask": np.ones((1, count), np.float32)}
            answer = models.infer("slice_transformer", rows)
            logit, weights = _read(row)
            np.testing.assert_allclose(answer["logit"], logit, atol=1e-4)
            np.testing.assert_allclose(answer["slice_weights"], weights, atol=1e-4)


def test_the_recipe_s_network_exports_to_the_shipped_tensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = recipe_of(FOLDER, monkeypatch)
    recipe.export(recipe.SliceTransformer(), tmp_path / "model.onnx")
    assert outputs_of(tmp_path / "model.onnx") == outputs_of(FOLDER / "1" / "model.onnx")
