"""docs/conformance.md says what the code does."""

import re

from shared.cli.air import TESTS_IN, air_rows
from shared.cli.conformance import conformance
from shared.result_profiles import DICOM_KINDS


def test_the_page_is_what_the_code_says(pytestconfig) -> None:
    page = (pytestconfig.rootpath / "docs" / "conformance.md").read_text()
    assert page == conformance(), "run: .venv/bin/python -m shared.cli.conformance > docs/conformance.md"


def test_every_kind_of_object_is_in_it() -> None:
    from services.report.result_kinds import BUILDERS, SOP_CLASSES, UNREAD

    assert set(BUILDERS) | set(UNREAD) == set(SOP_CLASSES) == set(DICOM_KINDS)


def test_each_primitive_of_ai_results_names_tests_that_are_there_and_none_is_left_out(pytestconfig) -> None:
    named = {test for _, _, tests in air_rows() for test in re.findall(r"`(\w+)`", tests)}
    assert named == set(re.findall(r"^def (test_\w+)", (pytestconfig.rootpath / TESTS_IN).read_text(), re.MULTILINE))
