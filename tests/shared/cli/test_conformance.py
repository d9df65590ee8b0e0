"""docs/conformance.md says what the code does."""

import re

from shared.cli.air import TESTS_IN, air_rows
from shared.cli.conformance import conformance
from shared.result_profiles import DICOM_KINDS
from shared.settings import Destination


def test_the_page_is_what_the_code_says(pytestconfig) -> None:
    page = (pytestconfig.rootpath / "docs" / "conformance.md").read_text()
    assert page == conformance(), "run: .venv/bin/python -m shared.cli.conformance > docs/conformance.md"


def test_every_kind_of_object_is_in_it() -> None:
    from services.report.result_kinds import BUILDERS, SOP_CLASSES, UNREAD

    assert set(BUILDERS) | set(UNREAD) == set(SOP_CLASSES) == set(DICOM_KINDS)


def test_each_primitive_of_ai_results_names_tests_that_are_there_and_none_is_left_out(pytestconfig) -> None:
    named = {test for _, _, tests in air_rows() for test in re.findall(r"`(\w+)`", tests)}
    assert named == set(re.findall(r"^def (test_\w+)", (pytestconfig.rootpath / TESTS_IN).read_text(), re.MULTILINE))


def test_what_is_said_of_send_is_what_it_does() -> None:
    from services.send.handlers import _WARNINGS
    from services.send.settings import Settings

    page = conformance()
    assert all(f"0x{status:04X}" in page for status in _WARNINGS)
    settings = [*Settings.model_fields, *Destination.model_fields]
    assert "send speaks no TLS" in page
    assert not [name for name in settings if "tls" in name]


def test_every_setting_that_the_page_names_is_one() -> None:
    """Of collect, report and the destinations; what stands in backticks and is no value."""
    from services.collect.settings import Settings as Collect
    from services.report.settings import Settings as Report
    from services.send.settings import Settings as Send

    known = {name for section in (Collect, Report, Send, Destination) for name in section.model_fields}
    named = set(re.findall(r"`(?:\[\w+\] )?([a-z]+(?:_[a-z]+)+)(?: = [^`]*)?`", conformance()))
    assert {name for name in named - known if not name.startswith("test_")} == set()
    assert {"tls_port", "tls_client_authorities", "character_set", "series_number", "maximum_pdu_bytes"} <= named
