"""docs/packages.md names every table, step, parameter and plain gate that there is."""

import pytest

from shared.cli.check import plain_gates
from shared.imaging.steps import parameter_names, step_names
from shared.packages.manifest import Manifest


@pytest.fixture
def page(pytestconfig):
    return (pytestconfig.rootpath / "docs" / "packages.md").read_text()


def row_of(page, name):
    return next((line for line in page.splitlines() if line.startswith(f"| `{name}` |")), "")


def test_every_step_has_a_row_with_its_parameters(page):
    for step in step_names():
        row = row_of(page, step)
        assert row, f"docs/packages.md has no row for the step {step}"
        missing = [name for name in parameter_names(step) if f"`{name}`" not in row]
        assert not missing, f"the row of {step} lacks {missing}"


def test_every_plain_gate_has_a_row(page):
    assert not [gate for gate in plain_gates() if not row_of(page, gate)]


def test_every_table_of_the_manifest_is_told(page):
    for name in Manifest.model_fields.keys() - {"schema_version"}:
        assert f"[{name}" in page, f"docs/packages.md does not tell of [{name}]"
