"""A package's checks: the shipped ones pass, and each way in which a package can be wrong is told."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from shared.packages.folder import load_package
from shared.packages.validation.folder import check_folder
from shared.packages.validation.golden import check_golden, made_up_inputs, read_golden, run_graph, write_golden
from shared.packages.validation.tensors import check_tensors, tensors_of_outputs
from shared.packages.validation.validate import validate

SHIPPED = Path(__file__).parents[4] / "model_repository" / "chest_opacity"
GATES = ["completeness", "geometry", "sage_chest_opacity"]


@pytest.fixture
def folder(tmp_path):
    """A copy of chest_opacity to spoil, without what only its author needs."""
    copied = tmp_path / "chest_opacity"
    (copied / "1").mkdir(parents=True)
    for name in ("package.toml", "config.pbtxt", "README.md", "1/model.onnx"):
        shutil.copy(SHIPPED / name, copied / name)
    return copied


def spoil(path, found, written):
    text = path.read_text()
    assert found in text
    path.write_text(text.replace(found, written))


def wrongs(checks):
    return [f"{check.name}: {check.said}" for check in checks if check.state == "wrong"]


def with_golden(folder):
    """The package with golden rows of its own."""
    package = load_package(folder)
    rows = np.random.default_rng(0).integers(0, 255, (2, 1, 512, 512), np.uint8)
    names = tensors_of_outputs(package)
    golden = type("Asked", (), {"inputs": {"image": rows.astype(np.float32)}, "outputs": dict.fromkeys(names)})()
    write_golden(package, {"image": rows}, run_graph(package, golden))
    return package


def test_the_shipped_package_has_nothing_wrong(folder):
    package = load_package(folder)
    assert wrongs([*check_folder(package, GATES), *check_tensors(package)]) == []


@pytest.mark.parametrize(
    ("file", "found", "written", "said"),
    [
        ("package.toml", 'step = "pad_square"', 'step = "pad_sqare"', "there is no step 'pad_sqare'"),
        ("package.toml", '"completeness"', '"completness"', "requires completness"),
        ("package.toml", "[weights]\ndigest", "[weights]\n# digest", "are not pinned: write digest"),
        ("package.toml", "auroc = { min = 0.9 }", "auroc = { min = 0.99 }", "below the limit 0.99"),
        ("README.md", "ot for clinical use", "ot for you", "which is the package's use mark"),
        ("package.toml", "shape = [1, 512, 512]", "shape = [1, 256, 256]", "config.pbtxt has dims [1, 512, 512]"),
        ("package.toml", 'tensor = "patch_logits"', 'tensor = "patches"', "config.pbtxt does not declare"),
        (
            "package.toml",
            'tensor = "logit"',
            'tensor = "patch_logits"',
            "[8, 8] a row; opacity (binary) takes one number",
        ),
        ("config.pbtxt", "dims: [ 8, 8 ]", "dims: [ 7, 7 ]", "config.pbtxt has dims [7, 7], the graph [8, 8]"),
        ("config.pbtxt", "TYPE_FP32, dims: [ 8, 8 ]", "TYPE_INT64, dims: [ 8, 8 ]", "config.pbtxt says int64"),
        ("config.pbtxt", "max_batch_size", "max_batches", "config.pbtxt"),
    ],
)
def test_what_is_wrong_is_told(folder, file, found, written, said):
    spoil(folder / file, found, written)
    package = load_package(folder)
    told = wrongs([*check_folder(package, GATES), *check_tensors(package)])
    assert any(said in line for line in told), told


def test_a_file_that_is_no_network_is_told(folder):
    spoil(folder / "package.toml", "[weights]\ndigest", "[weights]\n# digest")
    (folder / "1" / "model.onnx").write_bytes(b"nothing")
    assert any("can't be opened" in line for line in wrongs(check_tensors(load_package(folder))))


def test_golden_rows_hold_the_network(folder):
    package = with_golden(folder)
    golden = read_golden(package)
    assert golden.rows == 2
    answer = run_graph(package, golden)
    assert wrongs(check_golden(golden, lambda: answer, "here")) == []
    other = {**answer, "logit": answer["logit"] * 1.01}
    assert "differ by" in wrongs(check_golden(golden, lambda: other, "here"))[0]
    nan = {**answer, "logit": answer["logit"] * np.nan}
    assert "not finite" in wrongs(check_golden(golden, lambda: nan, "here"))[0]
    short = {**answer, "patch_logits": answer["patch_logits"][:, :4]}
    assert "golden is [2, 8, 8]" in wrongs(check_golden(golden, lambda: short, "here"))[0]


def test_golden_rows_that_cannot_be_read_are_told(folder, tmp_path):
    package = with_golden(folder)
    (folder / "golden" / "rows.npz").write_bytes(b"PK nothing")
    told = wrongs(validate(package, GATES, tmp_path / "no_environment", 0))
    assert any("golden rows" in line for line in told)


def test_figures_that_the_recorded_cases_do_not_give_are_told(folder, tmp_path):
    lines = [f"opacity,{n},{n % 2},{0.9 if n % 4 == 1 else 0.1}" for n in range(40)]
    (folder / "validation.csv").write_text("\n".join(["output,case,truth,score", *lines]))
    told = wrongs(validate(load_package(folder), GATES, tmp_path / "no_environment", 0))
    assert any("auroc 0.93, computed 0.75" in line for line in told), told


@pytest.mark.parametrize(
    ("found", "written"), [("| all | 600 |", "| all | 601 |"), ("report, version 1.0.0", "report, version 0.9.0")]
)
def test_a_report_that_is_not_of_the_recorded_cases_is_told(folder, tmp_path, found, written):
    shutil.copy(SHIPPED / "validation.csv", folder)

    def of_report():
        checks = validate(load_package(folder), GATES, tmp_path / "no_environment", 0)
        return next(check.state for check in checks if check.name == "report")

    assert of_report() == "ok"
    spoil(folder / "README.md", found, written)
    assert of_report() == "wrong"
    (folder / "README.md").write_text("Not for clinical use.")
    assert of_report() == "unknown"


@pytest.mark.triton
def test_under_triton(folder, triton_environment):
    package = with_golden(folder)
    checks = list(validate(package, GATES, triton_environment, requests=2))
    assert wrongs(checks) == []
    assert {"golden rows in ONNX Runtime", "golden rows on Triton", "latency", "memory"} <= {c.name for c in checks}


def test_made_up_input_fits_a_series_and_its_mask():
    manifest = load_package(SHIPPED.parent / "slice_transformer").manifest
    inputs = made_up_inputs(manifest)
    assert inputs["slices"].shape == (2, 1, 8, 96, 96)
    assert inputs["slice_mask"].tolist() == [[1.0] * 8] * 2
    again = made_up_inputs(manifest)["slices"]
    assert np.array_equal(inputs["slices"], again), "the same each time"
