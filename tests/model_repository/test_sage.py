"""The shipped sage_chest_opacity: what it says of phantoms, as they are and spoilt; its recipe, for another one."""

import json
import sys
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, rotate
from scipy.stats import spearmanr

from services.gate.scoring import judge_readings
from shared.findings import SourceImage
from shared.imaging.steps import compile_steps
from shared.imaging.volume import Volume
from shared.inference import Reading
from shared.packages.folder import load_package
from shared.packages.validation.judged import measured
from shared.packages.validation.predictions import read_predictions
from shared.phantoms.brain_mr import brain_volume
from shared.phantoms.chest_dx import chest_radiograph
from shared.phantoms.dicom import Patient, Visit, dx_image
from tests.readings import grid_on
from tests.recipes import recipe_of

REPOSITORY = Path(__file__).parents[2] / "model_repository"
FOLDER = REPOSITORY / "sage_chest_opacity"
OUTPUTS = ["similarity", "knn", "reconstruction", "confidence"]
UNSEEN = range(300, 316)  # training starts at 1000, the demo uses 1 to 20


@cache
def _session(path: Path = FOLDER / "1" / "model.onnx") -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _read(row: NDArray[np.float32]) -> dict[str, float]:
    outputs = _session().run(OUTPUTS, {"image": row[None]})
    return {name: float(values[0, 0]) for name, values in zip(OUTPUTS, outputs, strict=True)}


def _row(pixels: NDArray[np.generic]) -> NDArray[np.float32]:
    """One input row by the manifest's own steps, (1, 512, 512)."""
    steps = compile_steps(load_package(FOLDER).manifest.preprocess)
    return steps(Volume.image(pixels)).array[0]


@cache
def _unseen() -> list[NDArray[np.float32]]:
    """Radiographs of people that neither package has seen, stored values."""
    return [chest_radiograph(seed, None, (512, 512)).pixels.astype(np.float32) for seed in UNSEEN]


def _similarity(pixels: NDArray[np.generic]) -> float:
    return _read(_row(pixels))["similarity"]


def test_it_reads_what_its_package_reads() -> None:
    gate, reader = load_package(FOLDER), load_package(REPOSITORY / "chest_opacity")
    assert gate.manifest.selector == reader.manifest.selector
    assert gate.manifest.preprocess == reader.manifest.preprocess
    assert gate.manifest.tensors == reader.manifest.tensors
    assert gate.name in reader.manifest.gates.required
    assert gate.manifest.training["weights_of_package"] == reader.weights_digest(), (
        "built for other weights: build anew"
    )
    assert {output.tensor for output in gate.manifest.outputs} == {one.name for one in _session().get_outputs()}
    assert gate.manifest.weights.digest == f"sha256:{gate.weights_digest()}"


def test_golden_rows_give_golden_numbers() -> None:
    golden = np.load(FOLDER / "golden" / "rows.npz")
    outputs = _session().run(OUTPUTS, {"image": golden["image"]})
    for name, values in zip(OUTPUTS, outputs, strict=True):
        np.testing.assert_allclose(values, golden[name], rtol=1e-3, atol=1e-6)
    assert golden["similarity"][0] > 0.05 > golden["similarity"][1]


def test_people_that_it_has_not_seen_are_like_the_training_data() -> None:
    scores = [_similarity(pixels) for pixels in _unseen()]
    assert np.mean(np.array(scores) >= 0.05) >= 0.8
    assert 0.2 < np.median(scores) < 0.8, "a share of like images, so even over 0 to 1"


@pytest.mark.parametrize("spoil", ["turned", "noisy", "blurred"])
def test_the_score_falls_as_an_image_is_spoilt(spoil: str) -> None:
    rng = np.random.default_rng(0)
    changes = {
        "turned": lambda pixels, by: rotate(pixels, 40 * by, reshape=False, order=1, mode="nearest"),
        "noisy": lambda pixels, by: pixels + 1500 * by * rng.standard_normal(pixels.shape),
        "blurred": lambda pixels, by: gaussian_filter(pixels, 20 * by),
    }
    strengths = (0.0, 0.25, 0.5, 1.0)
    table = np.array([[_similarity(changes[spoil](pixels, by)) for by in strengths] for pixels in _unseen()[:5]])
    medians = np.median(table, axis=0)
    assert spearmanr(strengths, -medians).statistic > 0.9
    assert medians[-1] < 0.01


