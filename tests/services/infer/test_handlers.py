"""Raw outputs become typed findings, and what can't be understood is refused."""

import hashlib
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from services.infer.handlers import KINDS, findings_of
from shared.findings import Classification, Finding, KeyImage, Measurement, SourceImage
from shared.inference import Reading, Unreadable
from shared.packages.folder import Package
from shared.packages.manifest import ExplanationTable, Manifest
from shared.packages.output_tables import OutputKind
from tests.readings import grid_on

IMAGE = SourceImage(series_instance_uid="1.1", sop_instance_uid="1.2", sop_class_uid="1.3")
CODE = {"value": "112001", "scheme": "DCM", "meaning": "Opacity"}
BINARY = {
    "name": "opacity",
    "tensor": "logit",
    "kind": "binary",
    "activation": "sigmoid",
    "threshold": 0.7,
    "code": CODE,
}
ADDITIVE = {"kind": "additive_patches", "tensor": "patches"}
PATCHES = np.array([[-1.0, 5.0], [3.0, 1.0]], np.float32)


def package(output: dict[str, Any], patches: bool = True, fraction: float = 0.0) -> Package:
    manifest = {
        "schema": 2,
        "package": {"name": "chest", "version": "1.0.0", "kind": "reader", "title": "t", "intended_use": "i"},
        "selector": {}, "tensors": {"inputs": [{"name": "image", "shape": [1, 512, 512]}]}, "outputs": [output],
        "explanation": {**ADDITIVE, "region_fraction": fraction} if patches else {},
    }  # fmt: skip
    return Package(Path("chest"), Manifest.model_validate(manifest))


def reading(**outputs: Any) -> Reading:
    arrays = {name: np.asarray(value, np.float32) for name, value in outputs.items()}
    return Reading(grid_on(IMAGE, shape=(100, 200), box=(0.0, -50.0, 200.0, 150.0)), False, arrays)


def test_a_present_finding_has_its_probability_its_map_and_its_regions() -> None:
    (finding,) = findings_of(package(BINARY), reading(logit=[2.0], patches=PATCHES))
    assert isinstance(finding, Classification)
    assert finding.present
    assert finding.probability == pytest.approx(1 / (1 + np.exp(-2)))
    assert finding.patch_map is not None
    assert np.mean(finding.patch_map.logits) == pytest.approx(2.0)
    assert finding.patch_map.box == (0.0, -50.0, 200.0, 150.0)
    (region,) = finding.regions
    # the threshold 0.7 is a logit of 0.85: three patches, of which the lower row and the upper right lie on the image
    assert region.points == ((100, 0), (200, 0), (200, 100), (0, 100), (0, 50), (100, 50), (100, 0))


def test_regions_outline_only_what_is_near_the_strongest_patch() -> None:
    def widths(fraction: float) -> list[float]:
        (finding,) = findings_of(package(BINARY, fraction=fraction), reading(logit=[2.0], patches=PATCHES))
        return [max(p[0] for p in r.points) - min(p[0] for p in r.points) for r in finding.regions]

    assert widths(0.5) == [100.0, 100.0], "5 and 3 of 5 at most, which touch by a corner; 1 is left out"
    assert widths(0.7) == [100.0], "only the strongest"


def test_an_absent_finding_keeps_its_map_and_has_no_regions() -> None:
    (finding,) = findings_of(package(BINARY), reading(logit=[0.5], patches=PATCHES - 1.5))
    assert isinstance(finding, Classification)
    assert not finding.present
    assert finding.regions == ()
    assert finding.patch_map is not None


def test_where_in_the_body_an_output_is_stands_in_its_finding() -> None:
    site = {"code": {"value": "39607008", "scheme": "SCT", "meaning": "Lung"}, "laterality": "left"}
    (finding,) = findings_of(package(BINARY | {"site": site}), reading(logit=[2.0], patches=PATCHES))
    assert finding.site is not None
    assert finding.site.model_dump() == site


