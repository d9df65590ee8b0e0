"""Slice scores become a series' score and a verdict; blank slices have none."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from services.gate.scoring import aggregate, failed, judge_readings
from shared.findings import SourceImage
from shared.inference import Reading, Unreadable
from shared.packages.folder import Package
from shared.packages.manifest import Manifest
from shared.settings import GateThresholds
from tests.readings import grid_on

SCORES = [0.99, 0.95, 0.97, 0.6, 0.96, 0.98, 0.94, 0.95, 0.93, 0.92]


def package(activation: str = "none", **gate: object) -> Package:
    manifest = {
        "schema": 2,
        "package": {"name": "motion", "version": "1.2.0", "kind": "gate", "title": "t", "intended_use": "i"},
        "selector": {}, "tensors": {"inputs": [{"name": "image", "shape": [1, -1, -1]}]},
        "outputs": [{"name": "ssim", "tensor": "ssim", "kind": "regression", "range": [0.0, 1.0],
                     "activation": activation, "code": {"value": "s", "scheme": "99ISO", "meaning": "s"}}],
        "gate": {"warn_below": 0.9, "hold_below": 0.8, "aggregate": "percentile:10", **gate},
    }  # fmt: skip
    return Package(Path("motion"), Manifest.model_validate(manifest))


def test_a_gates_score_has_no_place_in_the_body() -> None:
    lung = {"code": {"value": "39607008", "scheme": "SCT", "meaning": "Lung"}}
    manifest = package().manifest.model_dump(by_alias=True)
    manifest["outputs"][0]["site"] = lung
    with pytest.raises(ValidationError, match="remove site"):
        Manifest.model_validate(manifest)


def readings(scores: list[float], blank: int = 0) -> list[Reading]:
    def one(n: int, score: float, empty: bool) -> Reading:
        source = SourceImage(series_instance_uid="1.1", sop_instance_uid=f"1.1.{n}", sop_class_uid="1.2")
        return Reading(grid_on(source), empty, {"ssim": np.array([score], np.float32)})

    return [one(n, score, False) for n, score in enumerate(scores)] + [one(100 + n, 0.0, True) for n in range(blank)]


@pytest.mark.parametrize(
    ("how", "value"), [("mean", np.mean(SCORES)), ("min", 0.6), ("percentile:10", np.quantile(SCORES, 0.1))]
)
def test_aggregates(how: str, value: float) -> None:
    assert aggregate(how, SCORES) == pytest.approx(float(value))


def test_the_series_score_has_its_verdict_and_every_slice() -> None:
    judgement, finding = judge_readings(package(), "1.1", readings(SCORES, blank=5))
    assert judgement.verdict == finding.verdict == "warn"
    assert judgement.score == finding.value == pytest.approx(float(np.quantile(SCORES, 0.1)), abs=1e-6)
    assert [note.score for note in judgement.instances] == pytest.approx(SCORES)
    assert [s.image.sop_instance_uid for s in finding.instances] == [f"1.1.{n}" for n in range(10)]
    assert (finding.package, finding.version, finding.warn_below, finding.hold_below) == ("motion", "1.2.0", 0.9, 0.8)


@pytest.mark.parametrize(
    ("how", "scores", "reason"),
    [
        ("min", [0.95], "s 0.950 is not below 0.9"),
        ("min", [0.95, 0.7], "s 0.700 is below 0.8 (hold): the lowest of 2 images"),
        ("max", [0.95, 0.7], "s 0.950 is not below 0.9: the highest of 2 images, the lowest of them 0.700"),
        ("mean", [0.95, 0.75], "s 0.850 is below 0.9 (warn): the mean of 2 images, the lowest of them 0.750"),
    ],
)
def test_the_reason_says_of_which_images_the_score_is_what(how: str, scores: list[float], reason: str) -> None:
    assert judge_readings(package(aggregate=how), "1.1", readings(scores))[0].reason == reason


def test_images_from_the_flag_on_are_flagged() -> None:
    judgement, finding = judge_readings(package(flag_above=0.945), "1.1", readings(SCORES))
    assert [image.sop_instance_uid for image in finding.flagged()] == [f"1.1.{n}" for n in (0, 1, 2, 4, 5, 7)]
    assert judgement.reason.endswith("; 6 flagged from 0.945 on")
    assert judge_readings(package(), "1.1", readings(SCORES))[1].flagged() == ()


def test_the_hospitals_thresholds_and_cap() -> None:
    assert (
        judge_readings(package(), "1.1", readings(SCORES), GateThresholds(warn_below=0.5, hold_below=0.4))[0].verdict
        == "pass"
    )
    strict = GateThresholds(hold_below=0.95, verdict="warn")
    judgement, finding = judge_readings(package(), "1.1", readings(SCORES), strict)
    assert judgement.verdict == finding.verdict == "warn"


def test_a_score_outside_its_range_is_no_score() -> None:
    with pytest.raises(Unreadable, match="ssim is 7, outside 0 to 1"):
        judge_readings(package(), "1.1", readings([0.95, 7.0, 0.96]))


def test_a_score_is_what_its_activation_makes_of_the_output() -> None:
    judgement, finding = judge_readings(package("sigmoid"), "1.1", readings([1.0]))
    assert judgement.score == finding.value == pytest.approx(1 / (1 + np.exp(-1)))
    assert judgement.verdict == "hold"


def test_a_score_names_the_weights_that_gave_it(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    given = Package(tmp_path, package().manifest)
    digests = set()
    for weights in (b"old", b"newer"):
        (tmp_path / "1" / "model.onnx").write_bytes(weights)
        finding = judge_readings(given, "1.1", readings(SCORES))[1]
        assert finding.weights == hashlib.sha256(weights).hexdigest()
        digests.add(finding.weights)
    assert len(digests) == 2


def test_no_picture_no_score() -> None:
    with pytest.raises(Unreadable, match="no picture"):
        judge_readings(package(), "1.1", readings([], blank=3))


@pytest.mark.parametrize("word", ["warn", "hold"])
def test_a_failing_gate_says_what_its_manifest_says(word: str) -> None:
    judgement = failed(package(on_failure=word), "no picture")
    assert (judgement.verdict, judgement.reason) == (word, "the gate could not judge: no picture")
