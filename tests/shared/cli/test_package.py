"""`isocenter package`: the shipped packages are listed and shown, and a wrong one is named."""

import json
import shutil
import tomllib

import jsonschema
import pytest
from typer.testing import CliRunner

from shared.cli.main import app
from shared.packages.schema import json_schema

SHIPPED = ("chest_opacity", "motion_ssim")


def run(*arguments):
    result = CliRunner().invoke(app, ["package", *map(str, arguments)])
    return result.exit_code, result.output


@pytest.fixture
def config(tmp_path):
    """A page that names an empty folder of packages."""
    (tmp_path / "packages").mkdir()
    page = tmp_path / "isocenter.toml"
    page.write_text(f'[triton]\nmodel_repository = "{tmp_path}/packages"\n')
    return page


def test_the_shipped_packages_are_listed():
    code, said = run("list", "--json")
    found = {package["name"]: package for package in json.loads(said)["packages"]}
    assert code == 0
    assert set(SHIPPED) <= set(found)
    assert len(str(found["chest_opacity"]["weights"])) == 12, "their weights are pinned"


def test_a_package_that_cannot_be_used_is_named_and_the_others_are_listed(config, pytestconfig):
    folder = config.parent / "packages"
    (folder / "broken").mkdir()
    (folder / "broken" / "package.toml").write_text("schema = 2\n")
    (folder / "chest_opacity").symlink_to(pytestconfig.rootpath / "model_repository" / "chest_opacity")
    code, said = run("list", "--config", config)
    assert code == 1
    assert "chest" in said
    assert "selector: is required: add it" in said


def test_a_package_is_shown_with_its_figures():
    code, said = run("show", "chest_opacity")
    assert code == 0
    for words in ("MedicalPatchNet", "CR DX", "112001 DCM Opacity", "additive_patches", "auroc"):
        assert words in said


def test_a_name_that_is_not_there_is_told_with_those_that_are():
    code, said = run("show", "chest_opacities")
    assert code == 2
    assert "there are chest_opacity, " in " ".join(said.split())


def test_the_schema_takes_the_shipped_manifests_and_no_others(pytestconfig):
    code, said = run("schema")
    assert code == 0
    assert said == json_schema()
    schema = json.loads(said)
    for name in SHIPPED:
        page = tomllib.loads((pytestconfig.rootpath / "model_repository" / name / "package.toml").read_text())
        jsonschema.validate(page, schema)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(page | {"grouping": {"by": "slice"}}, schema)


@pytest.mark.triton
def test_every_shipped_package_is_what_its_manifest_says(tmp_path, pytestconfig, triton_environment):
    page = tmp_path / "isocenter.toml"
    repository = pytestconfig.rootpath / "model_repository"
    page.write_text(f'[triton]\nmodel_repository = "{repository}"\nenvironment = "{triton_environment}"\n')
    code, said = run("validate", "--all", "--short", "--json", "--config", page)
    packages = json.loads(said)["packages"]
    assert {"chest_opacity", "cobb_angle", "motion_ssim", "sage_chest_opacity", "slice_transformer"} <= set(packages)
    assert {name: [c["said"] for c in checks if c["state"] == "wrong"] for name, checks in packages.items()} == {
        name: [] for name in packages
    }
    for name, checks in packages.items():
        assert "golden rows on Triton" in {check["name"] for check in checks}, name
    assert code == 0


def test_recorded_cases_that_cannot_be_read_are_told_as_what_they_are(config, pytestconfig):
    folder = config.parent / "packages" / "chest_opacity"
    shutil.copytree(pytestconfig.rootpath / "model_repository" / "chest_opacity", folder)
    (folder / "validation.csv").write_text("output,case\n")
    code, said = run("validate", "chest_opacity", "--short", "--report", "--config", config)
    assert code == 1
    assert "there is no column truth, score" in " ".join(said.split())
    assert "the configuration" not in said