def test_a_map_that_does_not_add_up_is_no_explanation() -> None:
    with pytest.raises(Unreadable, match=r"average to 2\.0000, the image's logit is 4"):
        findings_of(package(BINARY), reading(logit=[4.0], patches=PATCHES))


def test_a_probability_is_taken_as_it_is_and_checked() -> None:
    plain = {**BINARY, "activation": "none"}
    (finding,) = findings_of(package(plain, patches=False), reading(logit=0.75))
    assert isinstance(finding, Classification)
    assert finding.present
    assert finding.patch_map is None
    with pytest.raises(Unreadable, match="outside 0 to 1"):
        findings_of(package(plain, patches=False), reading(logit=1.7))


@pytest.mark.parametrize("logit", [-1000.0, 1000.0])
def test_extreme_logits_are_probabilities(logit: float) -> None:
    (finding,) = findings_of(package(BINARY, patches=False), reading(logit=logit))
    assert isinstance(finding, Classification)
    assert finding.probability in (0.0, 1.0)


def test_a_regression_is_a_measurement_within_its_range() -> None:
    output = {"name": "angle", "tensor": "angle", "kind": "regression", "unit": "deg", "range": [0, 90], "code": CODE}
    (finding,) = findings_of(package(output, patches=False), reading(angle=[12.5]))
    assert isinstance(finding, Measurement)
    assert (finding.value, finding.unit, finding.sources) == (12.5, "deg", (IMAGE,))
    with pytest.raises(Unreadable, match="angle is 120, outside 0 to 90"):
        findings_of(package(output, patches=False), reading(angle=[120.0]))


@pytest.mark.parametrize("kind", ["binary", "regression"])
def test_a_finding_names_the_weights_that_gave_it(tmp_path: Path, kind: str) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "model.onnx").write_bytes(b"weights")
    given = Package(tmp_path, package({**BINARY, "kind": kind}, patches=False).manifest)
    (finding,) = findings_of(given, reading(logit=[0.1]))
    assert finding.weights == hashlib.sha256(b"weights").hexdigest()


def test_every_kind_is_read() -> None:
    assert set(KINDS) == set(get_args(OutputKind))


SLICES = tuple(
    SourceImage(series_instance_uid="1.1", sop_instance_uid=f"1.2.{n}", sop_class_uid="1.3") for n in range(4)
)
WEIGHTED = {"kind": "slice_weights", "tensor": "weights"}


def of_series(weights: Any, logit: float) -> list[Finding]:
    made = package(BINARY, patches=False)
    manifest = made.manifest.model_copy(update={"explanation": ExplanationTable.model_validate(WEIGHTED)})
    arrays = {"logit": np.asarray(logit, np.float32), "weights": np.asarray(weights, np.float32)}
    read = Reading(grid_on(*SLICES), False, arrays)
    return findings_of(Package(Path("chest"), manifest), read)


def test_a_series_has_one_finding_and_the_slices_that_carried_it() -> None:
    found, *keys = of_series([0.05, 0.5, 0.05, 0.4], 2.0)
    assert isinstance(found, Classification)
    assert found.sources == SLICES
    assert found.slice_weights is not None
    assert [one.image for one in found.slice_weights.weights] == list(SLICES)
    assert [(key.image, key.explains) for key in keys if isinstance(key, KeyImage)] == [
        (SLICES[1], "opacity"), (SLICES[3], "opacity"),
    ]  # fmt: skip


def test_no_slice_is_shown_of_what_is_absent() -> None:
    assert len(of_series([0.25, 0.25, 0.25, 0.25], -2.0)) == 1


@pytest.mark.parametrize(
    ("weights", "said"),
    [([0.5, 0.5], "2 weights for 4 slices"), ([0.5, 0.5, 0.5, 0.5], "sum to 2.0000"), ([1.5, -0.5, 0, 0], "sum to")],
)
def test_weights_that_explain_nothing_are_refused(weights: list[float], said: str) -> None:
    with pytest.raises(Unreadable, match=said):
        of_series(weights, 2.0)
