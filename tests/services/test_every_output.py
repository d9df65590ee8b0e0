"""Each kind of output from a network's tensor to the objects in the results folder, and what can't be understood."""

from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from shared.findings import Classification, Measurement, NotSure, OrdinalGrade, load_findings
from shared.study import RunState
from tests.at_work import CODE, AtWork, agrees, tiny_package, words_of
from tests.networks import of_mean

LABELS = [
    {"name": "opacity", "code": {"value": "112001", "scheme": "DCM", "meaning": "Opacity"}},
    {"name": "mass", "code": {"value": "4147007", "scheme": "SCT", "meaning": "Mass"}, "threshold": 0.9},
    {"name": "cyst", "code": {"value": "441457006", "scheme": "SCT", "meaning": "Cyst"}},
]
SCALED = [{"step": "scale_percentile"}]


def of_labels(
    folder: Path, kind: str, biases: list[float], labels: list[dict[str, Any]] = LABELS, **output: Any
) -> Any:
    """A package that says the same of every image: logits `biases`."""
    network = of_mean(["logits"], [0.0] * len(biases), biases)
    said = {"name": "found", "tensor": "logits", "kind": kind, "labels": labels} | output
    return tiny_package(folder / "packages", network, {"logits": [len(biases)]}, [said])


def test_each_label_is_a_finding_of_its_own(tmp_path: Path, films: list[Path], opened: list[AtWork]) -> None:
    package = of_labels(tmp_path, "multilabel", [2.0, 2.0, -1.0], activation="sigmoid")
    opened.append(work := AtWork(tmp_path, package, films))
    run = work.read()
    assert run.state == RunState.READ, run.reason
    found = load_findings(run.findings)
    assert all(isinstance(finding, Classification) for finding in found)
    assert [(f.name, f.present, round(f.probability, 3)) for f in found if isinstance(f, Classification)] == [
        ("found.opacity", True, 0.881), ("found.mass", False, 0.881), ("found.cyst", False, 0.269),
    ]  # fmt: skip
    folder = work.report()
    said = words_of(folder)
    assert all(label["code"]["meaning"] in said for label in LABELS)
    assert len(list(folder.glob("SC*.dcm"))) == 3
    agrees(folder)


def test_a_grade_is_one_finding_with_the_probability_of_each_step(
    tmp_path: Path, films: list[Path], opened: list[AtWork]
) -> None:
    package = of_labels(tmp_path, "ordinal", [0.0, 2.0, 1.0], activation="softmax")
    opened.append(work := AtWork(tmp_path, package, films))
    run = work.read()
    assert run.state == RunState.READ, run.reason
    (found,) = load_findings(run.findings)
    assert isinstance(found, OrdinalGrade)
    assert found.grade == 1
    assert [round(grade.probability, 3) for grade in found.grades] == [0.090, 0.665, 0.245]
    folder = work.report()
    assert "Mass" in words_of(folder)
    agrees(folder)


def test_what_concepts_add_reaches_the_report(tmp_path: Path, films: list[Path], opened: list[AtWork]) -> None:
    network = of_mean(["parts", "logit"], [1.0, -1.0], [0.5, 0.25])
    concepts = [{"name": name, "code": CODE | {"meaning": meaning}} for name, meaning in (("a", "Size"), ("b", "Edge"))]
    package = tiny_package(
        tmp_path / "packages", network, {"parts": [2], "logit": [1]},
        [{"name": "found", "tensor": "logit", "kind": "binary", "activation": "sigmoid"}], preprocess=SCALED,
        explanation={"kind": "concepts", "tensor": "parts", "concepts": concepts},
    )  # fmt: skip
    opened.append(work := AtWork(tmp_path, package, films))
    run = work.read()
    assert run.state == RunState.READ, run.reason
    (found,) = load_findings(run.findings)
    assert isinstance(found, Classification)
    assert found.concepts is not None
    assert sum(part.value for part in found.concepts.contributions) == pytest.approx(0.75)
    assert "Contributions to the logit" in words_of(work.report())


