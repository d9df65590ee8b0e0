"""docs/conformance.md says what the code does."""

from shared.cli.conformance import conformance
from shared.result_profiles import DICOM_KINDS


def test_the_page_is_what_the_code_says(pytestconfig) -> None:
    page = (pytestconfig.rootpath / "docs" / "conformance.md").read_text()
    assert page == conformance(), "run: .venv/bin/python -m shared.cli.conformance > docs/conformance.md"


def test_every_kind_of_object_is_in_it() -> None:
    from services.report.result_kinds import BUILDERS, SOP_CLASSES, UNREAD

    assert set(BUILDERS) | set(UNREAD) == set(SOP_CLASSES) == set(DICOM_KINDS)
