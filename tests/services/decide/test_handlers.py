"""Which packages run, and why: selectors and the hospital's rules."""

import pytest

from services.decide.handlers import StudyFacts, choose, refusal
from services.decide.selection import SeriesFacts, series_facts
from services.decide.settings import Rule
from shared.packages.folder import Package
from shared.packages.manifest import Manifest


def package(name="chest_opacity", **selector):
    selector = {"modality": ["CR", "DX"], "body_part": ["CHEST", "THORAX"], **selector}
    manifest = Manifest.model_validate({
        "schema": 2,
        "package": {"name": name, "version": "1.0.0", "kind": "reader", "title": "t", "intended_use": "u"},
        "selector": selector,
        "tensors": {"inputs": [{"name": "image", "shape": [1, 8, 8]}]},
        "outputs": [{"name": "o", "tensor": "t", "kind": "binary",
                     "code": {"value": "1", "scheme": "99ISO", "meaning": "m"}}],
    })  # fmt: skip
    return Package(None, manifest)


CHEST = {"modality": "DX", "body_part_examined": "CHEST"}


def series(
    uid="1.1", modality="DX", body_part="CHEST", descriptions=("", "", ""), instances=1, pixels=True, sop_class="1.2"
):
    return SeriesFacts(uid, modality, body_part, descriptions, frozenset({sop_class}), instances, pixels)


def study(*some, ae="MODALITY", priority=5, procedure=""):
    return StudyFacts(ae, some, procedure, priority)


def only(study_facts, rules=(), **selector):
    (choice,) = choose(study_facts, [package(**selector)], rules)
    return choice


def test_a_fitting_series_is_chosen_among_others():
    choice = only(study(series("1.1"), series("1.2", modality="CT")))
    assert choice.runs
    assert choice.series == ("1.1",)
    assert choice.reason == "fits 1 of 2 series (others: reads CR DX, not CT)"


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (series(modality="CT"), "reads CR DX, not CT"),
        (series(body_part="HAND"), "reads CHEST THORAX, not HAND"),
        (series(modality=""), "reads CR DX, not an unnamed modality"),
        (series(pixels=False), "no pixels"),
        (series(sop_class="1.2.840.10008.5.1.4.1.1.7"), "secondary captures show images, they are none"),
        (series_facts("1.1", [CHEST | {"image_type": "ORIGINAL\\PRIMARY\\LOCALIZER"}], ["1.2"]), "planning images"),
        (series_facts("1.1", [CHEST | {"series_description": "3-plane localizer"}], ["1.2"]), "planning images"),
        (series_facts("1.1", [CHEST | {"manufacturer": "Isocenter"}], ["1.2"]), "made by Isocenter"),
    ],
)
def test_a_misfit_says_why(facts, reason):
    choice = only(study(facts))
    assert not choice.runs
    assert choice.reason == reason
    assert refusal([choice]) == f"no package reads this study: chest_opacity: {reason}"


def test_the_body_part_may_stand_in_a_description_or_in_the_order_but_only_as_a_word():
    assert only(study(series(body_part="", descriptions=("Thorax PA", "", "")))).runs
    assert only(study(series(body_part=""), procedure="36643-5^XR Chest 2 Views^LN")).runs
    assert not only(study(series(body_part="", descriptions=("Chestnut phantom", "", "")))).runs


@pytest.mark.parametrize(
    ("views", "reason"),
    [
        (["PA"], ""), (["pa"], ""), ([""], ""), (["LL", "PA"], ""),
        (["LL", "RL"], "reads views AP PA, not LL RL"), (["LATERAL"], "reads views AP PA, not LATERAL"),
    ],
)  # fmt: skip
def test_a_view_that_the_package_does_not_read_is_told(views, reason):
    facts = series_facts("1.1", [CHEST | {"view_position": view} for view in views], ["1.2"])
    choice = only(study(facts), view_position=["AP", "PA"])
    assert choice.runs is not bool(reason)
    assert reason in choice.reason


def test_minimum_instances_counts_frames():
    headers = [{"modality": "DX", "body_part_examined": "CHEST", "number_of_frames": 19}]
    assert only(study(series_facts("1.1", headers, ["1.2"])), minimum_instances=10).runs
    assert only(study(series()), minimum_instances=10).reason == "needs 10 instances, the series has 1"


def test_the_first_rule_that_fits_counts():
    rules = [
        Rule(package="chest_opacity", calling_ae_title=["RESEARCH"], run="no", reason="research only"),
        Rule(calling_ae_title=["ER"], priority=0),
        Rule(description="follow", priority=8),
    ]
    assert only(study(series(), ae="RESEARCH"), rules).reason == "research only"
    assert only(study(series(), ae="ER"), rules).priority == 0
    assert only(study(series(descriptions=("Follow-up", "", ""))), rules).priority == 8
    assert only(study(series(), priority=2), rules).priority == 2
    assert only(study(series(), ae="RESEARCH"), [Rule(package="other", run="no")]).runs


def test_without_packages_the_refusal_says_so():
    assert "no package is installed" in refusal([])


def test_images_of_different_patients_are_read_by_nothing():
    choices = choose(StudyFacts("MODALITY", (series(),), patients=2), [package(), package("other")], [])
    assert not any(choice.runs for choice in choices)
    words = "the images name 2 different patients: correct the study and send it again"
    assert refusal(choices) == f"no package reads this study: {words}"


def test_a_package_that_names_secondary_captures_reads_them():
    captured = "1.2.840.10008.5.1.4.1.1.7"
    assert only(study(series(sop_class=captured)), sop_class=[captured]).runs


@pytest.mark.parametrize(
    ("description", "reason"),
    [
        ("Ax T1 MPRAGE", ""), ("t1_se", ""), ("Ax T2", "its description has no T1"),
        ("T1 FLAIR", "its description has FLAIR"),
    ],
)  # fmt: skip
def test_a_series_may_be_told_by_its_description(description, reason):
    facts = series(descriptions=("FLAIR study", description, ""))
    choice = only(study(facts), description=["T1"], not_description=["FLAIR"])
    assert choice.runs is not bool(reason)
    assert reason in choice.reason


@pytest.mark.parametrize(("side", "runs"), [("R", True), ("L", False), ("", True)])
def test_a_series_may_be_told_by_its_side(side, runs):
    facts = series_facts("1.1", [CHEST | {"image_laterality": side}], ["1.2"])
    assert only(study(facts), laterality=["R"]).runs is runs