def test_other_pictures_are_unlike_the_training_data() -> None:
    head = brain_volume(1, slices=5, spacing_mm=(24.0, 0.9))[2]
    noise = np.random.default_rng(1).normal(1000, 200, (512, 512))
    for pixels in (head, noise, _unseen()[0].max() - _unseen()[0]):
        assert _similarity(pixels) < 0.01


def test_a_row_reads_the_same_alone_and_in_a_batch() -> None:
    rows = np.stack([_row(pixels) for pixels in _unseen()[:3]])
    together = _session().run(["similarity"], {"image": rows})[0]
    assert _read(rows[1])["similarity"] == pytest.approx(float(together[1, 0]), rel=1e-3)


@pytest.mark.parametrize(("pixels", "verdict"), [("as it is", "pass"), ("upside down", "warn")])
def test_the_gate_marks_what_is_unlike_the_training_data(pixels: str, verdict: str) -> None:
    package = load_package(FOLDER)
    image = _unseen()[0] if pixels == "as it is" else np.ascontiguousarray(_unseen()[0][::-1])
    outputs = {name: np.array([value], np.float32) for name, value in _read(_row(image)).items()}
    source = SourceImage(sop_class_uid="1.2", sop_instance_uid="1.2.3", series_instance_uid="1.2.3.4")
    reading = Reading(grid_on(source), False, outputs)
    judgement, finding = judge_readings(package, "1.2.3.4", [reading])
    assert judgement.verdict == finding.verdict == verdict
    assert judgement.reason.startswith("Similarity to training data ")


def test_the_card_states_the_figures_of_the_manifest() -> None:
    card = (FOLDER / "README.md").read_text()
    for name, value in load_package(FOLDER).manifest.validation.items():
        assert str(value) in card, name
    assert "not for clinical use" in card.lower()


def test_the_recorded_cases_give_the_figures_of_the_manifest() -> None:
    package, lines = load_package(FOLDER), read_predictions(FOLDER / "validation.csv")
    said = package.manifest.validation
    for name, figures in measured(package, lines).items():
        assert said[f"{name}_auroc"] == pytest.approx(figures["auroc"], abs=2e-3)
    kept_out = [line for line in lines if line.output == "similarity" and line.truth]
    mixed = [line for line in lines if line.output == "similarity"]
    assert len(kept_out) == said["images"]
    assert np.mean([line.score < 0.05 for line in kept_out]) == pytest.approx(said["share_below_0_05"], abs=4e-3)
    for name, cases in (("kept_out", kept_out), ("mixed", mixed)):
        for share in (0, 20, 50):
            kept = sorted(cases, key=lambda line: line.score)[int(share / 100 * len(cases)) :]
            accuracy = np.mean([line.strata["reader"] == "right" for line in kept])
            assert said[f"accuracy_{name}_{share}"] == pytest.approx(accuracy, abs=5e-3)


def test_a_gate_that_only_warns_is_made_again_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = recipe_of(FOLDER, monkeypatch, "matplotlib")
    assert recipe.only_warns(recipe.Target(REPOSITORY / "chest_opacity"))
    _tiny_package(tmp_path / "tiny")
    assert not recipe.only_warns(recipe.Target(tmp_path / "tiny"))


TINY_POOL = """
import numpy as np

def samples(part, start, stop):
    for number in range(start, stop):
        rng = np.random.default_rng((len(part), number))
        label = number % 2
        rows, columns = np.mgrid[:80, :80] / 80
        disc = (rows - rng.uniform(0.4, 0.6)) ** 2 + (columns - rng.uniform(0.4, 0.6)) ** 2 < 0.05 + 0.05 * label
        yield (300 + 2000 * disc + 30 * rng.standard_normal((80, 80))).astype(np.uint16), float(label)
"""
TINY_MANIFEST = """
schema = 2
package = { name = "tiny", version = "1.0.0", kind = "reader", title = "Large discs", intended_use = "Tests" }
selector = { modality = ["XA"], minimum_instances = 2 }
preprocess = [{ step = "scale_percentile", low = 1.0 }]
tensors = { inputs = [{ name = "pixels", shape = [1, -1, -1] }] }

[[outputs]]
name = "large"
tensor = "mean"
kind = "binary"
code = { value = "112001", scheme = "DCM", meaning = "Opacity" }
"""


