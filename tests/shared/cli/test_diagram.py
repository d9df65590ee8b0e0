"""docs/states.md is what the tables say."""

from shared.cli.diagram import diagram


def test_the_page_is_what_the_tables_say(pytestconfig):
    page = (pytestconfig.rootpath / "docs" / "states.md").read_text()
    assert page == diagram(), "run: .venv/bin/python -m shared.cli.diagram > docs/states.md"
