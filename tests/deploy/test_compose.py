"""deploy/compose.yaml and its example configuration: everything that runs is there, and no password is."""

import re
from pathlib import Path

from shared.cli.check import check_file
from shared.supervisor import SERVICES

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")


def test_every_service_runs_from_the_one_recipe():
    built = re.findall(r"args: \{SERVICE: (\w+)\}", COMPOSE)
    assert sorted(built) == sorted(SERVICES)
    for name in SERVICES:
        assert re.search(rf"^  {name}:\n    <<: \*service\n    build: .*SERVICE: {name}\}}", COMPOSE, re.MULTILINE)


def test_no_password_has_a_value_or_a_default():
    passwords = re.findall(r"(?:_PASS(?:WORD)?: |isocenter:)(\S+)", COMPOSE)
    assert len(passwords) == 4
    assert all(re.match(r"\$\{(POSTGRES|RABBITMQ)_PASSWORD:\?", password) for password in passwords)


def test_the_page_without_a_log_in_is_published_on_this_host_alone():
    assert '"127.0.0.1:8600:8600"' in COMPOSE


def test_the_example_configuration_passes_isocenter_check(monkeypatch):
    monkeypatch.chdir(DEPLOY.parent)  # the folder of packages lies beside the working directory, as in the image
    assert check_file(DEPLOY / "isocenter.example.toml") == []


def test_the_image_runs_as_no_one_in_particular():
    recipe = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    assert "\nUSER 10001:10001\n" in recipe
    assert recipe.index("USER ") > recipe.rindex("\nRUN ")