def _tiny_package(folder: Path) -> None:
    """A package whose model is the mean of its image, which is larger for large discs."""
    from onnx import TensorProto, helper, save

    (folder / "1").mkdir(parents=True)
    (folder / "pool.py").write_text(TINY_POOL)
    (folder / "package.toml").write_text(TINY_MANIFEST)
    nodes = [
        helper.make_node("ReduceMean", ["pixels"], ["flat"], axes=[2, 3], keepdims=0),
        helper.make_node("Mul", ["flat", "two"], ["mean"]),
    ]
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", 1, "rows", "columns"])
    mean = helper.make_tensor_value_info("mean", TensorProto.FLOAT, ["n", 1])
    two = helper.make_tensor("two", TensorProto.FLOAT, [], [2.0])
    graph = helper.make_graph(nodes, "tiny", [pixels], [mean], [two])
    save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), folder / "1" / "model.onnx"
    )


def test_a_folder_of_dicom_never_has_a_patient_in_two_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = recipe_of(FOLDER, monkeypatch, "matplotlib")
    lines = ["file,label"]
    for number in range(24):
        visit = Visit(Patient("TEST^NOBODY", f"P{number // 2}"), f"V{number}")
        pixels = np.full((64, 64), 100 + number, np.uint16)
        pixels[:32] = 3000
        dx_image(pixels, visit, spacing_mm=5.0).save_as(tmp_path / f"{number}.dcm", enforce_file_format=True)
        lines.append(f"{number}.dcm,{number % 2}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    target, numbers, pool = recipe.Target(REPOSITORY / "chest_opacity"), {}, sys.modules["sage_pool"]
    for part in pool.PARTS:
        count = pool.available(tmp_path, part, 99)
        found = list(pool.images(target, tmp_path, part, 0, count))
        numbers[part] = {int(np.min(image.array)) - 100 for image, _ in found}
        assert all(label == number % 2 for (_, label), number in zip(found, sorted(numbers[part]), strict=True))
    patients = [{number // 2 for number in numbers[part]} for part in pool.PARTS]
    assert sum(len(one) for one in patients) == len(set.union(*patients)) == 12
    assert len(patients[0]) > len(patients[1])
    assert target.row(next(pool.images(target, tmp_path, "training", 0, 1))[0]).shape == (1, 512, 512)


def test_the_recipe_builds_a_gate_for_another_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = recipe_of(FOLDER, monkeypatch, "matplotlib")
    _tiny_package(tmp_path / "tiny")
    sys.modules["torch"].set_num_threads(1)
    plan = recipe.Plan(minutes=0.05, training=64, calibration=48, held_out=32, spoilt=3)
    found = recipe.run(recipe.Target(tmp_path / "tiny"), None, tmp_path / "sage_tiny", plan)
    gate = load_package(tmp_path / "sage_tiny")
    assert gate.manifest.selector == load_package(tmp_path / "tiny").manifest.selector
    assert gate.manifest.gate
    assert 0 < gate.manifest.gate.hold_below < gate.manifest.gate.warn_below
    assert found["auroc_white_noise"] == 1.0
    recorded = measured(gate, read_predictions(gate.folder / "validation.csv"))
    assert (recorded["similarity"]["cases"], recorded["similarity"]["fit"]) == (32 + 3 * 6 * 5, 32)
    assert recorded["similarity"]["auroc"] == pytest.approx(found["similarity_auroc"], abs=0.03)
    assert json.loads((tmp_path / "sage_tiny" / "validation.json").read_text()) == found
    golden = np.load(tmp_path / "sage_tiny" / "golden" / "rows.npz")
    served = _session(tmp_path / "sage_tiny" / "1" / "model.onnx")
    any_size = served.run(OUTPUTS, {"pixels": np.random.default_rng(0).random((2, 1, 101, 333), np.float32)})
    assert all(values.shape == (2, 1) and np.isfinite(values).all() for values in any_size)
    np.testing.assert_allclose(served.run(OUTPUTS, {"pixels": golden["pixels"]})[0], golden["similarity"], rtol=1e-3)
