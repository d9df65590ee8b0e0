"""docs/configuration.md says what the settings say, and every setting says what it is for."""

from shared.cli.check import sections
from shared.cli.reference import reference


def test_the_page_is_what_the_settings_say(pytestconfig):
    page = (pytestconfig.rootpath / "docs" / "configuration.md").read_text()
    assert page == reference(), "run: .venv/bin/python -m shared.cli.reference > docs/configuration.md"


def test_every_setting_says_what_it_is_for():
    for name, model in sections().items():
        for field, info in model.model_fields.items():
            assert info.description, f"{name}.{field} has no docstring"
