"""The shipped pet_slices: it flags slices of people that it has not seen, and its recipe keeps people apart."""

import re
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from services.gate.scoring import judge_readings
from shared.imaging.frames import load_frames
from shared.inference import Unreadable, read_images
from shared.packages.folder import load_package
from shared.packages.limits import broken_limits
from shared.packages.subjects import SharedSubject, refuse_shared
from shared.packages.validation.figures import auroc
from shared.packages.validation.golden import read_golden, run_graph
from shared.packages.validation.tensors import check_tensors
from shared.phantoms.body_pet import body_pet
from shared.phantoms.dicom import Patient, Visit
from shared.phantoms.pet_dicom import pet_series
from shared.serving import open_models
from tests.recipes import outputs_of, recipe_of

FOLDER = Path(__file__).parents[2] / "model_repository" / "pet_slices"
UNSEEN = (300, 301, 302)  # training starts at 20,000


@cache
def _session() -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(FOLDER / "1" / "model.onnx", providers=["CPUExecutionProvider"])


def test_manifest_configuration_and_graph_agree() -> None:
    package = load_package(FOLDER)
    assert [(check.state, check.said) for check in check_tensors(package) if check.state != "ok"] == []
    assert package.manifest.weights.digest == f"sha256:{package.weights_digest()}"
    assert package.manifest.gate is not None
    assert package.manifest.gate.flag_above == package.manifest.outputs[0].threshold
    assert broken_limits(package.manifest) == []


def test_golden_rows_give_the_golden_answer() -> None:
    package = load_package(FOLDER)
    golden = read_golden(package)
    assert golden is not None
    for name, answer in run_graph(package, golden).items():
        np.testing.assert_allclose(answer, golden.outputs[name], atol=1e-4)


def test_slices_of_unseen_people_are_told_apart() -> None:
    shows, logits = [], []
    for seed in UNSEEN:
        scan = body_pet(seed, 5, slices=100)
        rows = np.clip(scan.volume / 15, 0, 1)[:, None].astype(np.float32)
        shows.append(scan.shows)
        logits.append(_session().run(["logit"], {"slice": rows})[0][:, 0])
    assert auroc(np.concatenate(shows).astype(float), np.concatenate(logits).astype(float)) > 0.93


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A series of pixels and slices that the phantoms of the training did not have."""
    folder, scan = tmp_path_factory.mktemp("pet"), body_pet(303, 4, slices=60, size=128)
    visit = Visit(Patient("PHANTOM^PET", "ISO-PHANTOM-PET"), "ISO0009")
    series = pet_series(scan.volume, visit, spacing_mm=scan.spacing_mm)
    for n, (ds, shows) in enumerate(zip(series, scan.shows, strict=True)):
        ds.ImageComments = "lesion" if shows else ""
        ds.save_as(folder / f"{n:03}.dcm", enforce_file_format=True)
    return sorted(folder.iterdir())


def test_a_series_of_files_is_flagged_where_lesions_are(files: list[Path]) -> None:
    package, models = load_package(FOLDER), open_models("", FOLDER.parent, in_process=True)
    frames = load_frames(files)
    judgement, finding = judge_readings(package, "1.1", list(read_images(package, frames, models, 20.0)))
    scan = body_pet(303, 4, slices=60, size=128)
    flagged = np.array([frame.source in finding.flagged() for frame in frames])
    assert judgement.verdict == "pass"
    assert flagged[scan.shows].mean() > 0.7
    assert flagged.mean() < 0.4


def test_without_a_dose_nothing_is_scored(files: list[Path]) -> None:
    package, models = load_package(FOLDER), open_models("", FOLDER.parent, in_process=True)
    frames = load_frames(files[:1])
    frames[0].header.pop("radionuclide_total_dose")
    with pytest.raises(Unreadable, match="SUV needs radionuclide total dose"):
        list(read_images(package, frames, models, 20.0))


def test_the_card_states_the_figures_of_the_manifest() -> None:
    card = (FOLDER / "README.md").read_text()
    for name, value in load_package(FOLDER).manifest.validation.items():
        assert re.search(rf"(?<![\d.]){re.escape(str(value))}(?![\d])", card), name
    assert "not for clinical use" in card.lower()


def test_one_person_on_both_sides_is_refused() -> None:
    with pytest.raises(SharedSubject, match=r"1 subject\(s\) are in both training and held_out"):
        refuse_shared({"training": ["A", "B"], "held_out": ["B", "C"]})


def test_the_recipe_s_network_exports_to_the_shipped_tensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = recipe_of(FOLDER, monkeypatch)
    recipe.export(recipe.SliceNetwork(), tmp_path / "model.onnx")
    assert outputs_of(tmp_path / "model.onnx") == outputs_of(FOLDER / "1" / "model.onnx")
