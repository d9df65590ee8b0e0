"""A package that reads a study: which series it takes, what stands in for one that is missing, and who is told."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset

from services.decide.settings import Rule
from shared.findings import Measurement, Segmentation, load_findings
from shared.packages.folder import Package
from shared.phantoms.dicom import BRAIN_PATIENT, Visit, mr_series
from shared.serving import open_models
from shared.serving.triton_server import TritonServer
from shared.store.moves import move
from shared.study import RunEvent, RunState, StudyState
from tests.at_work import CODE, agrees, tiny_package, words_of
from tests.networks import FLOAT, constant, network, node, tensor_info
from tests.services.report.test_matrix import Images, the_hospitals_check_finds_no_error, verify_results_agrees
from tests.whole_study import SAID, VIEWS, VISIT, Hospital, film, two_views


@pytest.fixture
def opened() -> Iterator[list[Hospital]]:
    made: list[Hospital] = []
    yield made
    for hospital in made:
        hospital.book.close()


def number(hospital: Hospital) -> Measurement:
    run = hospital.run()
    assert run.state == RunState.READ, run.reason
    (found,) = load_findings(run.findings)
    assert isinstance(found, Measurement)
    return found


@pytest.fixture
def hospital(tmp_path: Path, opened: list[Hospital]) -> Hospital:
    opened.append(made := Hospital(tmp_path, two_views(tmp_path)))
    return made


def test_each_series_goes_into_its_own_input_with_its_own_steps(hospital: Hospital) -> None:
    hospital.arrive(film("LL", 50, number=1), film("PA", 20, number=2))
    hospital.read()
    found = number(hospital)
    assert found.value == pytest.approx(20 + 0.5 + 6000, abs=1e-3)
    assert found.missing == ()
    assert [image.sop_instance_uid for image in found.sources] == [film("PA", 20, number=2).SOPInstanceUID]
    assert hospital.told() == "pa is series 2; lateral is series 1"
    folder = hospital.report()
    assert "Made without" not in words_of(folder)
    agrees(folder)


def test_a_series_that_may_be_missing_is_stood_in_for_and_the_result_says_so(hospital: Hospital) -> None:
    hospital.arrive(film("PA", 20))
    hospital.read()
    found = number(hospital)
    assert found.value == pytest.approx(20 + 1000, abs=1e-3)
    assert found.missing == ("lateral",)
    assert "lateral is missing (view LL or RL)" in hospital.told()
    folder = hospital.report()
    (message,) = (path.read_text() for path in folder.glob("*.hl7"))
    assert "made without lateral" in message
    assert "Made without this input" in words_of(folder)
    agrees(folder)


def test_two_views_may_lie_in_one_series(hospital: Hospital) -> None:
    hospital.arrive(film("PA", 20, instance=1), film("LL", 50, instance=2))
    hospital.read()
    assert number(hospital).value == pytest.approx(20 + 0.5 + 6000, abs=1e-3)
    assert len(hospital.run().series) == 1


def test_of_several_that_fit_the_last_series_and_its_last_image_are_read(hospital: Hospital) -> None:
    """A film is repeated because the one before was no good; a longer series counts more than a later one only where
    all of it is read."""
    hospital.arrive(
        film("PA", 10, 1, 1), film("PA", 11, 1, 2), film("PA", 12, 1, 3), film("AP", 20, 4, 2), film("PA", 30, 4, 1)
    )
    hospital.read()
    assert number(hospital).value == pytest.approx(20 + 1000, abs=1e-3)
    told = "pa is series 4, the last of its 2 images of 2 that fit (the most images, then the highest series number)"
    assert hospital.told().startswith(told)


def test_a_view_that_does_not_say_which_it_is_is_none(hospital: Hospital) -> None:
    """It might be the other one."""
    hospital.arrive(film("", 20))
    study = hospital.decide()
    assert (study.state, hospital.runs()) == (StudyState.REFUSED, [])


def test_a_study_with_none_of_the_required_series_is_not_chosen_and_says_what_would_match(hospital: Hospital) -> None:
    hospital.arrive(film("LL", 50))
    study = hospital.decide()
    assert study.state == StudyState.REFUSED
    assert "the study has no pa (view PA or AP), without which tiny does not read" in study.reason


BREASTS = {
    "grouping": {"by": "study", "series": [{"name": "pa", "view_position": ["PA"]},
                                           {"name": "lateral", "view_position": ["LL"]}]},
    "preprocess": [],
}  # fmt: skip


def test_a_study_that_lacks_one_of_two_required_series_is_held_until_it_comes(
    tmp_path: Path, opened: list[Hospital]
) -> None:
    opened.append(hospital := Hospital(tmp_path, two_views(tmp_path, **BREASTS)))
    hospital.arrive(film("PA", 20))
    run = hospital.read()
    assert (run.state, run.verdict) == (RunState.HOLDING, "hold")
    reason = "the study has no lateral (view LL), without which tiny does not read: send it, if there is one"
    assert run.reason == reason
    folder = hospital.report()
    assert reason in words_of(folder)
    hospital.arrive(film("LL", 50, 2))
    hospital.read()
    assert number(hospital).value == pytest.approx(20 + 50 + 6000, abs=1e-3)
    assert hospital.runs()[0] == RunState.SUPERSEDED


def test_a_series_that_comes_late_makes_a_new_run_and_another_image_does_not(hospital: Hospital) -> None:
    hospital.arrive(film("PA", 20))
    hospital.read()
    first = hospital.run()
    hospital.report()
    hospital.arrive(film("", 90, 7))  # of no use to the package: what was read stands
    hospital.decide()
    assert hospital.run().id == first.id
    hospital.gate()
    hospital.arrive(film("LL", 50, 2))
    hospital.read()
    assert hospital.run().supersedes == first.id
    assert number(hospital).missing == ()
    assert len(hospital.runs()) == 2


def test_what_a_rule_of_the_hospital_refuses_is_as_if_it_were_not_there(tmp_path: Path, opened: list[Hospital]) -> None:
    rules = [Rule(package="tiny", description="bedside", run="no", reason="not validated at the bedside")]
    opened.append(hospital := Hospital(tmp_path, two_views(tmp_path), rules=rules))
    bedside = film("AP", 30, 5)
    bedside.SeriesDescription = "Bedside AP"
    hospital.arrive(film("PA", 20), bedside)
    hospital.read()
    assert number(hospital).value == pytest.approx(20 + 1000, abs=1e-3)
    assert hospital.told().endswith("fits 1 of 2 series (others: not validated at the bedside)")


def test_a_gate_that_holds_one_of_the_series_holds_the_run(hospital: Hospital) -> None:
    blank = film("LL", 50, 2)
    blank.PixelData = np.zeros((32, 24), np.uint16).tobytes()
    hospital.arrive(film("PA", 20), blank)
    run = hospital.read()
    assert run.state == RunState.HOLDING
    assert "completeness" in run.reason


def test_a_released_run_that_lacks_a_series_is_not_read_with_zeros(tmp_path: Path, opened: list[Hospital]) -> None:
    opened.append(hospital := Hospital(tmp_path, two_views(tmp_path, **BREASTS)))
    hospital.arrive(film("PA", 20))
    hospital.read()
    hospital.report()
    with hospital.book.write() as session:
        run = session.merge(hospital.run())
        move(session, run, RunEvent.RELEASED, "read it all the same")
    run = hospital.infer()
    assert run.state == RunState.FAILING
    assert "the study has no lateral" in run.reason


ABOUT: dict[str, Any] = {"name": "about", "shape": [1], "source": "features"}


@pytest.mark.parametrize(
    ("segments", "feature", "expected"),
    [
        ({"PID": "PID|1||X||||19551102|F"}, {"order": "patient_sex", "values": {"M": 1, "F": 2}, "missing": 0}, 2),
        ({"PID": "PID|1||X||||19560115|M"}, {"order": "patient_age", "divide": 10, "missing": 0}, 7.0),
        ({"PID": "PID|1||X||||1956|M"}, {"order": "patient_age", "missing": 3}, 3),
        ({}, {"order": "priority", "missing": 9}, 2),
        ({"OBR": "OBR|1" + "|" * 30 + "R05^Cough^I10~R07^Pain^I10"},
         {"order": "reason_for_study", "values": {"R07": 5}, "missing": 0}, 5),
        ({"OBR": "OBR|1|||CHEST2^Chest^L"}, {"order": "requested_procedure", "values": {"chest2": 6}}, 6),
        ({"PV1": "PV1|1|I"}, {"order": "patient_class", "values": {"I": 4}}, 4),
        (None, {"order": "priority", "missing": 9}, 9),
    ],
)  # fmt: skip
def test_values_of_the_order_are_features(
    tmp_path: Path, opened: list[Hospital], segments: dict[str, str] | None, feature: dict[str, Any], expected: float
) -> None:
    inputs = [*VIEWS["inputs"], ABOUT | {"features": [feature]}]
    opened.append(hospital := Hospital(tmp_path, two_views(tmp_path, inputs=inputs)))
    if segments is not None:
        hospital.order(**segments)
    hospital.arrive(film("PA", 20), film("LL", 50, 2))
    hospital.read()
    found = number(hospital)
    assert found.value == pytest.approx(20 + 0.5 + 6000 + expected, abs=1e-2)
    assert found.missing == ((feature["order"],) if expected == feature.get("missing") else ())


def test_without_an_order_that_the_model_needs_nothing_is_read(tmp_path: Path, opened: list[Hospital]) -> None:
    inputs = [*VIEWS["inputs"], ABOUT | {"features": [{"order": "priority"}]}]
    opened.append(hospital := Hospital(tmp_path, two_views(tmp_path, inputs=inputs)))
    hospital.arrive(film("PA", 20))
    run = hospital.read()
    assert run.state == RunState.FAILING
    assert "the order does not say priority in a way that the model can read" in run.reason


def test_an_output_of_a_missing_series_says_nothing(tmp_path: Path, opened: list[Hospital]) -> None:
    side = SAID | {"name": "side", "series": "lateral", "code": CODE | {"value": "side", "meaning": "From the side"}}
    opened.append(hospital := Hospital(tmp_path, two_views(tmp_path, SAID, side)))
    hospital.arrive(film("PA", 20))
    assert [finding.name for finding in load_findings(hospital.read().findings)] == ["number"]
    hospital.arrive(film("LL", 50, 2))
    front, lateral = load_findings(hospital.read().findings)
    assert [image.sop_instance_uid for image in lateral.sources] == [film("LL", 50, 2).SOPInstanceUID]
    assert front.sources != lateral.sources


@pytest.mark.triton
def test_triton_is_given_both_series_or_zeros(tmp_path: Path, opened: list[Hospital], triton_environment: Path) -> None:
    package = two_views(tmp_path)
    with TritonServer(package.folder.parent, tmp_path / "triton.log", environment=triton_environment) as server:
        models = open_models(server.url, package.folder.parent)
        try:
            opened.append(hospital := Hospital(tmp_path, package, models=models))
            hospital.arrive(film("PA", 20))
            hospital.read()
            assert number(hospital).value == pytest.approx(20 + 1000, abs=1e-3)
            hospital.arrive(film("LL", 50, 2))
            hospital.read()
            assert number(hospital).value == pytest.approx(20 + 0.5 + 6000, abs=1e-3)
        finally:
            models.close()


PARTS = {
    "name": "parts", "tensor": "scores", "kind": "segment", "activation": "softmax", "series": "flair",
    "labels": [{"name": "bright", "code": CODE | {"value": "bright", "meaning": "Bright"}}],
}  # fmt: skip
HEADS: dict[str, Any] = {
    "selector": {"modality": ["MR"]},
    "grouping": {"by": "study", "series": [
        {"name": "t1", "description": ["T1"], "not_description": ["FLAIR"]},
        {"name": "flair", "description": ["FLAIR"]},
    ]},
    "inputs": [{"name": name, "shape": [1, -1, -1, -1], "series": name} for name in ("t1", "flair")],
    "preprocess": [{"step": "scale_percentile", "percentile": 100.0, "over": "volume"}],
}  # fmt: skip


def two_heads(folder: Path) -> Package:
    """A package that marks what is bright in flair, and says the mean of t1; each in a grid of its own."""
    nodes = [
        node("Conv", ["flair", "w", "b"], ["scores"]), node("GlobalAveragePool", ["t1"], ["pool"]),
        node("Flatten", ["pool"], ["number"]),
    ]  # fmt: skip
    given = [tensor_info(name, FLOAT, ["n", 1, *(f"{name}_{axis}" for axis in "shw")]) for name in ("t1", "flair")]
    made = network(
        nodes, given, [tensor_info("scores", FLOAT, ["n", 2, "s", "h", "w"]), tensor_info("number", FLOAT, ["n", 1])],
        [constant("w", [2, 1, 1, 1, 1], [0.0, 2.0]), constant("b", [2], [0.0, -1.0])],
    )  # fmt: skip
    return tiny_package(
        folder / "packages", made, {"scores": [2, -1, -1, -1], "number": [1]}, [SAID | {"unit": "1"}, PARTS], **HEADS
    )


def heads() -> list[Dataset]:
    """T1 of four axial slices, and FLAIR of five sagittal ones in another matrix, bright in a box."""
    visit = Visit(BRAIN_PATIENT, VISIT.accession_number)
    t1 = np.full((4, 24, 32), 0.25, np.float32)
    t1[:, 0, 0] = 1.0
    flair = np.full((5, 20, 16), 0.1, np.float32)
    flair[1:4, 5:15, 4:12] = 1.0
    return [
        *mr_series(t1, visit, series_number=1, series_description="Ax T1", spacing_mm=(5.0, 2.0)),
        *mr_series(flair, visit, series_number=2, series_description="Sag T1 FLAIR", spacing_mm=(4.0, 1.0),
                   plane="sagittal"),
    ]  # fmt: skip


def test_whole_series_of_a_study_have_each_their_own_grid(tmp_path: Path, opened: list[Hospital]) -> None:
    opened.append(hospital := Hospital(tmp_path, two_heads(tmp_path)))
    hospital.arrive(*heads())
    run = hospital.read()
    assert run.state == RunState.READ, run.reason
    number, parts = load_findings(run.findings)
    assert isinstance(number, Measurement)
    assert isinstance(parts, Segmentation)
    assert {image.series_instance_uid for image in number.sources} == {run.inputs["t1"]}
    assert {image.series_instance_uid for image in parts.placed.images} == {run.inputs["flair"]}
    assert parts.segments[0].volume_mm3 == pytest.approx(3 * 10 * 8 * 4.0)
    folder = hospital.report()
    assert "no SEG" not in hospital.run().reason
    agrees(folder)


@pytest.mark.bench
@pytest.mark.hospital
@pytest.mark.timeout(900)
@pytest.mark.parametrize("sort", ["chest", "chest without lateral", "head"])
def test_others_find_no_error_in_what_comes_of_a_study(
    tmp_path: Path, opened: list[Hospital], bench: Path, hospital_home: Path, sort: str
) -> None:
    side = SAID | {"name": "side", "series": "lateral", "code": CODE | {"value": "side", "meaning": "From the side"}}
    package = two_heads(tmp_path) if sort == "head" else two_views(tmp_path, SAID, side)
    opened.append(hospital := Hospital(tmp_path, package))
    films = [film("PA", 20), film("LL", 50, 2)]
    hospital.arrive(*(heads() if sort == "head" else films[:1] if "without" in sort else films))
    assert hospital.read().state == RunState.READ, hospital.run().reason
    made = Images(sort, [], tmp_path / "made")
    shutil.copytree(hospital.report(), made.results / "tiny")
    (made.folder / "images").mkdir()
    for path in hospital.core.store_dir.rglob("*.dcm"):
        shutil.copy(path, made.folder / "images")
    assert any(path.name.startswith("SR") for path in made.objects)
    (tmp_path / "check").mkdir()
    the_hospitals_check_finds_no_error(made, bench, hospital_home, tmp_path / "check")
    verify_results_agrees(made)
