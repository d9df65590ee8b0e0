"""The shipped cobb_angle: right on unseen drawn spines, the same on a turned film, silent where there is no spine."""

import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import onnxruntime
import pytest

from shared.geometry import angle_between_lines
from shared.packages.folder import load_package
from shared.packages.limits import broken_limits
from shared.packages.validation.golden import check_golden, read_golden, run_graph
from shared.phantoms.spine_dx import SpineRadiograph, spine_radiograph

FOLDER = Path(__file__).parents[2] / "model_repository" / "cobb_angle"
UNSEEN = (300, 301, 302, 303, 304, 305)  # training starts at 1000, the kept out at 900,000
MODULES = ("augmentation", "frames", "network", "pool", "reader", "recipe", "strangers", "training", "validation")


@pytest.fixture(scope="module")
def validation() -> Iterator[ModuleType]:
    """The package's own validation, which needs no torch; another package may have modules of the same names."""
    hidden = {name: sys.modules.pop(name) for name in MODULES if name in sys.modules}
    sys.path.insert(0, str(FOLDER))
    module = __import__("validation")
    module.spine_radiograph = _spine  # a film takes half a second to draw
    yield module
    sys.path.remove(str(FOLDER))
    for name in MODULES:
        sys.modules.pop(name, None)
    sys.modules.update(hidden)


@pytest.fixture(scope="module")
def session(validation: ModuleType) -> onnxruntime.InferenceSession:
    """The shipped graph."""
    return validation.open_session(FOLDER / "1" / "model.onnx")


@cache
def _spine(seed: int) -> SpineRadiograph:
    return spine_radiograph(seed)


def test_the_golden_rows_come_out_of_the_graph() -> None:
    package = load_package(FOLDER)
    golden = read_golden(package)
    assert golden is not None
    (check,) = check_golden(golden, lambda: run_graph(package, golden), "in ONNX Runtime")
    assert check.state == "ok", check


def test_unseen_spines_are_measured_within_the_paper_s_deviation(
    validation: ModuleType, session: onnxruntime.InferenceSession
) -> None:
    cases, sure = validation.predictions(session, UNSEEN)
    off = np.array([abs(case.score - case.truth) for case in cases])
    assert off.mean() < 2.0
    assert off.max() < 4.17
    assert min(sure) > 0.5
    assert np.corrcoef([case.truth for case in cases], [case.score for case in cases])[0, 1] > 0.99


def test_landmarks_lie_on_the_corners_of_the_bodies(
    validation: ModuleType, session: onnxruntime.InferenceSession
) -> None:
    for seed in UNSEEN[:3]:
        spine = _spine(seed)
        reading = validation.read(session, validation.film_of(spine))
        away = (reading.landmarks.reshape(17, 4, 2) - spine.corners) * spine.spacing_mm[::-1]
        assert np.median(np.linalg.norm(away, axis=2)) < 1.0  # mm


@pytest.mark.parametrize("change", ["turned", "mirrored", "rescaled", "resampled"])
def test_a_changed_film_changes_the_angle_by_less_than_half_a_degree(
    validation: ModuleType, session: onnxruntime.InferenceSession, change: str
) -> None:
    for seed in UNSEEN[:2]:
        film = validation.film_of(_spine(seed))
        before = validation.read(session, film).degrees
        for changed in validation.changes(_spine(seed))[change]:
            assert validation.read(session, changed(film)).degrees == pytest.approx(before, abs=0.5)


def test_the_angle_is_that_of_the_two_most_tilted_end_plates(session: onnxruntime.InferenceSession) -> None:
    """On the input, where millimetres are square: the two lines are those that the landmarks say."""
    golden = read_golden(load_package(FOLDER))
    assert golden is not None
    rows = session.run(["cobb_lines", "landmarks"], golden.inputs)
    lines, landmarks = rows[0][0], rows[1][0, :, :2].reshape(17, 4, 2)
    widest = max(
        angle_between_lines(landmarks[one, :2], landmarks[two, 2:]) for one in range(17) for two in range(one + 1, 17)
    )
    assert angle_between_lines(lines[:2], lines[2:]) == pytest.approx(widest, abs=0.02)
    assert (lines[[0, 2], 0] < lines[[1, 3], 0]).all()  # left to right
    plates = landmarks.reshape(34, 2, 2)
    for line in lines.reshape(2, 2, 2):
        assert np.linalg.norm(plates.mean(1) - line.mean(0), axis=1).min() < 0.01
        assert np.linalg.norm(line[1] - line[0]) > 1.5 * np.linalg.norm(plates[:, 1] - plates[:, 0], axis=1).min()


def test_cut_spines_and_strange_films_get_no_angle(
    validation: ModuleType, session: onnxruntime.InferenceSession
) -> None:
    limit = next(o for o in load_package(FOLDER).manifest.outputs if o.name == "cobb_angle").minimum_confidence
    assert limit == validation.MINIMUM_CONFIDENCE
    wrong = validation.failures(session, UNSEEN[:2], 10)
    assert all(share == 0 for share in wrong.values()), wrong


def test_a_row_reads_the_same_alone_and_in_a_batch(
    validation: ModuleType, session: onnxruntime.InferenceSession
) -> None:
    rows = np.stack([validation.preprocess(*validation.film_of(_spine(seed))).array[0] for seed in UNSEEN[:3]])
    together = session.run(["cobb_lines"], {"image": rows})[0][1]
    np.testing.assert_allclose(together, session.run(["cobb_lines"], {"image": rows[1:2]})[0][0], atol=0.01)


def test_the_card_states_the_figures_of_the_manifest() -> None:
    manifest = load_package(FOLDER).manifest
    card = (FOLDER / "README.md").read_text()
    assert not broken_limits(manifest)
    for name, value in manifest.validation.items():
        assert str(value) in card, name
    assert "not for clinical use" in card.lower()


def test_the_recipe_s_network_exports_to_the_shipped_tensors(
    tmp_path: Path, validation: ModuleType, session: onnxruntime.InferenceSession
) -> None:
    pytest.importorskip("torch", reason="torch is in the train extra only")
    pytest.importorskip("onnx", reason="onnx is in the train extra only")
    recipe = __import__("recipe")
    recipe.export(recipe.CobbNetwork(recipe.Finder(), recipe.Outliner()), tmp_path / "model.onnx")
    fresh = validation.open_session(tmp_path / "model.onnx")
    for shipped, made in zip(session.get_outputs(), fresh.get_outputs(), strict=True):
        assert (shipped.name, shipped.shape[1:]) == (made.name, made.shape[1:])


def test_the_line_through_the_centres_keeps_every_parabola(validation: ModuleType) -> None:
    pytest.importorskip("torch", reason="torch is in the train extra only")
    local_fit = __import__("reader").local_fit
    at = np.linspace(0, 16, 34)
    curve, slope = 0.3 * at**2 - 2 * at + 1, 0.6 * at - 2
    np.testing.assert_allclose(local_fit(at, at, 0.6).numpy() @ curve, curve, atol=1e-4)
    np.testing.assert_allclose(local_fit(at, at, 0.6, slope=True).numpy() @ curve, slope, atol=1e-3)
