"""The shipped motion gate: its graph, its scores on heads that it was not trained on, its recipe's parts."""

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from scipy.stats import spearmanr

from shared.packages.folder import load_package
from shared.packages.validation.judged import measured
from shared.packages.validation.predictions import read_predictions
from shared.phantoms.brain_mr import brain_volume
from shared.phantoms.motion import corrupt

PACKAGE = Path(__file__).parents[2] / "model_repository" / "motion_ssim"
STAIRS = (0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
MANIFEST = tomllib.loads((PACKAGE / "package.toml").read_text(encoding="utf-8"))
GATE = MANIFEST["gate"]


@pytest.fixture(scope="module")
def model() -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    path = str(PACKAGE / "1" / "model.onnx")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def head() -> np.ndarray:
    """Seed 1 is the demo's; training uses seeds from 1000 on."""
    return brain_volume(1, slices=12, spacing_mm=(10.0, 0.9))


def scaled(image: np.ndarray) -> np.ndarray:
    return np.clip(image / np.percentile(image, 99.5), 0, 1).astype(np.float32)


def scores(model: onnxruntime.InferenceSession, slices: np.ndarray) -> np.ndarray:
    stack = np.stack([scaled(one) for one in slices])[:, None]
    return np.asarray(model.run(["ssim"], {"image": stack})[0])[:, 0]


def series_score(model: onnxruntime.InferenceSession, slices: np.ndarray) -> float:
    assert GATE["aggregate"].startswith("percentile:")
    return float(np.percentile(scores(model, slices), float(GATE["aggregate"].removeprefix("percentile:"))))


def test_graph_has_the_tensors_of_the_manifest(model: onnxruntime.InferenceSession) -> None:
    (image,), (ssim,) = model.get_inputs(), model.get_outputs()
    assert image.name == MANIFEST["tensors"]["inputs"][0]["name"]
    assert image.type == ssim.type == "tensor(float)"
    assert len(image.shape) == 1 + len(MANIFEST["tensors"]["inputs"][0]["shape"])
    assert ssim.name == MANIFEST["outputs"][0]["tensor"]
    assert f'name: "{MANIFEST["package"]["name"]}"' in (PACKAGE / "config.pbtxt").read_text(encoding="utf-8")


@pytest.mark.parametrize("shape", [(64, 64), (80, 80), (148, 148), (256, 256), (384, 274), (101, 333)])
def test_any_slice_size_gives_a_score_from_0_to_1(model: onnxruntime.InferenceSession, shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).random((2, 1, *shape), np.float32)
    out = np.asarray(model.run(["ssim"], {"image": image})[0])
    assert out.shape == (2, 1)
    assert np.isfinite(out).all()
    assert (out >= 0).all()
    assert (out <= 1).all()


def test_a_blank_slice_gives_a_number(model: onnxruntime.InferenceSession) -> None:
    out = np.asarray(model.run(["ssim"], {"image": np.zeros((1, 1, 128, 128), np.float32)})[0])
    assert np.isfinite(out).all()


def test_the_batch_does_not_change_a_score(model: onnxruntime.InferenceSession, head: np.ndarray) -> None:
    together = scores(model, head)
    alone = np.array([scores(model, one[None])[0] for one in head])
    assert together == pytest.approx(alone, abs=1e-4)


def test_predicted_ssim_falls_as_motion_grows(model: onnxruntime.InferenceSession, head: np.ndarray) -> None:
    correlations = []
    for number, one in enumerate(head[1:-1]):
        moved = np.stack([corrupt(one, s, np.random.default_rng(100 + number)) for s in STAIRS])
        correlations.append(spearmanr(STAIRS, -scores(model, moved)).statistic)
    assert np.mean(correlations) >= 0.9


def test_a_still_head_passes_and_a_strongly_moved_one_is_held(
    model: onnxruntime.InferenceSession, head: np.ndarray
) -> None:
    assert series_score(model, head) >= GATE["warn_below"]
    assert series_score(model, corrupt(head, "strong", np.random.default_rng(1))) < GATE["hold_below"]


def test_the_recorded_cases_give_the_figures_of_the_manifest() -> None:
    lines = read_predictions(PACKAGE / "validation.csv")
    found = measured(load_package(PACKAGE), lines)["ssim"]
    for name in ("cases", "residual_mean", "residual_sigma", "mean_absolute_error", "pearson"):
        assert MANIFEST["validation"][name] == pytest.approx(found[name], abs=6e-5), name
    for classes in (3, 5, 10):
        alike = [int(min(line.truth, 0.999) * classes) == int(min(line.score, 0.999) * classes) for line in lines]
        assert MANIFEST["validation"][f"accuracy_{classes}"] == pytest.approx(np.mean(alike), abs=6e-5)
    assert {line.strata["person"] for line in lines} == {"A", "B"}


@pytest.fixture
def beside_recipe() -> Iterator[None]:
    sys.path.insert(0, str(PACKAGE))
    yield
    sys.path.remove(str(PACKAGE))


@pytest.mark.usefixtures("beside_recipe")
def test_no_person_is_on_both_sides_of_the_split() -> None:
    pytest.importorskip("skimage", reason="scikit-image labels the training pairs; only the train extra has it")
    from motion_pairs import HELD_OUT, SUBJECT_OF

    elition = {name for name in SUBJECT_OF if name.endswith("_elition")}
    assert len(elition) == 3
    assert {SUBJECT_OF[name] for name in elition} == {"elition"}
    assert "elition" in HELD_OUT


@pytest.mark.usefixtures("beside_recipe")
def test_a_pair_is_labelled_with_the_ssim_to_the_still_slice(head: np.ndarray) -> None:
    metrics = pytest.importorskip("skimage.metrics", reason="scikit-image labels the training pairs")
    from motion_pairs import make_pair

    still = make_pair(head[6], 0.0, np.random.default_rng(2))
    assert still.ssim == pytest.approx(1.0)
    moved = make_pair(head[6], 0.4, np.random.default_rng(2))
    top = np.percentile(head[6], 99.5)
    spoilt = np.clip(corrupt(head[6], 0.4, np.random.default_rng(2)) / top, 0, 1)
    assert moved.ssim == pytest.approx(metrics.structural_similarity(scaled(head[6]), spoilt, data_range=1.0))
    assert moved.cells.mean() == pytest.approx(moved.ssim, abs=0.02)


@pytest.mark.usefixtures("beside_recipe")
def test_a_moved_slice_is_at_least_as_like_to_its_best_pose_as_to_the_reference(head: np.ndarray) -> None:
    pytest.importorskip("skimage", reason="scikit-image labels the training pairs; only the train extra has it")
    from motion_limits import ssim_to_best_pose
    from motion_pairs import make_pair

    seeds = range(6)
    label = np.array([make_pair(head[6], 0.8, np.random.default_rng(seed)).ssim for seed in seeds])
    best = np.array([ssim_to_best_pose(head[6], 0.8, np.random.default_rng(seed)) for seed in seeds])
    assert (best >= label - 1e-3).all()
    assert (best > label + 0.02).any(), "a head that lies elsewhere is as sharp"


@pytest.mark.usefixtures("beside_recipe")
def test_the_network_scores_a_slice_by_the_mean_of_its_places() -> None:
    torch = pytest.importorskip("torch", reason="torch is only in the train extra")
    from motion_network import MotionNet

    net = MotionNet(8).eval()
    image = torch.rand(2, 1, 128, 96)
    with torch.no_grad():
        places = net.score_map(image)
        assert places.shape == (2, 1, 16, 12)
        assert net(image)[:, 0].numpy() == pytest.approx(places.mean((1, 2, 3)).numpy(), abs=0.02)


@pytest.mark.usefixtures("beside_recipe")
def test_training_goes_on_from_the_weights_of_an_exported_file(model: onnxruntime.InferenceSession) -> None:
    torch = pytest.importorskip("torch", reason="torch is only in the train extra")
    from motion_network import MotionNet, load_exported

    net, image = MotionNet(16), torch.rand(4, 1, 96, 112)
    load_exported(net, PACKAGE / "1" / "model.onnx", image)
    shipped = model.run(["ssim"], {"image": image.numpy()})[0]
    with torch.no_grad():
        assert net.train()(image).numpy() == pytest.approx(shipped, abs=1e-4)
        assert net.eval()(image).numpy() == pytest.approx(shipped, abs=1e-4)
