"""The command: what it says goes through as it is, and a broken package keeps nobody from looking."""

import pytest
from typer.testing import CliRunner

from shared.cli.main import app

BROKEN = 'schema = 1\n[package]\nname = "other"\n'


@pytest.fixture
def page(tmp_path):
    broken = tmp_path / "packages" / "broken"
    broken.mkdir(parents=True)
    (broken / "package.toml").write_text(BROKEN)
    (broken / "config.pbtxt").write_text("")
    text = f'[isocenter]\ndata_dir = "{tmp_path}/data"\n[triton]\nmodel_repository = "{tmp_path}/packages"\n'
    (tmp_path / "isocenter.toml").write_text(text)
    return tmp_path / "isocenter.toml"


def run(*arguments):
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    return result.exit_code, " ".join(result.output.split())


def test_a_broken_package_is_named_by_check_and_keeps_nobody_from_looking(page):
    code, said = run("check", "--config", page)
    assert code == 1
    assert "broken" in said
    code, said = run("studies", "--config", page)
    assert code == 1
    assert "the database is empty" in said, "which is as far as a look at this new system gets"


def test_brackets_are_said_as_they_are(page):
    page.write_text("[collekt]\nport = 1\n")
    assert "did you mean [collect]?" in run("studies", "--config", page)[1]
    assert "there is no configuration /no/[/such]/x.toml" in run("studies", "--config", "/no/[/such]/x.toml")[1]


def test_up_says_where_the_packages_should_be(page):
    page.write_text('[triton]\nmodel_repository = "/no/such/folder"\n')
    code, said = run("up", "--config", page)
    assert code == 2
    assert "there is no folder /no/such/folder" in said