def says_how_sure(folder: Path, preprocess: list[dict[str, Any]], sure: tuple[float, float]) -> Any:
    """A package that says two numbers of each image; of `other` it is sure by weight · the mean + bias."""
    network = of_mean(["both"], [0.0, sure[0]], [7.0, sure[1]], apart=("number", "sure"))
    said: dict[str, Any] = {"tensor": "number", "kind": "regression", "unit": "mm"}
    other = said | {
        "name": "other", "confidence_tensor": "sure", "minimum_confidence": 0.25,
        "code": CODE | {"value": "y", "meaning": "Other thing"},
    }  # fmt: skip
    tensors = {"number": [1], "sure": [1]}
    return tiny_package(folder / "packages", network, tensors, [said | {"name": "one"}, other], preprocess=preprocess)


def test_what_is_silent_beside_others_is_told_as_not_sure(
    tmp_path: Path, films: list[Path], opened: list[AtWork]
) -> None:
    opened.append(work := AtWork(tmp_path, says_how_sure(tmp_path, SCALED, (0.0, 0.125)), films))
    assert work.read().state == RunState.READ
    assert [type(finding) for finding in load_findings(work.run().findings)] == [Measurement, NotSure]
    folder = work.report()
    (message,) = (path.read_bytes().decode().split("\r") for path in folder.glob("*.hl7"))
    (line,) = (line for line in message if "Other thing" in line)
    assert "|not-sure^The package is not sure enough^99ISO|" in line
    assert line.split("|")[11] == "X"
    assert any("Nothing is said: at least 25 % is asked for" in line for line in message)
    assert "Nothing is said: at least 25 % is asked for." in words_of(folder)
    agrees(folder)


def test_of_several_films_each_tells_whether_it_is_silent(
    tmp_path: Path, films: list[Path], opened: list[AtWork]
) -> None:
    ds = dcmread(films[0])
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"{ds.SOPInstanceUID}.2"
    ds.PixelData = bytes(len(ds.PixelData))
    ds.save_as(tmp_path / "blank.dcm", enforce_file_format=True)
    package = says_how_sure(tmp_path, SCALED, (1.0, 0.0))
    opened.append(work := AtWork(tmp_path, package, [*films, tmp_path / "blank.dcm"]))
    found = load_findings(work.read().findings)
    silent = [finding for finding in found if isinstance(finding, NotSure)]
    assert len(found) == 4
    assert [finding.sources[0].sop_instance_uid for finding in silent] == [ds.SOPInstanceUID]


def test_a_run_in_which_nothing_is_said_is_held(tmp_path: Path, films: list[Path], opened: list[AtWork]) -> None:
    network = of_mean(["sure"], [0.0], [0.125])
    said = {"name": "one", "tensor": "sure", "kind": "regression", "confidence_tensor": "sure"}
    package = tiny_package(tmp_path / "packages", network, {"sure": [1]}, [said | {"minimum_confidence": 0.5}])
    opened.append(work := AtWork(tmp_path, package, films))
    run = work.read()
    assert (run.state, run.findings) == (RunState.HOLDING, [])


@pytest.mark.parametrize(
    ("kind", "biases", "output", "reason"),
    [
        ("multilabel", [1.0, 2.0], {}, "output 'logits' has shape [2] a row; 3 was due"),
        ("multilabel", [1.0, 2.0, 0.5], {}, "a probability of found is 2, outside 0 to 1"),
        ("multilabel", [1.0, float("nan"), 0.0], {"activation": "sigmoid"}, "not finite"),
        ("ordinal", [1.0] * 4, {"activation": "softmax"}, "has shape [4] a row; 3 was due"),
        ("ordinal", [0.5, 0.1, 0.1], {}, "the probabilities of the grades sum to 0.7000"),
        ("ordinal", [-1.0, 1.0], {"activation": "sigmoid"}, "rises from one grade to the next"),
    ],
)
def test_what_can_not_be_understood_ends_the_run_with_the_reason(
    tmp_path: Path, films: list[Path], opened: list[AtWork], kind: str, biases: list[float], output: dict[str, Any],
    reason: str,
) -> None:  # fmt: skip
    opened.append(work := AtWork(tmp_path, of_labels(tmp_path, kind, biases, **output), films))
    run = work.read()
    assert run.state == RunState.FAILING
    assert reason in run.reason
